"""Defects of the detector: hot and cold pixels, bad columns and rows, charge traps.

They are made in the silicon, as cosmic rays are (`particles`), so they are never convolved with the
PSF.
"""

from collections.abc import Iterator

import numpy as np

from .._arrays import F64, I64
from . import _render
from .artefacts_config import ArtefactConfig
from .canvas import Artefact, Canvas
from .draws import chance, log_uniform, power_law, uniform


def add_hot_pixels(canvas: Canvas, rng: np.random.Generator, charge: F64, shared: float) -> None:
    """Add hot pixels of the given charges (electrons); a fraction `shared` spill over.

    Half of those that spill share with one neighbour (two adjacent defects, or charge trailing
    in the transfer), half with all four (capacitive coupling of a few percent).

    Parameters
    ----------
    canvas : Canvas
        Changed in place.
    rng : numpy.random.Generator
        Source of all randomness.
    charge : array, shape (n,)
        Electrons of each.
    shared : float
        From 0 to 1.
    """
    height, width = canvas.shape
    n = charge.size
    x, y = rng.integers(0, width, n), rng.integers(0, height, n)
    for which, dx, dy, part in shares(rng, charge, shared):
        _render.add_pixels(*canvas.layers, x[which] + dx, y[which] + dy, part, int(Artefact.HOT_PIXEL))
    canvas.record("hot_pixel", x.astype(float), y.astype(float), charge)


def shares(rng: np.random.Generator, charge: F64, shared: float) -> Iterator[tuple[I64, I64, I64, F64]]:
    """Draw which pixels hold the charges of `add_hot_pixels`: which of them, where from it, how much.

    Yields
    ------
    which : int array, shape (k,)
        Indices of `charge`.
    dx, dy : int array, shape (k,)
        Pixels from the defect.
    part : array, shape (k,)
        Electrons there.
    """
    here = np.zeros(charge.size, np.int64)
    yield np.arange(charge.size), here, here, charge
    kind = rng.random(charge.size)
    pair = np.flatnonzero(kind < 0.5 * shared)
    vertical = rng.random(pair.size) < 0.6
    right, down = (~vertical).astype(np.int64), vertical.astype(np.int64)
    yield pair, right, down, charge[pair] * rng.uniform(0.05, 1.0, pair.size)
    cross = np.flatnonzero((kind >= 0.5 * shared) & (kind < shared))
    leak = rng.uniform(0.01, 0.12, cross.size)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        part = charge[cross] * leak * rng.uniform(0.6, 1.4, cross.size)
        yield cross, np.full(cross.size, dx), np.full(cross.size, dy), part


def draw_defects(
    canvas: Canvas, config: ArtefactConfig, rng: np.random.Generator, noise: float, sky: float
) -> None:
    """Draw hot and cold pixels, bad columns and rows, and traps.

    `noise` is the rms of a sky pixel and `sky` its level, electrons.

    Parameters
    ----------
    canvas : Canvas
        Changed in place.
    config : ArtefactConfig
        Ranges.
    rng : numpy.random.Generator
        Source of all randomness.
    noise, sky : float
        Rms and level of a pixel of sky, electrons.
    """
    area = canvas.signal.size / 512**2
    if not chance(rng, config.no_hot_pixels):
        n = int(rng.poisson(log_uniform(rng, config.hot_pixels) * area))
        slope = uniform(rng, (0.6, 1.5))
        charge = noise * power_law(rng, *config.hot_size, slope, n)
        add_hot_pixels(canvas, rng, charge, config.hot_shared * uniform(rng, (0, 2)))
    if not chance(rng, config.no_cold_pixels):
        n = int(rng.poisson(log_uniform(rng, config.cold_pixels) * area))
        # Bad darks can dig deeper than the sky, dead pixels cannot.
        depth = noise * power_law(rng, 3.0, 300.0, 0.8, n)
        if chance(rng, 0.6):
            depth = np.minimum(depth, sky + 3 * noise)
        height, width = canvas.shape
        x, y = rng.integers(0, width, n), rng.integers(0, height, n)
        _render.add_pixels(*canvas.layers, x, y, -depth, int(Artefact.COLD))
        canvas.record("cold_pixel", x.astype(float), y.astype(float), -depth)
    for _ in range(rng.poisson(config.columns)):
        draw_column(canvas, rng, noise, sky, as_row=chance(rng, 0.25))
    for _ in range(rng.poisson(config.traps)):
        draw_trap(canvas, rng, noise)


def draw_column(
    canvas: Canvas,
    rng: np.random.Generator,
    noise: float,
    sky: float,
    as_row: bool = False,
) -> None:
    """Draw a bad column or row: whole or from a defect to the end, 1 to 3 wide, bright or dark."""
    signal, largest, codes = canvas.layers
    if as_row:
        signal, largest, codes = signal.T, largest.T, codes.T
    length, count = signal.shape
    bright = chance(rng, 0.65)
    at = int(rng.integers(0, count))
    wide = int(rng.choice((1, 1, 1, 2, 3)))
    part = slice(0, length)
    if chance(rng, 0.5):
        start = int(rng.integers(0, length))
        part = slice(start, length) if chance(rng, 0.5) else slice(0, start + 1)
    size = noise * (log_uniform(rng, (0.5, 200.0)))
    if not bright:
        size = -min(size, sky + noise)
    values = np.full(part.stop - part.start, size, np.float32)
    if chance(rng, 0.4):  # flickering defects: not the same in every row
        values *= rng.uniform(0.2, 1.8, values.size).astype(np.float32)
    code = Artefact.HOT_PIXEL if bright else Artefact.COLD
    block = (part, slice(at, at + wide))
    signal[block] += values[:, None]
    codes[block] = np.where(np.abs(values)[:, None] > largest[block], int(code), codes[block])
    largest[block] = np.maximum(largest[block], np.abs(values)[:, None])
    middle = 0.5 * (part.start + part.stop - 1)
    x, y = (middle, float(at)) if as_row else (float(at), middle)
    kind = "bad_row" if as_row else "bad_column"
    canvas.record_one(kind, x, y, float(values.sum()))


def draw_trap(canvas: Canvas, rng: np.random.Generator, noise: float) -> None:
    """Draw a charge trap: a bright pixel with an exponential tail along its column."""
    height, width = canvas.shape
    x, y0 = int(rng.integers(0, width)), int(rng.integers(0, height))
    tail = log_uniform(rng, (1.0, 12.0))
    y = np.arange(y0, min(height, y0 + int(5 * tail) + 2))
    if chance(rng, 0.5):
        y = 2 * y0 - y
    value = noise * log_uniform(rng, (3.0, 100.0)) * np.exp(-np.arange(y.size) / tail)
    _render.add_pixels(*canvas.layers, np.full(y.size, x), y, value, int(Artefact.HOT_PIXEL))
    canvas.record_one("trap", x, y0, float(value.sum()))
