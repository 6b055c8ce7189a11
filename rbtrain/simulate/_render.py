"""The Numba kernels of the simulator, and nothing else.

Images are C-contiguous float32 arrays of shape (height, width) that are added to in place; the
centre of the first pixel is (x, y) = (0, 0). Artefacts go through `_put`, which also keeps the class of
the largest single contribution to each pixel.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from .._arrays import F32, F64, I64, U8


def _jit(function: Callable[..., Any]) -> Any:
    """Compile without the GIL; cached on disk where some cache directory is writable."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither this package nor the home directory is writable
        return numba.njit(nogil=True)(function)


@_jit
def _put(signal: F32, largest: F32, codes: U8, y: int, x: int, value: np.float32, code: int) -> None:
    signal[y, x] += value
    size = abs(value)
    if size > largest[y, x]:
        largest[y, x] = size
        codes[y, x] = code


@_jit
def add_stamps(
    image: F32, ix: I64, iy: I64, zone: I64, phase: I64, flux: F32, radius: I64, stamps: F32
) -> None:
    """Add `flux` times a stamp of shape (n, n), cut to a circle, at each of many pixels.

    `stamps` is (zone, phase, n, n) with odd n; `radius` is at most n // 2.
    """
    height, width = image.shape
    centre = stamps.shape[2] // 2
    for k in range(ix.size):
        r = radius[k]
        stamp = stamps[zone[k], phase[k]]
        f = flux[k]
        x0, y0 = ix[k], iy[k]
        for y in range(max(y0 - r, 0), min(y0 + r + 1, height)):
            dy = y - y0
            half = int(math.sqrt(r * r - dy * dy) + 0.5)
            left = max(x0 - half, 0)
            right = min(x0 + half + 1, width)
            if right <= left:
                continue
            source = stamp[dy + centre]
            target = image[y]
            shift = centre - x0
            for x in range(left, right):
                target[x] += f * source[x + shift]


@_jit
def merge(signal: F32, largest: F32, codes: U8, layer: F32, code: int) -> None:
    """Add a whole layer of one class of artefact."""
    for y in range(signal.shape[0]):
        for x in range(signal.shape[1]):
            if layer[y, x] != 0:
                _put(signal, largest, codes, y, x, layer[y, x], code)


@_jit
def add_pixels(signal: F32, largest: F32, codes: U8, x: I64, y: I64, value: F64, code: int) -> None:
    """Add a value to single pixels; those off the image are skipped."""
    for k in range(x.size):
        if 0 <= y[k] < signal.shape[0] and 0 <= x[k] < signal.shape[1]:
            _put(signal, largest, codes, y[k], x[k], np.float32(value[k]), code)


@_jit
def add_particles(
    signal: F32,
    largest: F32,
    codes: U8,
    x: F64,
    y: F64,
    angle: F64,
    length: F64,
    charge: F64,
    sigma_start: F64,
    sigma_end: F64,
    wiggle: F64,
    spent: F64,
    rng: np.random.Generator,
    code: int,
) -> tuple[F64, F64]:
    """Add the charge of ionising particles: a walk of short steps, each blurred by diffusion.

    Charge fluctuates from step to step with the Moyal approximation of Landau's law; `wiggle`
    is the rms change of direction (radians) per square root of pixel (multiple scattering). The square
    of the width grows evenly from start to end, as diffusion does with the depth. `spent` is the share
    of its range that a particle leaves behind: as its energy falls it loses more and turns more.
    Returns the charge-weighted mean position of each.
    """
    height, width = signal.shape
    mean_x, mean_y = np.empty(x.size), np.empty(x.size)
    wx, wy = np.empty(32), np.empty(32)
    for k in range(x.size):
        steps = max(1, math.ceil(length[k] / 0.33))
        step = length[k] / steps
        gain = np.empty(steps)
        total = 0.0
        for i in range(steps):
            z = rng.standard_normal()
            # -ln(z^2) follows Moyal's law; clipped at four widths as delta electrons leave.
            loss = 1.0 + 0.2 * min(-math.log(z * z + 1e-12), 8.0)
            # From range ~ energy**1.75: loss ~ energy**-0.75, and deflection ~ 1 / energy.
            energy = (1.0 - spent[k] * (i + 0.5) / steps) ** 0.571
            gain[i] = max(loss, 0.1) * energy**-0.75
            total += gain[i]
        px, py, a = x[k], y[k], angle[k]
        sum_x = sum_y = 0.0
        for i in range(steps):
            q = charge[k] * gain[i] / total
            energy = (1.0 - spent[k] * (i + 0.5) / steps) ** 0.571
            a += wiggle[k] * math.sqrt(step) / max(energy, 0.2) * rng.standard_normal()
            px += step * math.cos(a)
            py += step * math.sin(a)
            sum_x += q * px
            sum_y += q * py
            s0, s1 = sigma_start[k], sigma_end[k]
            s = math.sqrt(s0 * s0 + (s1 * s1 - s0 * s0) * (i + 0.5) / steps)
            reach = int(3.5 * s + 1.0)
            cx, cy = math.floor(px + 0.5), math.floor(py + 0.5)
            if cx < -reach or cy < -reach or cx >= width + reach or cy >= height + reach:
                continue
            scale = 1.0 / (math.sqrt(2.0) * s)
            for j in range(2 * reach + 1):
                dx = cx - reach + j - px
                dy = cy - reach + j - py
                wx[j] = 0.5 * (math.erf((dx + 0.5) * scale) - math.erf((dx - 0.5) * scale))
                wy[j] = 0.5 * (math.erf((dy + 0.5) * scale) - math.erf((dy - 0.5) * scale))
            for jy in range(2 * reach + 1):
                yy = cy - reach + jy
                if yy < 0 or yy >= height:
                    continue
                for jx in range(2 * reach + 1):
                    xx = cx - reach + jx
                    if 0 <= xx < width:
                        _put(signal, largest, codes, yy, xx, np.float32(q * wy[jy] * wx[jx]), code)
        mean_x[k] = sum_x / charge[k]
        mean_y[k] = sum_y / charge[k]
    return mean_x, mean_y


@_jit
def add_line(
    signal: F32,
    largest: F32,
    codes: U8,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    profile: F32,
    sampling: float,
    amplitude: float,
    soft: float,
    period: float,
    duty: float,
    phase: float,
    brightness: F64,
    sideways: F64,
    spacing: float,
    code: int,
) -> None:
    """Add a straight trail from (x0, y0) to (x1, y1).

    `profile` is the brightness across the trail at 0, 1, 2, ... `sampling` pixels from its axis;
    the ends fade over `soft` pixels. With `period` above 0 the trail is dashed: lit for the
    fraction `duty` of each period. `brightness` (a factor) and `sideways` (pixels) are those at every
    `spacing` pixels from the start.
    """
    height, width = signal.shape
    dx, dy = x1 - x0, y1 - y0
    length = math.sqrt(dx * dx + dy * dy)
    ux, uy = dx / length, dy / length
    reach = (profile.size - 2) * sampling
    far = reach + np.abs(sideways).max()
    for y in range(height):
        # The stretch of this row that lies within reach of the axis.
        if abs(uy) > 1e-6:
            middle = x0 + (y - y0) * ux / uy
            half = far / abs(uy) + 1
            left, right = max(0, int(middle - half)), min(width, int(middle + half) + 2)
        elif abs(y - y0) <= far:
            left, right = 0, width
        else:
            continue
        for x in range(left, right):
            along = (x - x0) * ux + (y - y0) * uy
            if along < -3 * soft or along > length + 3 * soft:
                continue
            place = min(max(along, 0.0) / spacing, brightness.size - 1.001)
            k = int(place)
            sway = sideways[k] + (place - k) * (sideways[k + 1] - sideways[k])
            across = abs((x - x0) * uy - (y - y0) * ux + sway)
            if across >= reach:
                continue
            t = across / sampling
            i = int(t)
            value = profile[i] + (t - i) * (profile[i + 1] - profile[i])
            value *= brightness[k] + (place - k) * (brightness[k + 1] - brightness[k])
            s = 1.0 / (math.sqrt(2.0) * soft)
            value *= 0.5 * (math.erf(along * s) - math.erf((along - length) * s))
            if period > 0:
                # Lit where the cosine is above a level. At the edges of a dash its slope turns it into
                # pixels, and the logistic of 1.702 z is a Gaussian's integral within 0.01.
                c = math.cos(2 * math.pi * (along / period + phase)) - math.cos(math.pi * duty)
                slope = 2 * math.pi / period * max(math.sin(math.pi * duty), 0.1)
                value /= 1 + math.exp(-1.702 * c / (slope * soft))
            if value != 0:
                _put(signal, largest, codes, y, x, np.float32(amplitude * value), code)


@_jit
def add_spike(
    signal: F32,
    largest: F32,
    codes: U8,
    x0: float,
    y0: float,
    angle: float,
    amplitude: float,
    scale: float,
    length: float,
    sigma: float,
    code: int,
) -> None:
    """Add one arm of a diffraction spike.

    Brightness ``amplitude / (1 + (r / scale)**2)`` along the arm, a Gaussian of `sigma` pixels
    across it, and a fade to nothing at `length`.
    """
    height, width = signal.shape
    ux, uy = math.cos(angle), math.sin(angle)
    reach = 4 * sigma
    xa, xb = min(x0, x0 + length * ux) - reach, max(x0, x0 + length * ux) + reach
    ya, yb = min(y0, y0 + length * uy) - reach, max(y0, y0 + length * uy) + reach
    for y in range(max(0, int(ya)), min(height, int(yb) + 2)):
        for x in range(max(0, int(xa)), min(width, int(xb) + 2)):
            along = (x - x0) * ux + (y - y0) * uy
            across = (x - x0) * uy - (y - y0) * ux
            if along < 0 or along > length or abs(across) > reach:
                continue
            value = amplitude / (1 + (along / scale) ** 2) * (1 - along / length)
            value *= math.exp(-0.5 * (across / sigma) ** 2)
            _put(signal, largest, codes, y, x, np.float32(value), code)


@_jit
def add_disc(
    signal: F32,
    largest: F32,
    codes: U8,
    x0: float,
    y0: float,
    outer: float,
    inner: float,
    soft: float,
    value: float,
    code: int,
) -> None:
    """Add an evenly lit disc of radius `outer` with a hole of radius `inner` and soft edges."""
    height, width = signal.shape
    reach = outer + 4 * soft
    for y in range(max(0, int(y0 - reach)), min(height, int(y0 + reach) + 2)):
        for x in range(max(0, int(x0 - reach)), min(width, int(x0 + reach) + 2)):
            r = math.sqrt((x - x0) ** 2 + (y - y0) ** 2)
            if r > reach:
                continue
            v = 1 / (1 + math.exp((r - outer) / soft))
            if inner > 0:
                v *= 1 / (1 + math.exp((inner - r) / soft))
            _put(signal, largest, codes, y, x, np.float32(value * v), code)


@_jit
def bloom(electrons: F32, full_well: np.float32, signal: F32, largest: F32, codes: U8, code: int) -> int:
    """Let the charge above the full well run along the columns, half each way.

    `electrons` is what the pixels would hold in electrons; the charge that a pixel gets from its
    saturated neighbours is added to it and to the artefacts. Returns how many columns bled.
    """
    height, width = electrons.shape
    bled = 0
    for x in range(width):
        y = 0
        while y < height:
            if electrons[y, x] <= full_well:
                y += 1
                continue
            start = y
            excess = 0.0
            while y < height and electrons[y, x] > full_well:
                excess += electrons[y, x] - full_well
                y += 1
            bled += 1
            for step in (-1, 1):
                left = 0.5 * excess
                row = start - 1 if step < 0 else y
                while left > 0 and 0 <= row < height:
                    room = full_well - electrons[row, x]
                    if room > 0:
                        take = min(room, left)
                        electrons[row, x] += take
                        _put(signal, largest, codes, row, x, np.float32(take), code)
                        left -= take
                    row += step
    return bled


@_jit
def spline_surface(coarse: F32, cell: float, out: F32) -> None:
    """Fill `out` with the uniform cubic B-spline surface over knots `cell` pixels apart."""
    height, width = out.shape
    row = np.empty(coarse.shape[1], np.float32)
    weights = np.empty((width, 4), np.float32)
    for x in range(width):
        _spline_weights(x / cell - math.floor(x / cell), weights[x])
    wy = np.empty(4, np.float32)
    for y in range(height):
        j = math.floor(y / cell)
        _spline_weights(y / cell - j, wy)
        for i in range(coarse.shape[1]):
            row[i] = (
                wy[0] * coarse[j, i]
                + wy[1] * coarse[j + 1, i]
                + wy[2] * coarse[j + 2, i]
                + wy[3] * coarse[j + 3, i]
            )
        for x in range(width):
            i = math.floor(x / cell)
            w = weights[x]
            out[y, x] = w[0] * row[i] + w[1] * row[i + 1] + w[2] * row[i + 2] + w[3] * row[i + 3]


@_jit
def _spline_weights(t: float, out: F32) -> None:
    out[0] = (1 - t) ** 3 / 6
    out[1] = 2 / 3 - t * t + t**3 / 2
    out[3] = t**3 / 6
    out[2] = 1 - out[0] - out[1] - out[3]


@_jit
def add_noise(expected: F32, normal: F32, flat_noise: np.float32, floor: np.float32) -> None:
    """Turn standard `normal` deviates into noisy pixels, in place.

    The variance is photons plus flat-field error plus ``floor**2``; the second term of the
    Cornish-Fisher expansion gives it the skewness of the photons' Poisson distribution.
    """
    for y in range(expected.shape[0]):
        for x in range(expected.shape[1]):
            mean = max(expected[y, x], np.float32(0))
            variance = mean + (flat_noise * mean) ** 2 + floor * floor
            z = normal[y, x]
            if variance > 0:
                skew = mean / (variance * math.sqrt(variance))
                z = math.sqrt(variance) * (z + skew * (z * z - 1) / 6)
            else:
                z = 0.0
            normal[y, x] = expected[y, x] + z


@_jit
def resample(
    image: F32,
    stars: F32,
    galaxies: F32,
    artefacts: F32,
    codes: U8,
    matrix: F64,
    shift: F64,
    table: F32,
    out: F32,
    out_codes: U8,
) -> None:
    """Resample four layers at ``source = matrix @ (x, y) + shift`` with a separable kernel.

    `table` is (phases + 1, taps): the weights for each sub-pixel phase. `out` is (5, h, w): the
    layers and the sum of squared weights. A pixel's class is that of the largest contribution
    to its artefacts. Sources off the image repeat the edge.
    """
    height, width = image.shape
    phases, taps = table.shape[0] - 1, table.shape[1]
    first = taps // 2 - 1
    for y in range(height):
        for x in range(width):
            sx = matrix[0, 0] * x + matrix[0, 1] * y + shift[0]
            sy = matrix[1, 0] * x + matrix[1, 1] * y + shift[1]
            ix, iy = math.floor(sx), math.floor(sy)
            wx = table[int((sx - ix) * phases + 0.5)]
            wy = table[int((sy - iy) * phases + 0.5)]
            a = b = c = d = squares = top = np.float32(0)
            out_codes[y, x] = 0
            for j in range(taps):
                yy = min(max(iy - first + j, 0), height - 1)
                for i in range(taps):
                    xx = min(max(ix - first + i, 0), width - 1)
                    weight = wy[j] * wx[i]
                    a += weight * image[yy, xx]
                    b += weight * stars[yy, xx]
                    c += weight * galaxies[yy, xx]
                    part = weight * artefacts[yy, xx]
                    d += part
                    squares += weight * weight
                    if abs(part) > top:
                        top = abs(part)
                        out_codes[y, x] = codes[yy, xx]
            out[0, y, x], out[1, y, x], out[2, y, x], out[3, y, x] = a, b, c, d
            out[4, y, x] = squares
