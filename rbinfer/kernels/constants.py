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
#: Side in pixels of the blocks that have one maximum each, where stars are looked for.
BLOCK_SIDE = 8
#: Levels of the histogram of a cell of the background mesh, at most.
MOST_LEVELS = 4096
#: Levels that are summed up together: a divisor of `MOST_LEVELS`.
LEVELS_A_BLOCK = 64

#: Columns of what `rbinfer.kernels.islands.measure_islands` finds. Number of pixels; sum of their
#: values, and of those smoothed that are above 0; brightest value, and smoothed; brightest pixel;
#: centre, and moments about it;
N_PIXELS, FLUX, SMOOTH_FLUX, PEAK, PEAK_SMOOTH, PEAK_X, PEAK_Y, FIRST_X, FIRST_Y, XX, YY, XY = range(12)
#: threshold; flags; ratio of areas; what as many pixels as are asked for have above the threshold.
THRESHOLD, FLAGS, AREA_RATIO, SPARE = range(12, 16)
N_COLUMNS = 16
#: Flags of detections, as SEP has them.
MERGED, TRUNCATED, SINGULAR = 1, 2, 8
#: Lines of an image that `rbinfer.kernels.runs.find_runs` works with.
N_LINES = 15
#: What `rbinfer.kernels.deblend` works with for each pixel of an island.
N_NUMBERS = 17

#: What the columns of a table hold that is written as text: whole numbers, reals of 64 and of 32 bits,
#: and texts.
WHOLE, DOUBLE, SINGLE, TEXT = range(4)
#: A text is told by where it begins, times this, and its length in bytes.
TEXT_ROOM = 2**20
#: The powers of ten that reals of 64 bits need to be written, each as a number of so many bits.
LOWEST_POWER, HIGHEST_POWER, POWER_BITS = -292, 324, 126
#: Digits before the point beyond which reals of 64 bits are written with an exponent.
MOST_OF_DOUBLE = 16
