"""One image as the command line scores it, from its path to the scored catalogue."""
