"""Ctrl-C reaches what the tests start, however they were started themselves."""

import signal

# A shell ignores SIGINT for what it starts in the background, and so would all children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
