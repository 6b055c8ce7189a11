"""What local maxima of an image are: kinds of things, with densities in width, shape and phase.

All densities are blurred by the errors of the fits.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .candidates import Candidates

Floats = NDArray[np.float64]

#: Range of the FWHM in pixels.
NARROWEST, WIDEST = 0.4, 45.0
#: Where clusters of hits and of extended things may be, logarithms of the FWHM.
_HIT_WIDTHS = float(np.log(0.5)), float(np.log(1.8))
_WIDE_WIDTHS = float(np.log(1.8)), float(np.log(WIDEST))


@dataclass(frozen=True)
class Measured:
    """What the populations are told apart by, of n candidates.

    Attributes
    ----------
    width : ndarray of float64, shape (n,)
        Logarithm of the FWHM in pixels.
    shape, phase : ndarray of float64, shape (n, 2)
        See `rbinfer.measure.candidates.Candidates`.
    width_variance, shape_variance : ndarray of float64, shape (n,)
        Squares of the errors.
    place : ndarray of float64, shape (n, 2)
        From -1 to 1 over the image.
    brightness : ndarray of float64, shape (n,)
        Logarithm of the height over 30 times the noise, within limits.
    is_narrow : ndarray of float64, shape (n,)
        From 0 to 1: how much the phase may bear upon the fit.
    stretch : float
        How far the shapes of what is no star spread, over how far those of round fits do.
    """

    width: Floats
    width_variance: Floats
    shape: Floats
    shape_variance: Floats
    phase: Floats
    place: Floats
    brightness: Floats
    is_narrow: Floats
    stretch: float

    @classmethod
    def of(cls, found: Candidates, stretch: float) -> Self:
        """Take it from candidates."""
        place = np.stack([found.x, found.y], axis=1)
        place = 2.0 * place / np.maximum(place.max(axis=0), 1.0) - 1.0
        is_narrow = np.clip((np.log(2.2) - found.log_fwhm) / 0.4, 0.0, 1.0) * (found.factor == 1)
        return cls(
            found.log_fwhm, found.error**2, np.clip(found.shape, -2.0, 2.0),
            np.minimum(found.shape_error, 0.3) ** 2, found.phase, place,
            np.clip(np.log(found.snr / 30.0), -1.2, 2.5), is_narrow, stretch,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.width)

    @cached_property
    def roundness(self) -> Floats:
        """Squares of the lengths of the shapes."""
        squares: Floats = np.einsum("ni,ni->n", self.shape, self.shape)
        return squares

    @cached_property
    def off_centre(self) -> Floats:
        """Squares of the distances from the middles of the pixels."""
        squares: Floats = np.einsum("ni,ni->n", self.phase, self.phase)
        return squares

    @cached_property
    def width_terms(self) -> Floats:
        """What the width of a star may depend on, shape (n, 5): a constant, place, brightness, phase."""
        cosines = np.cos(2.0 * np.pi * self.phase).sum(axis=1) * self.is_narrow
        return np.column_stack([np.ones(len(self)), self.place, self.brightness, cosines])

    @cached_property
    def shape_terms(self) -> tuple[Floats, Floats]:
        """What the two numbers of its shape may depend on, shape (n, 2) each: a constant, phase."""
        cosines = np.cos(2.0 * np.pi * self.phase)
        sines = np.sin(2.0 * np.pi * self.phase).prod(axis=1)
        one = np.ones(len(self))
        along = (cosines[:, 0] - cosines[:, 1]) * self.is_narrow
        return np.column_stack([one, along]), np.column_stack([one, sines * self.is_narrow])


def _normal(square: Floats, variance: Floats | float, dimensions: int = 1) -> Floats:
    """Density of a normal deviate of the given square."""
    density: Floats = np.exp(-0.5 * square / variance) / (2.0 * np.pi * variance) ** (0.5 * dimensions)
    return density


@dataclass(frozen=True, eq=False, kw_only=True)
class Population(ABC):
    """A kind of thing in the image.

    Attributes
    ----------
    share : float
        Its share of all.
    penalty : float
        What its parameters cost, as a logarithm of a likelihood.
    """

    share: float
    penalty: float = 0.0

    @abstractmethod
    def density(self, data: Measured) -> Floats:
        """Return the density at each candidate."""

    @abstractmethod
    def refitted(self, data: Measured, weights: Floats) -> Self:
        """Return what it is like if it has so much of each candidate."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Known(Population):
    """Something whose density is known beforehand."""

    densities: Floats

    @classmethod
    def hits(cls, data: Measured) -> Self:
        """Return cosmic rays and hot pixels of detectors of all kinds together.

        The distribution of widths is that of what passes as a star by its fit alone in 300 simulated
        frames of hits only, of `rbtrain.simulate`.
        """
        parts = (0.75, 0.95, 0.33), (0.25, 1.3, 0.5)
        widths: Floats = np.sum(
            [
                share * _normal((data.width - np.log(fwhm)) ** 2, spread**2 + data.width_variance)
                for share, fwhm, spread in parts
            ],
            axis=0,
        )
        phases = 0.5 + 0.5 * _normal(data.off_centre, 0.15**2, 2)
        return cls(share=0.3, densities=widths * _hit_shapes(data) * phases)

    @classmethod
    def anything(cls, data: Measured) -> Self:
        """Return galaxies, blends, pieces of trails: of any width."""
        return cls(share=0.1, densities=_hit_shapes(data) / float(np.log(WIDEST / NARROWEST)))

    def density(self, data: Measured) -> Floats:
        """See `Population.density`."""
        return self.densities

    def refitted(self, data: Measured, weights: Floats) -> Self:
        """See `Population.refitted`."""
        return self


def _hit_shapes(data: Measured) -> Floats:
    """Density of the shapes of hits, of which many are tracks."""
    square = data.stretch**2
    round_ones = _normal(data.roundness, 0.04 * square + data.shape_variance, 2)
    return 0.5 * (round_ones + _normal(data.roundness, 0.25 * square + data.shape_variance, 2))


@dataclass(frozen=True, eq=False, kw_only=True)
class Cluster(Population):
    """Things of similar width, but not as similar as stars."""

    width: float
    spread: float
    roundness: float  # scatter of the shapes
    widths: tuple[float, float]  # ranges of these
    spreads: tuple[float, float]
    roundnesses: tuple[float, float]

    @classmethod
    def spots(cls, data: Measured) -> Self:
        """Return the compact cosmic rays of this detector: wide by how far its charge spreads."""
        middle = _median(data.width[data.width < np.log(1.6)], 0.0)
        return cls(
            share=0.2, width=middle, spread=0.15, roundness=0.15,
            widths=_HIT_WIDTHS, spreads=(0.13, 0.3), roundnesses=(0.1, 0.5),
        )  # fmt: skip

    @classmethod
    def tracks(cls, data: Measured) -> Self:
        """Return the others."""
        middle = _median(data.width[data.width < np.log(1.6)], 0.0)
        return cls(
            share=0.2, width=middle + 0.1, spread=0.35, roundness=0.3,
            widths=_HIT_WIDTHS, spreads=(0.25, 0.5), roundnesses=(0.2, 0.5),
        )  # fmt: skip

    @classmethod
    def extended(cls, data: Measured) -> Self:
        """Return galaxies, and what clouds and nebulae have of maxima."""
        middle = _median(data.width[data.width > np.log(2.0)], 1.0)
        return cls(
            share=0.1, width=middle, spread=0.35, roundness=0.2,
            widths=_WIDE_WIDTHS, spreads=(0.25, 0.6), roundnesses=(0.15, 0.5),
        )  # fmt: skip

    def density(self, data: Measured) -> Floats:
        """See `Population.density`."""
        widths = _normal((data.width - self.width) ** 2, self.spread**2 + data.width_variance)
        shapes = self.roundness**2 * data.stretch**2 + data.shape_variance
        return widths * _normal(data.roundness, shapes, 2)

    def refitted(self, data: Measured, weights: Floats) -> Self:
        """See `Population.refitted`."""
        total = float(weights.sum())
        if total < 2.0:
            return self
        precision = weights / (self.spread**2 + data.width_variance)
        width = float(precision @ data.width / precision.sum())
        square = float(weights @ ((data.width - width) ** 2 - data.width_variance)) / total
        shapes = float(weights @ (0.5 * data.roundness - data.shape_variance)) / total
        return replace(
            self,
            width=float(np.clip(width, *self.widths)),
            spread=float(np.clip(np.sqrt(max(square, 0.0)), *self.spreads)),
            roundness=float(np.clip(np.sqrt(max(shapes, 0.0)) / data.stretch, *self.roundnesses)),
        )


def _median(values: Floats, otherwise: float) -> float:
    return float(np.median(values)) if len(values) else otherwise


@dataclass(frozen=True, eq=False, kw_only=True)
class SinglePixels(Population):
    """Hot pixels that leak a little into their neighbours, all alike, in the middle of a pixel."""

    share: float = 0.1
    width: float = float(np.log(0.65))

    def density(self, data: Measured) -> Floats:
        """See `Population.density`."""
        return (
            _normal((data.width - self.width) ** 2, 0.12**2 + data.width_variance)
            * _normal(data.roundness, 0.15**2 + data.shape_variance, 2)
            * _normal(data.off_centre, 0.12**2, 2)
        )

    def refitted(self, data: Measured, weights: Floats) -> Self:
        """See `Population.refitted`."""
        total = float(weights.sum())
        if total < 2.0:
            return self
        width = float(weights @ data.width) / total
        return replace(self, width=float(np.clip(width, np.log(NARROWEST), np.log(1.1))))


#: Prior standard deviations of how the width depends on `Measured.width_terms`, but the first of them,
#: and the shape on the phase.
_WIDTH_SLOPES = np.array([0.15, 0.15, 0.07, 0.1])
_SHAPE_SLOPE = 0.1
_BRIGHTNESS = 3  # its place among the terms,
_LEAST_BRIGHTER = -0.03  # and the least slope: what the noise does to the choice of maxima
_MANY = 15.0  # stars for which slopes are free to be as large as that
#: Scatter of stars: the least, and the largest of the width and of the shape.
LEAST_SCATTER, LARGEST_SCATTER, LARGEST_SHAPE_SCATTER = 0.03, 0.09, 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class Stars(Population):
    """Stars: one profile, but for a smooth change over the image, with brightness and with phase."""

    width: Floats  # factors of width_terms
    shape_x: Floats  # and of shape_terms
    shape_y: Floats
    spread: float
    roundness: float
    widest: float = 0.0  # what the scatter of widths may be for now; it shrinks

    @classmethod
    def anywhere(cls, data: Measured) -> Self:
        """Start from all that is round: the slopes show before the scatter shrinks."""
        round_ones = data.roundness < 0.1
        rows = np.flatnonzero(round_ones) if round_ones.any() else np.arange(len(data))
        middle = rows[np.argsort(data.width[rows])[len(rows) // 2]]
        return replace(cls.at(data, int(middle)), spread=0.3, roundness=0.2, widest=0.3)

    @classmethod
    def at(cls, data: Measured, row: int) -> Self:
        """Start from what is like one candidate."""
        close = np.abs(data.width - data.width[row]) < 0.12
        shape = np.median(data.shape[close], axis=0)
        width = np.concatenate([data.width[row : row + 1], np.zeros(4)])
        along, across = np.array([shape[0], 0.0]), np.array([shape[1], 0.0])
        return cls(
            share=0.2, width=width, shape_x=along, shape_y=across, spread=LARGEST_SCATTER, roundness=0.1
        )

    def width_from(self, data: Measured) -> Floats:
        """Return how far each candidate's width is from that of a star in its place."""
        return data.width - data.width_terms @ self.width

    def shape_from(self, data: Measured) -> Floats:
        """Return the square of how far its shape is."""
        along, across = data.shape_terms
        square: Floats = (data.shape[:, 0] - along @ self.shape_x) ** 2
        square += (data.shape[:, 1] - across @ self.shape_y) ** 2
        return square

    def density(self, data: Measured) -> Floats:
        """See `Population.density`."""
        widths = _normal(self.width_from(data) ** 2, self.spread**2 + data.width_variance)
        return widths * _normal(self.shape_from(data), self.roundness**2 + data.shape_variance, 2)

    def refitted(self, data: Measured, weights: Floats) -> Self:
        """See `Population.refitted`."""
        total = float(weights.sum())
        if total < 1.5:
            return self
        # A few objects agree with some slope by chance.
        doubt = max(1.0, (_MANY / total) ** 4)
        width_prior = np.concatenate([[0.0], doubt / _WIDTH_SLOPES**2])
        shape_prior = np.array([0.0, doubt / _SHAPE_SLOPE**2])
        by_width = weights / (self.spread**2 + data.width_variance)
        by_shape = weights / (self.roundness**2 + data.shape_variance)
        along, across = data.shape_terms
        new = replace(
            self,
            width=_width_slopes(data, by_width, width_prior),
            shape_x=_ridge(along, data.shape[:, 0], by_shape, shape_prior),
            shape_y=_ridge(across, data.shape[:, 1], by_shape, shape_prior),
        )
        square = float(weights @ (new.width_from(data) ** 2 - data.width_variance)) / total
        shapes = float(weights @ (0.5 * new.shape_from(data) - data.shape_variance)) / total
        # Nor may a few differ as much as many.
        largest = LARGEST_SCATTER * float(np.clip(total / 20.0, 0.34, 1.0))
        largest = max(largest, 0.7 * self.widest)
        penalty = width_prior @ new.width**2 + shape_prior @ (new.shape_x**2 + new.shape_y**2)
        return replace(
            new,
            spread=float(np.clip(np.sqrt(max(square, 0.0)), LEAST_SCATTER, largest)),
            roundness=float(np.clip(np.sqrt(max(shapes, 0.0)), LEAST_SCATTER, LARGEST_SHAPE_SCATTER)),
            penalty=0.5 * float(penalty),
            widest=0.7 * self.widest,
        )


def _width_slopes(data: Measured, weights: Floats, prior: Floats) -> Floats:
    """Fit how the width of stars depends on its terms."""
    slopes = _ridge(data.width_terms, data.width, weights, prior)
    if slopes[_BRIGHTNESS] >= _LEAST_BRIGHTER:
        return slopes
    # Bright stars may be wide. Bright and narrow, faint and wide is what hits are.
    terms: Floats = data.width_terms.copy()
    rest: Floats = data.width - _LEAST_BRIGHTER * terms[:, _BRIGHTNESS]
    terms[:, _BRIGHTNESS] = 0.0
    slopes = _ridge(terms, rest, weights, prior + 1e-9)
    slopes[_BRIGHTNESS] = _LEAST_BRIGHTER
    return slopes


def _ridge(terms: Floats, values: Floats, weights: Floats, prior: Floats) -> Floats:
    weighted = terms * weights[:, None]
    normal = weighted.T @ terms + np.diag(prior)
    return np.asarray(np.linalg.solve(normal, weighted.T @ values), np.float64)
