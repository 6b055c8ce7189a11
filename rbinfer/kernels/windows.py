"""What both presets do with an image, its windows and their channels."""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .constants import LARGEST, OFF_IMAGE, POSITION_NOT_FINITE, REJECTED
from .jit import jit
from .numerics import asinh

_codegen: Any = cgutils  # it has no annotations

# Float32 pixels of a cache line, which has 64 bytes on the processors that we know.
_LINE = 16

#: Largest side, in pixels, of a window that is prefetched.
MOST_AHEAD = 128
# The number of parts that it is prefetched in.
_PARTS = 4
# Of the neighbours of a bad pixel, 12 with those at its sides twice, so many must be good to tell of it.
_TELLING = 6


@jit
def write_channels(
    values: Any, n: int, inverse: Any, scale_linear: Any, scale_asinh: Any, limit: Any,
    workspace: Any, out: Any,
) -> None:  # fmt: skip
    """Fill `out` with both channels of `n` background-subtracted values, in turns."""
    # asinh goes to the workspace first, because LLVM does not vectorise it into every other element. Nor
    # does it vectorise the second loop for an array of pairs, whose stride it does not know.
    for p in range(n):
        value = asinh(np.float32(values[p] * inverse)) * scale_asinh
        workspace[p] = min(max(value, -limit), limit)
    for p in range(n):
        out[np.uint64(2 * p)] = min(max(values[p] * scale_linear, -limit), limit)
        out[np.uint64(2 * p + 1)] = workspace[p]


@jit
def position_status(x: float, y: float, width: int, height: int) -> int:
    """Return the status bit of a position that cannot be cut at; 0 on the image."""
    if not (math.isfinite(x) and math.isfinite(y)):
        return POSITION_NOT_FINITE
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        return OFF_IMAGE
    return 0


@jit
def clear_rejected(status: Any, out: Any) -> None:
    """Zero the cutouts that could not be made."""
    for k in range(status.size):
        if status[k] & REJECTED:
            fill(out[k], 0.0)


@jit
def copy(source: Any, n: int, target: Any) -> None:
    """Copy ``source[:n]``."""
    # Loops compile in a fraction of the time that assignments to slices take.
    for p in range(n):
        target[p] = source[p]


@jit
def fill(target: Any, value: Any) -> None:
    """Give all of `target` one value."""
    for p in range(target.size):
        target[p] = value


@jit
def copy_rows(source: Any, top: int, left: int, h: int, w: int, target: Any) -> None:
    """Copy a window of `h` rows and `w` columns, row by row."""
    # With unsigned indices Numba does not test for negative ones, here and below.
    for i in range(h):
        a, p = np.uint64(top + i), i * w
        for j in range(w):
            target[np.uint64(p + j)] = source[a, np.uint64(left + j)]


@jit
def any_masked(mask: Any, top: int, left: int, h: int, w: int) -> Any:
    """Tell whether any pixel of a window is masked."""
    count = np.int32(0)
    for i in range(h):
        a = np.uint64(top + i)
        for j in range(w):
            count = np.int32(count + mask[a, np.uint64(left + j)])
    return count > 0


@jit
def is_good(image: Any, mask: Any, has_mask: bool, i: int, j: int) -> bool:
    """Tell whether a pixel is within `LARGEST` and not masked."""
    return abs(image[i, j]) < LARGEST and not (has_mask and mask[i, j])


@jit
def mended(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, level: Any, i: int, j: int
) -> Any:  # fmt: skip
    """Return what the good neighbours of a bad pixel are like, less the sky, and whether they tell.

    Those at its sides count twice. They tell if they are half of them or more: then the bad pixel lies
    alone, or in a line of bad ones.
    """
    height, width = image.shape
    total, count = 0.0, 0
    for a in range(max(i - 1, 0), min(i + 2, height)):
        for b in range(max(j - 1, 0), min(j + 2, width)):
            if is_good(image, mask, has_mask, a, b):
                weight = 2 if a == i or b == j else 1
                total += weight * (image[a, b] - (bg_map[a, b] if has_bg_map else level))
                count += weight
    return total / max(count, 1), count >= _TELLING


def _code_of_prefetch(context: Any, image: Any, i: Any, j: Any) -> Any:
    """Prefetch the cache line of ``image[i, j]``, which must exist."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = _codegen.get_item_pointer(
            context, builder, signature.args[0], array, list(arguments[1:]), wraparound=False
        )
        address = ir.PointerType(ir.IntType(8))
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
        function = _codegen.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = number(0), number(3), number(1)
        builder.call(function, [builder.bitcast(pointer, address), read, keep, data])
        return context.get_dummy_value()

    return types.void(image, types.intp, types.intp), code


_prefetch: Any = intrinsic(_code_of_prefetch)


@jit
def prefetch_part(image: Any, x: Any, y: Any, k: int, start: int, span: int, part: int) -> None:
    """Prefetch some rows of the window of object `k` while the object before it is worked on.

    Rows lie whole pages apart, so the hardware does not foresee them: in an image larger than the
    caches, waiting for them took a third of the time. A CPU has few prefetches under way at a time, so
    a window is prefetched in `_PARTS` parts, in turns with work.
    """
    height, width = image.shape
    # A window that is large beside the caches would drive out the one that is worked on.
    if k >= x.size or span > MOST_AHEAD:
        return
    if not (-0.5 <= x[k] < width - 0.5 and -0.5 <= y[k] < height - 0.5):
        return
    top, left = math.floor(y[k] + 0.5) + start, math.floor(x[k] + 0.5) + start
    first, last = max(left, 0), min(left + span, width) - 1
    begin, end = top + span * part // _PARTS, top + span * (part + 1) // _PARTS
    for i in range(max(begin, 0), min(end, height)):
        for j in range(first, last, _LINE):
            _prefetch(image, i, j)
        _prefetch(image, i, last)
