"""Slow, plain-NumPy versions of both presets, written from their description."""

import numpy as np

from rbinfer.status import Status

MAD = 1.482602218505602


def rescale_factors(fwhm, spec):
    scale = fwhm / spec.target_fwhm
    if scale > spec.rescale_threshold:
        return int(np.round(scale)), 1
    if scale < 1 / spec.rescale_threshold:
        return 1, int(np.round(1 / scale))
    return 1, 1


def share_of_pixels(centre, width):
    """Shares that the pixels around `centre` have in an interval of `width`: {offset: share}."""
    low, high = centre - width / 2, centre + width / 2
    shares = {}
    for k in range(int(np.floor(low)) - 1, int(np.ceil(high)) + 2):
        overlap = min(k + 0.5, high) - max(k - 0.5, low)
        if overlap > 1e-9:
            shares[k] = overlap / width
    return shares


def reference(image, x, y, spec, fwhm, mask=None):
    """One object by the reference preset: (cutout, status)."""
    radius = spec.size // 2
    height, width = image.shape
    if not (np.isfinite(x) and np.isfinite(y)):
        return None, Status.POSITION_NOT_FINITE
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        return None, Status.OFF_IMAGE
    x1, x2 = int(x - radius), int(x + radius + 1)
    y1, y2 = int(y - radius), int(y + radius + 1)
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        return None, Status.WINDOW_OFF_IMAGE
    cut = image[y1:y2, x1:x2].astype(np.float64)
    bad = ~np.isfinite(cut)
    if mask is not None:
        bad |= mask[y1:y2, x1:x2]
    status = 0
    if (~bad).mean() < spec.min_good:
        return None, Status.TOO_FEW_GOOD_PIXELS
    if bad.any():
        cut[bad] = np.median(cut[~bad])
        status = Status.PARTLY_MASKED
    edges = np.concatenate([cut[0], cut[-1], cut[:, 0], cut[:, -1]])
    level = np.median(edges)
    sigma = MAD * np.median(np.abs(cut - np.median(cut)))
    if not (np.isfinite(sigma) and sigma > 0):
        sigma = 1.0
    down, up = rescale_factors(fwhm, spec)
    if down > 1:
        h, w = (n // down * down for n in cut.shape)
        cut = cut[:h, :w].reshape(h // down, down, w // down, down).mean(axis=(1, 3))
    cut = np.repeat(np.repeat(cut, up, axis=0), up, axis=1) - level
    channels = [cut, np.arcsinh(cut / (spec.asinh_softening * sigma))]
    out = []
    for channel in channels:
        peak = np.abs(channel).max()
        channel = channel / peak if peak > 1e-10 else channel
        for axis in (0, 1):
            n = channel.shape[axis]
            if n > spec.size:
                start = (n - spec.size) // 2
                channel = channel.take(range(start, start + spec.size), axis=axis)
            else:
                before = (spec.size - n) // 2
                pad = [(0, 0), (0, 0)]
                pad[axis] = (before, spec.size - n - before)
                channel = np.pad(channel, pad, mode="edge")
        out.append(channel)
    return np.stack(out, axis=-1), status


def default(image, x, y, spec, fwhm, mask=None, bg=None, err=None):
    """One object by the default preset: (cutout, status, S/N, native pixels)."""
    height, width = image.shape
    if not (np.isfinite(x) and np.isfinite(y)):
        return None, Status.POSITION_NOT_FINITE, np.nan, None
    ci, cj = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
    if not (0 <= ci < height and 0 <= cj < width):
        return None, Status.OFF_IMAGE, np.nan, None
    ok = np.isfinite(image)
    if mask is not None:
        ok &= ~mask
    candidates = [
        (-float(image[i, j]), (i - ci) ** 2 + (j - cj) ** 2, i, j)
        for i in range(max(ci - spec.recentre, 0), min(ci + spec.recentre + 1, height))
        for j in range(max(cj - spec.recentre, 0), min(cj + spec.recentre + 1, width))
        if ok[i, j]
    ]
    if candidates and spec.recentre:
        _, _, ci, cj = min(candidates)
    scale = fwhm / spec.target_fwhm
    if 1 / spec.rescale_threshold <= scale <= spec.rescale_threshold:
        scale = 1.0
    size, half = spec.size, spec.size // 2
    pixels = image.astype(np.float64) - (0 if bg is None or np.ndim(bg) == 0 else bg)
    pixels, known = mended(pixels, ok)
    shares = [share_of_pixels((p - half) * scale, max(scale, 1.0)) for p in range(size)]
    value = np.zeros((size, size))
    good = np.zeros((size, size), bool)
    n_good = n_inside = 0.0
    noise_at = {}
    for i in range(size):
        for j in range(size):
            middle = ci + int(np.rint((i - half) * scale)), cj + int(np.rint((j - half) * scale))
            if 0 <= middle[0] < height and 0 <= middle[1] < width:
                noise_at[i, j] = middle
            total = share = 0.0
            for di, wi in shares[i].items():
                for dj, wj in shares[j].items():
                    a, b = ci + di, cj + dj
                    if 0 <= a < height and 0 <= b < width:
                        n_inside += wi * wj
                        n_good += wi * wj * ok[a, b]
                        if known[a, b]:
                            total += wi * wj * pixels[a, b]
                            share += wi * wj
            if share > 0.4999:
                good[i, j] = True
                value[i, j] = total / share
    n_native = size * size
    status = 0
    if n_inside < n_native - 1e-6:
        status |= Status.NEAR_EDGE
    if n_good < n_inside - 1e-6:
        status |= Status.PARTLY_MASKED
    core = (slice(half - 1, half + 2),) * 2
    if n_good < spec.min_good * n_native or not good[core].any():
        return None, status | Status.TOO_FEW_GOOD_PIXELS, np.nan, None
    ring = np.ones((size, size), bool)
    ring[1:-1, 1:-1] = False
    sample = value[ring & good]
    if len(sample) < 2 * size:
        sample = value[good]
    level = np.median(sample)
    sigma = MAD * np.median(np.abs(sample - level))
    if bg is not None:
        level = float(bg) if np.ndim(bg) == 0 else 0.0
    if err is not None:
        if np.ndim(err):
            at = [noise_at[p] for p in zip(*np.nonzero(ring), strict=True) if p in noise_at]
            sigma = np.median([err[p] for p in at]) if at else err[ci, cj]
        else:
            sigma = float(err)
        sigma *= np.mean([sum(w * w for w in share.values()) for share in shares])
    value = np.where(good, value - level, 0.0)
    peak = np.abs(value).max()
    if not 1e-4 * peak < sigma < np.inf:
        sigma = 1e-4 * peak if peak > 0 else 1.0
    snr = value[core].sum() / (3 * sigma)
    centre = max(np.abs(value[core]).max(), sigma)
    curved = np.arcsinh(value / (spec.asinh_softening * sigma))
    out = []
    for channel, norm in ((value, spec.linear_norm), (curved, spec.asinh_norm)):
        top = centre if norm == "centre" else max(peak, sigma)
        if channel is curved:
            top = np.arcsinh(top / (spec.asinh_softening * sigma))
        out.append(np.clip(channel / top, -spec.clip, spec.clip))
    native = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            a, b = ci + i - 2, cj + j - 2
            if 0 <= a < height and 0 <= b < width and known[a, b]:
                native[i, j] = pixels[a, b] - level
    top = max(np.abs(native).max(), sigma)
    native_core = [*(native / top).flat, np.arcsinh(top / sigma), np.log(scale)]
    wide = wide_view(np.where(ok, pixels - level, np.nan), ci, cj, max(round(8 * scale), 1))
    return np.stack(out, axis=-1), status, snr, np.array([*native_core, *np.arcsinh(wide / sigma).flat])


def mended(pixels, ok):
    """Pixels with the mean of their good neighbours in place of bad ones, and which are known then.

    Neighbours at the sides count twice; half of all 12 parts must be good.
    """
    mended, known = pixels.copy(), ok.copy()
    for i, j in zip(*np.nonzero(~ok), strict=True):
        near = [
            (2 if a == i or b == j else 1, pixels[a, b])
            for a in range(max(i - 1, 0), min(i + 2, len(ok)))
            for b in range(max(j - 1, 0), min(j + 2, ok.shape[1]))
            if ok[a, b]
        ]
        parts = sum(part for part, _ in near)
        if parts >= 6:
            known[i, j] = True
            mended[i, j] = sum(part * value for part, value in near) / parts
    return mended, known


def wide_view(pixels, ci, cj, cell):
    """Means of 13 x 13 cells about a pixel, of those on the lattice that are no NaN; else 0."""
    slope = 0
    while ((slope + 1) ** 2 + 1) * 6 <= cell * cell:
        slope += 1
    top, left = ci - 13 * cell // 2, cj - 13 * cell // 2
    found = [[[] for _ in range(13)] for _ in range(13)]
    for i in range(13 * cell):
        for j in range(13 * cell):
            on_lattice = (j + slope * i) % (slope * slope + 1) == 0
            on_image = 0 <= top + i < pixels.shape[0] and 0 <= left + j < pixels.shape[1]
            if on_lattice and on_image and np.isfinite(pixels[top + i, left + j]):
                found[i // cell][j // cell].append(pixels[top + i, left + j])
    return np.array([[np.mean(values) if values else 0.0 for values in line] for line in found])
