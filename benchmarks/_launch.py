"""Run a command, and print as JSON its wall and CPU seconds and the most memory that it had, in MB.

Until it runs its program, a process counts the memory of the one that starts it as its own, so that one
has to be small. What the command itself prints goes to stderr.
"""

import json
import os
import subprocess
import sys
import time

start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(child.pid, 0)
wall = time.perf_counter() - start
print(json.dumps([wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
sys.exit(os.waitstatus_to_exitcode(status))
