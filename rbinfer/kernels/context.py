"""The wide view of the default preset: means of cells that reach far around an object."""

from typing import Any

import numpy as np

from .constants import LARGEST
from .jit import jit
from .numerics import all_finite, asinh
from .windows import any_masked, is_good


@jit
def _add_whole(
    pixels: Any, sky: Any, has_sky: bool, centre: int, level: Any, offsets: Any, shares: Any,
    context: Any,
) -> None:  # fmt: skip
    """Fill the cells with means of samples that all lie on the image; not finite where these are not.

    Pixel by pixel: CPUs take longer to gather them into vectors.
    """
    n_samples, n_cells = shares.shape
    for p in range(n_cells):
        total = np.float32(0.0)
        for s in range(n_samples):
            at = np.uint64(centre + offsets[s, p])
            total += shares[s, p] * (pixels[at] - (sky[at] if has_sky else level))
        context[p] = total


@jit
def _add_good(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, ci: int, cj: int, level: Any,
    samples: Any, shares: Any, context: Any,
) -> None:  # fmt: skip
    """Fill the cells with means of their good samples, 0 without any."""
    height, width = image.shape
    n_samples, n_cells = shares.shape
    for p in range(n_cells):
        total, count = np.float32(0.0), 0
        for s in range(n_samples):
            i, j = ci + samples[0, s, p], cj + samples[1, s, p]
            on_image = 0 <= i < height and 0 <= j < width
            if shares[s, p] > 0 and on_image and is_good(image, mask, has_mask, i, j):
                total += image[i, j] - (bg_map[i, j] if has_bg_map else level)
                count += 1
        context[p] = total / np.float32(max(count, 1))


@jit
def fill_context(
    image: Any, mask: Any, has_mask: bool, bg_map: Any, has_bg_map: bool, ci: int, cj: int, level: Any,
    sigma: Any, pixels: Any, sky: Any, samples: Any, offsets: Any, shares: Any, reach: int,
    context: Any,
) -> None:  # fmt: skip
    """Fill the cells of the wide view: asinh of means over the noise."""
    height, width = image.shape
    side = 2 * reach + 1
    is_whole = (
        reach <= ci < height - reach and reach <= cj < width - reach
        and not (has_mask and any_masked(mask, ci - reach, cj - reach, side, side))
    )  # fmt: skip
    if is_whole:
        centre = ci * width + cj
        _add_whole(pixels, sky, has_bg_map, centre, level, offsets, shares, context)
        is_whole = all_finite(context, context.size)
    if not is_whole:
        _add_good(
            image, mask, has_mask, bg_map, has_bg_map, ci, cj, level, samples, shares, context
        )  # fmt: skip
    inverse = np.float32(1.0 / sigma)
    for p in range(context.size):
        context[p] = asinh(max(min(context[p] * inverse, LARGEST), -LARGEST))
