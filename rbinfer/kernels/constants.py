"""Numbers that kernels and their callers share."""

import numpy as np

# Status bits, as in rbinfer.status (a test compares them).
POSITION_NOT_FINITE = 1
OFF_IMAGE = 2
WINDOW_OFF_IMAGE = 4
TOO_FEW_GOOD_PIXELS = 8
NEAR_EDGE = 256
PARTLY_MASKED = 512
SATURATED = 1024
#: Any of these bits means that there is no cutout.
REJECTED = POSITION_NOT_FINITE | OFF_IMAGE | WINDOW_OFF_IMAGE | TOO_FEW_GOOD_PIXELS

#: Pixels at or beyond this count as not finite: sums and differences of others stay within float32.
LARGEST = np.float32(1e30)
#: Noise below this counts as none: its inverse must stay within float32.
SMALLEST = 1e-36

#: Lines that order statistics go over are padded to whole vectors of this many values.
LANES = 64
