"""The figures that are watched: on which scale, with which scatter, and in which direction."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .frames import FrameFigures

#: Of a frame, its value on a scale on which the same difference is as odd everywhere; None where it is
#: not known.
Value = Callable[[FrameFigures], float | None]


@dataclass(frozen=True)
class Figure:
    """A figure that is watched.

    Attributes
    ----------
    name, label : str
        For programs, and for people.
    value : callable
        Of a frame on the scale of the figure.
    floor : callable
        Of a frame and what is expected, on the scale: how far frames that are alike may well differ.
    plain : callable
        From the scale to the number that people know.
    unit : str
        How the number is written, a format.
    up, down : bool
        Whether more, and whether less, is a drift.
    within : callable, optional
        As `floor`, of frames of one night: the least scatter by which a change from the frames before is
        judged. None where such changes are not looked at. Where more is a drift, only more is a change:
        a fault that ends is none.
    of_field : bool
        Whether another field of the sky changes it.
    """

    name: str
    label: str
    value: Value
    floor: Callable[[FrameFigures, float], float]
    plain: Callable[[float], float]
    unit: str
    up: bool = True
    down: bool = False
    within: Callable[[FrameFigures, float], float] | None = None
    of_field: bool = False

    def told(self, value: float) -> str:
        """Return a value of the scale as people read it."""
        return self.unit.format(self.plain(value))


def _logarithm(frame: FrameFigures, *, name: str) -> float | None:
    value = getattr(frame, name)
    return float(np.log(value)) if value is not None and value > 0 else None


def _as_it_is(frame: FrameFigures, *, name: str) -> float | None:
    value: float | None = getattr(frame, name)
    return value


def _root(n: float) -> float:
    """Return the Anscombe transform of a count, whose scatter is 1 for Poisson's distribution."""
    return float(2.0 * np.sqrt(n + 0.375))


def _count(value: float) -> float:
    return max(0.0, value**2 / 4.0 - 0.375)


def _root_of_real(frame: FrameFigures) -> float | None:
    return None if frame.real is None else _root(frame.real)


def _root_of_class(frame: FrameFigures, *, name: str) -> float | None:
    return None if frame.classes is None else _root(frame.classes.get(name, 0))


def _bogus_angle(frame: FrameFigures) -> float | None:
    """Return the angular transform of the bogus fraction: its scatter does not depend on itself."""
    if frame.bogus is None or not frame.scored:
        return None
    return float(np.arcsin(np.sqrt(frame.bogus / frame.scored)))


def _fixed(frame: FrameFigures, expected: float, *, floor: float) -> float:
    return floor


def _of_angle(frame: FrameFigures, expected: float) -> float:
    """Return the scatter by counting and, since other fields have more stars or fewer, 0.06."""
    return float(np.hypot(0.5 / np.sqrt(max(frame.scored or 0, 1)), 0.06))


def _of_level(frame: FrameFigures, expected: float) -> float:
    """Return the share of the background by which good nights differ, and some noise where it is 0.

    A tenth below and 0.15 above: at the limit both are about the same ratio.
    """
    share = 0.15 if frame.background is not None and frame.background > expected else 0.1
    return float(np.hypot(share * expected, 0.2 * (frame.noise or 0.0)))


def _of_range(frame: FrameFigures, expected: float) -> float:
    """Return a twentieth of the background, as flat fields make it uneven, and some noise."""
    return float(np.hypot(0.05 * (frame.background or 0.0), 0.3 * (frame.noise or 0.0)))


def _of_stars(frame: FrameFigures, expected: float) -> float:
    """Return the scatter by counting and, since fields differ in their stars, a fifth of them."""
    # A count that is larger by a fifth has a root that is larger by a tenth.
    return float(np.hypot(1.0, 0.1 * expected))


def _of_level_within(frame: FrameFigures, expected: float) -> float:
    """Return a thirtieth of the background and, where that is subtracted, a tenth of the noise."""
    return float(np.hypot(0.03 * expected, 0.1 * (frame.noise or 0.0)))


def _of_stars_within(frame: FrameFigures, expected: float) -> float:
    """Return the scatter by counting and by what thin haze hides."""
    return float(np.hypot(1.0, 0.05 * expected))


def _logarithmic(name: str, label: str, unit: str, change: float, within: float) -> Figure:
    """Return a figure whose change by a share of itself is what counts."""
    value, floor = partial(_logarithm, name=name), partial(_fixed, floor=change)
    closer = partial(_fixed, floor=within)
    return Figure(name, label, value, floor, lambda v: float(np.exp(v)), unit, within=closer)


FIGURES = (
    _logarithmic("fwhm", "FWHM", "{:.2f} px", 0.12, 0.05),
    Figure(
        "ellipticity",
        "ellipticity",
        partial(_as_it_is, name="ellipticity"),
        partial(_fixed, floor=0.02),
        float,
        "{:.2f}",
        within=partial(_fixed, floor=0.02),
    ),
    Figure(
        "background",
        "background",
        partial(_as_it_is, name="background"),
        _of_level,
        float,
        "{:.4g}",
        down=True,
        within=_of_level_within,
        of_field=True,
    ),
    Figure(
        "background_range",
        "difference of the background over the frame",
        partial(_as_it_is, name="background_range"),
        _of_range,
        float,
        "{:.4g}",
    ),
    replace(_logarithmic("noise", "noise", "{:.3g}", 0.06, 0.03), down=True, of_field=True),
    Figure(
        "real",
        "real detections",
        _root_of_real,
        _of_stars,
        _count,
        "{:.0f}",
        up=False,
        down=True,
        within=_of_stars_within,
        of_field=True,
    ),
    Figure(
        "bogus_fraction",
        "bogus fraction",
        _bogus_angle,
        _of_angle,
        lambda v: 100.0 * float(np.sin(v)) ** 2,
        "{:.1f} %",
    ),
)


def figure_of_class(name: str) -> Figure:
    """Return the figure of a class of artefacts: how many detections are most probably of it."""
    value = partial(_root_of_class, name=name)
    return Figure(name, f"class {name}", value, partial(_fixed, floor=1.0), _count, "{:.0f} detections")
