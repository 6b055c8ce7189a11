"""A service on this machine: one warm process that scores what it is sent, over HTTP."""
