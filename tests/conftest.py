"""Ctrl-C reaches what the tests start, however they were started themselves; and BLAS has one thread."""

import os
import signal

# On a few CPUs its threads wait for one another: fits of small matrices take up to four times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell ignores SIGINT for what it starts in the background, and so would all children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
