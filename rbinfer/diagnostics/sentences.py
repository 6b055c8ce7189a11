"""An explanation in words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..io.labels import PERSON
from ..measure.single import NARROWEST, OwnShape
from ..status import UNSCORED
from ..status import explain as bits_in_words
from .examples import Example
from .explain import Explanation

_NARROW, _WIDE = 0.75, 1.35  # FWHM over that of the stars, outside of which it is told as another
_LITTLE_NARROWER, _LITTLE_WIDER = 0.9, 1.1  # outside of which it is not told as the same
_LONG = 1.6  # ratio of the axes
_LEFT = 0.35  # of its light that the star leaves, above which it is said not to fit
_FAINT = 4.0  # S/N below which shapes are those of the noise
_LITTLE = 0.01  # change of the score that is not worth a word
_ALONE = 0.5  # of the neighbours that a star would have


def sentence(found: Explanation) -> str:
    """Say why an object is judged as it is.

    Parameters
    ----------
    found : Explanation

    Returns
    -------
    str
        One sentence: the verdict, what it looks like beside a star of the frame, and the class.
    """
    if found.status & UNSCORED:
        return "Not scored: " + "; ".join(text.split(": ", 2)[-1] for text in _bits(found)) + "."
    return f"{_judged(found)}: {_verdict(found)}."


def _judged(found: Explanation) -> str:
    """Return the verdict with what is seen of the object: what speaks for the verdict first."""
    if not found.snr >= _FAINT:
        above = "hardly above the noise" if found.snr > 0 else "not above the sky"
        said = f"{above} (S/N {found.snr:.1f})"
        return f"{'Real' if found.is_real else 'Bogus'}: {said}"
    against, like = _looks(found)
    if found.is_real:
        return f"Real: {'; '.join(against + like)}"
    if not against:
        return f"Bogus, though nothing measured here speaks against a star: {'; '.join(like)}"
    though = f"; though {' and '.join(like)}" if like else ""
    return f"Bogus: {'; '.join(against)}{though}"


def _looks(found: Explanation) -> tuple[list[str], list[str]]:
    """Return what tells the object from a star of the frame, and what is like one."""
    stars = "the stars of this frame" if found.width.is_trusted else "the width that was assumed"
    against, like = [], []
    if found.shape is not None:
        numbers = f"FWHM {found.shape.fwhm:.1f} against {found.width.fwhm:.1f} px"
        ratio = found.shape.fwhm / found.width.fwhm
        if ratio < _NARROW:
            against.append(f"narrower than {stars} ({numbers})")
        elif ratio > _WIDE:
            against.append(f"wider than {stars} ({numbers})")
        else:
            like.append(f"{_about_as_wide(ratio)} {stars} ({numbers})")
        if found.shape.ratio > _LONG:  # not NaN
            against.append(f"elongated {found.shape.ratio:.1f} : 1{_beside_the_star(found)}")
    if np.isfinite(found.neighbour) and found.neighbour < _ALONE * found.star_neighbour:
        against.append(
            f"no neighbouring pixel above {100 * found.neighbour:.0f} % of the brightest, where a star "
            f"has {100 * found.star_neighbour:.0f} %"
        )
    share = f"{_explained(found):.0f} % of its light is explained by the frame's star"
    if found.fit.unexplained > _LEFT:
        against.append(f"only {share}")
    else:
        like.append(share)
    return against, like


def _about_as_wide(ratio: float) -> str:
    """Compare a FWHM that is near that of the stars."""
    if ratio < _LITTLE_NARROWER:
        return "a little narrower than"
    return "a little wider than" if ratio > _LITTLE_WIDER else "as wide as"


def _explained(found: Explanation) -> float:
    """Return how much of the light the frame's star explains, in per cent."""
    return 100.0 * (1.0 - min(found.fit.unexplained, 1.0))


def _of_its_own(shape: OwnShape | None) -> str:
    """Say how wide and how long an object is, or why that can't be told."""
    if shape is None:
        return "too faint to measure its width"
    axes = f"axes {shape.ratio:.2f} : 1"
    if not np.isfinite(shape.ratio):
        axes = f"too {'narrow' if shape.fwhm < NARROWEST else 'faint'} to measure its axes"
    return f"FWHM {shape.fwhm:.2f} px, {axes}"


def _beside_the_star(found: Explanation) -> str:
    """Say how long the mean star of the frame is, if that was measured."""
    if not found.width.ellipticity < 1.0:  # NaN where it is not known
        return ""
    return f", where the mean star has {1.0 / (1.0 - found.width.ellipticity):.2f} : 1"


def _verdict(found: Explanation) -> str:
    if not found.classes:
        return f"score {found.score:.3f}"
    name, probability = max(found.classes.items(), key=lambda each: each[1])
    return f"{name.replace('_', ' ')} ({probability:.2f}), score {found.score:.3f}"


def _bits(found: Explanation) -> list[str]:
    return bits_in_words(found.status)


def in_words(found: Explanation, examples: Sequence[Example] = ()) -> str:
    """Describe an explanation in some lines of text.

    Parameters
    ----------
    found : Explanation
    examples : sequence of Example
        The nearest labelled detections.

    Returns
    -------
    str
        Without a line break at its end.
    """
    width = found.width
    lines = [
        f"x, y     {found.x:.2f}, {found.y:.2f} (pixels from 0)",
        *_moved(found),
        f"score    {found.score:.4f}; threshold {found.threshold:g}",
        f"stars    FWHM {width.fwhm:.2f} px ({width.source})",
    ]
    lines.append(f"object   {_of_its_own(found.shape)}")
    lines.append(f"S/N      {found.snr:.1f}")
    lines.append(f"star fit explains {_explained(found):.0f} % of its light")
    if found.classes:
        ordered = sorted(found.classes.items(), key=lambda each: -each[1])
        lines.append("classes  " + ", ".join(f"{name} {value:.3f}" for name, value in ordered))
    if not found.status & UNSCORED:
        lines.append(f"counts   {_what_counts(found)}")
    lines += [f"status   {text}" for text in _bits(found)]
    lines += [f"like     {example_in_words(each)}" for each in examples]
    return "\n".join([sentence(found), *lines])


def example_in_words(example: Example) -> str:
    """Say how a detection is labelled, by whom, where it is, and how much it differs."""
    label = example.label
    kind = f", {label.kind.replace('_', ' ')}" if label.kind else ""
    by = (label.who or "a person") if label.evidence == PERSON else label.evidence
    return (
        f"{label.label}{kind} by {by}: {Path(label.image).name} at {label.x:.1f}, {label.y:.1f} "
        f"(differs by {example.distance:.3f})"
    )


def _moved(found: Explanation) -> list[str]:
    """Say that another place is scored than the one that was asked for, if that is so."""
    x, y = found.asked
    away = float(np.hypot(found.x - x, found.y - y))
    if away == 0.0:
        return []
    hdu = f", hdu={found.hdu}" if found.hdu else ""
    return [
        f"moved    by {away:.1f} px to the brightest pixel of the detection; to judge its x, y instead: "
        f"`at='{x:.2f},{y:.2f}', origin=0{hdu}`"
    ]


def _what_counts(found: Explanation) -> str:
    """Say which patch moves the score most when it is covered by sky, and what the centre does."""
    row, column = found.most_telling
    if abs(found.influence[row, column]) < _LITTLE:
        return f"no patch of the cutout alone moves the score by {_LITTLE:g}"
    middle = len(found.influence) // 2
    across, up = column - middle, row - middle
    centre = f"the centre {_speaks(found, middle, middle)}"
    if not (across or up):
        return centre
    sides = [
        ("larger" if n > 0 else "smaller") + f" {axis}" for n, axis in ((across, "x"), (up, "y")) if n
    ]
    away = "beside" if max(abs(across), abs(up)) == 1 else "away from"
    said = f"the patch {away} the centre at {' and '.join(sides)} {_speaks(found, row, column)}"
    return said if abs(found.influence[middle, middle]) < _LITTLE else f"{said}; {centre}"


def _speaks(found: Explanation, row: int, column: int) -> str:
    """Say what a patch speaks for, in the words of the picture's colours."""
    fall = float(found.influence[row, column])
    speaks = "real" if fall > 0 else "bogus"
    return f"speaks for {speaks}: without it the score would be {found.score - fall:.3f}"
