"""``python -m rbinfer`` is the command ``rbinfer``."""

import sys

from .cli import main

sys.exit(main())
