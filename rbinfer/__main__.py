"""``python -m rbinfer`` is the command ``rbinfer``."""

import sys

from .cli import program

sys.exit(program())
