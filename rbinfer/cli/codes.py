"""Exit codes of the command line."""

DONE = 0
ERROR = 1
WRONG_USAGE = 2
NOTHING_SCORED = 3  # there are detections, and none of them has a score
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended,
TERMINATED = 143  # and for one that SIGTERM did
