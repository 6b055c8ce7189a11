"""The likely cause of a drift, from which figures are off and in which direction."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from .deviations import Deviation

#: Background and noise by the same factor: another gain. Noise by the root of that: more light.
_GAIN = (0.8, 1.25)
_LEAST_CHANGE = 0.05  # of the logarithm, of either
#: More light shows in the background itself, from this z on.
_LEAST_LIGHT = 2.0
#: Counts of sources fall with the limit in flux by this power at most (sources of one brightness, evenly
#: in space); what falls further than the noise explains is hidden.
_STEEPEST = 1.5


class Cause(NamedTuple):
    """A likely cause: its name, and what it may be in words."""

    name: str
    words: str


TRACKING = Cause("tracking", "tracking or wind: the stars are drawn out")
FOCUS = Cause("focus", "focus or seeing: the stars are wide")
NO_STARS = Cause("no_stars", "no stars to measure: clouds, a closed shutter, or focus that is lost")
HOT_PIXELS = Cause("hot_pixels", "hot pixels: a warmer sensor, or a dark that was not subtracted")
TRAIL = Cause("trail", "a new trail: a satellite, an aircraft, or a streak of light")
COSMIC_RAYS = Cause("cosmic_rays", "more hits by particles")
GAIN = Cause("gain", "another gain: the noise is not that of so much light")
LIGHT = Cause("light", "light: a leak, the Moon, twilight or haze")
DARKER = Cause("darker", "less light than before: another filter, exposure or offset")
NOISE = Cause("noise", "noise: another gain or readout, or light that was subtracted")
CLOUDS = Cause("clouds", "fewer stars: clouds, dew or an obstruction, or another field")
ARTEFACTS = Cause("artefacts", "artefacts of another kind: look at the cutouts")
SCORES = Cause(
    "scores", "the model is less sure, or surer, than before: a kind of frame that it does not know"
)

Beyond = Mapping[str, Deviation]


def cause_of(beyond: Beyond, all_figures: Beyond) -> Cause:
    """Name the likely cause.

    Parameters
    ----------
    beyond : mapping of str to Deviation
        The figures that are off; at least one.
    all_figures : mapping of str to Deviation
        All figures of the same frames.

    Returns
    -------
    Cause
        Of several the one that explains the others: stars that are drawn out change the scores, but
        scores do not draw out stars.
    """
    for name, cause in _FIRST:
        if name in beyond and beyond[name].z > 0:
            return cause
    if {"transfer", "noise", "background"} & beyond.keys():
        return _of_levels(beyond, all_figures)
    for name, cause in _LAST:
        if name in beyond:
            return cause
    return SCORES


#: Checked one after another, before the levels and after them.
_FIRST = (
    ("ellipticity", TRACKING),
    ("fwhm", FOCUS),
    ("hot_pixel", HOT_PIXELS),
    ("trail", TRAIL),
    ("background_range", LIGHT),
)
_LAST = (
    ("no_stars", NO_STARS),
    ("real", CLOUDS),
    ("cosmic_ray", COSMIC_RAYS),
    ("bogus_fraction", ARTEFACTS),
    ("scores", SCORES),
)


def _of_levels(beyond: Beyond, all_figures: Beyond) -> Cause:
    """Tell light, gain and clouds apart by how background, noise and stars changed together."""
    if "transfer" in beyond:
        return GAIN
    noise, background = (_change(all_figures.get(name)) for name in ("noise", "background"))
    is_told = "transfer" in all_figures  # by the photon transfer it is no other gain
    if not is_told and noise and background is not None and abs(background) > _LEAST_CHANGE:
        low, high = _GAIN
        if low < noise / background < high:
            return GAIN
    is_lit = "background" in all_figures and all_figures["background"].z > _LEAST_LIGHT
    if is_lit and background is not None and background > _LEAST_CHANGE:
        real = _change(all_figures.get("real"))
        hidden = -_STEEPEST * max(noise or 0.0, 0.0) - _LEAST_CHANGE
        return CLOUDS if "real" in beyond and real is not None and real < hidden else LIGHT
    if "real" in beyond:
        return CLOUDS
    if "background" in beyond:
        return LIGHT if beyond["background"].z > 0 else DARKER
    return NOISE


def _change(deviation: Deviation | None) -> float | None:
    """Return the logarithm of a figure over what is expected; None where either is not positive."""
    if deviation is None or min(deviation.value, deviation.expected) <= 0:
        return None
    return math.log(deviation.value / deviation.expected)
