"""Run a command, and print as JSON its wall and CPU seconds and the most memory that it had, in MB.

Until it runs its program, a process counts the memory of the one that starts it as its own, so that one
has to be small. What the command leaves behind, such as the process that its workers are forked from, is
waited for here and counts, too. What the command itself prints goes to stderr.
"""

import ctypes
import json
import os
import subprocess
import sys
import time

_SET_CHILD_SUBREAPER = 36  # of prctl: children of a child that ended become ours (Linux)

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(child.pid, 0)
wall = time.perf_counter() - start
usages = [usage]
while True:
    try:
        usages.append(os.wait3(0)[2])
    except ChildProcessError:
        break
cpu = sum(each.ru_utime + each.ru_stime for each in usages)
print(json.dumps([wall, cpu, max(each.ru_maxrss for each in usages) / 1024]))
sys.exit(os.waitstatus_to_exitcode(status))
