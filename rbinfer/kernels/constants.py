"""Numbers that kernels and their callers share; light to import, unlike the kernels."""

import numpy as np

from ..status import Status

# Status bits as plain integers, because Numba knows no flags.
POSITION_NOT_FINITE = int(Status.POSITION_NOT_FINITE)
OFF_IMAGE = int(Status.OFF_IMAGE)
WINDOW_OFF_IMAGE = int(Status.WINDOW_OFF_IMAGE)
TOO_FEW_GOOD_PIXELS = int(Status.TOO_FEW_GOOD_PIXELS)
NEAR_EDGE = int(Status.NEAR_EDGE)
PARTLY_MASKED = int(Status.PARTLY_MASKED)
SATURATED = int(Status.SATURATED)
#: Any of these bits means that there is no cutout.
REJECTED = POSITION_NOT_FINITE | OFF_IMAGE | WINDOW_OFF_IMAGE | TOO_FEW_GOOD_PIXELS

#: Pixels at or beyond this count as not finite: sums and differences of others stay within float32.
LARGEST = np.float32(1e30)
#: Noise below this counts as none: its inverse must stay within float32.
SMALLEST = 1e-36

#: Lines that order statistics go over are padded to whole vectors of this many values.
LANES = 64
