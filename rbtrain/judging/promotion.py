"""Is a network better than its parent: on labels kept apart, and on simulation of all kinds?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from .._arrays import I8, Bools
from ..config import CLASSES, SOURCES

#: A loss is told where chance makes it so large in fewer than the first share of cases. A gain is
#: believed below the second: two methods are tried on the same labels, and one may win by chance.
_CHANCE, _CHANCE_OF_GAIN = 0.1, 0.025
#: The labels must rule out, but for the second share of cases, that of either kind of objects more than
#: the first share are judged worse on balance.
_MARGIN, _CHANCE_OF_LOSS = 0.1, 0.05
#: Objects with labels of each kind that are needed for that where not one is judged worse.
_LEAST = 25
#: A gain of fewer objects says nothing of how large it is; how surely a gain is to be shown.
_LEAST_WON, _POWER = 2, 0.8
#: What a rate on simulation may lose: of all real ones, of all bogus, and of a class.
_LOST, _LET_IN, _OF_CLASS = 0.005, 0.01, 0.03


@dataclass(frozen=True)
class Rate:
    """A share of so many, before and after, with 95 % intervals (Wilson 1927, JASA 22, 209).

    Attributes
    ----------
    n, objects : int
        How many, and of how many objects.
    before, after : float
    before_interval, after_interval : (float, float)
        As of so many objects: what one object is called in many images tells little more than in one.
    won, lost : int
        How many objects are judged rightly more often after than before, and less often.
    """

    n: int
    objects: int
    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    won: int
    lost: int

    @classmethod
    def of(
        cls, before: Bools, after: Bools, rightly: bool, objects: NDArray[np.intp] | None = None
    ) -> "Rate":
        """Compare what is called real before and after, among those that are real, or that are not.

        Parameters
        ----------
        before, after : ndarray of bool, shape (n,)
            What is called real.
        rightly : bool
            Whether they are real.
        objects : ndarray of int, shape (n,), optional
            A number for each, alike for those of one object; by default each is one of its own.
        """
        n = len(before)
        gain = (after == rightly).astype(np.intp) - (before == rightly)
        if objects is not None:
            own = np.unique(objects, return_inverse=True)[1].reshape(-1)
            gain = np.bincount(own, gain) if n else gain
        was, now = (float(calls.mean()) if n else math.nan for calls in (before, after))
        return cls(
            n,
            len(gain),
            was,
            now,
            wilson(was, len(gain)),
            wilson(now, len(gain)),
            int(np.count_nonzero(gain > 0)),
            int(np.count_nonzero(gain < 0)),
        )

    @property
    def is_worse(self) -> bool:
        """Whether more were lost than won, by more than chance."""
        return self.lost > self.won and _by_chance(self.lost, self.won) < _CHANCE

    @property
    def may_be_worse(self) -> bool:
        """Whether the labels leave it open that more than a tenth of the objects are judged worse."""
        return not_inferior(self.won, self.lost, self.objects, _MARGIN) >= _CHANCE_OF_LOSS


@dataclass(frozen=True)
class Comparison:
    """A network beside its parent: rates of what is called real.

    Attributes
    ----------
    kept, let_in : Rate
        Of real and of bogus labels, each judged by networks that have not seen it.
    by_person : (Rate, Rate)
        The same of the labels that a person gave.
    simulated_kept, simulated_let_in : Rate
        Of the simulated set.
    by_class : mapping of str to Rate
        Of the simulated set.
    """

    kept: Rate
    let_in: Rate
    by_person: tuple[Rate, Rate]
    simulated_kept: Rate
    simulated_let_in: Rate
    by_class: Mapping[str, Rate]

    def what_got_worse(self) -> list[str]:
        """Say what got worse, in a phrase each."""
        found = [
            f"{name} of {whose}: {_in_words(rate)}"
            for whose, rates in (
                ("your labels", (self.kept, self.let_in)),
                ("what a person labelled", self.by_person),
            )
            for name, rate in zip(("kept", "let in"), rates, strict=True)
            if rate.is_worse
        ]
        lost = self.simulated_kept.before - self.simulated_kept.after
        if lost > _LOST:
            found.append(f"kept of the simulated real ones: {_in_words(self.simulated_kept)}")
        if self.simulated_let_in.after - self.simulated_let_in.before > _LET_IN:
            found.append(f"let in of the simulated bogus: {_in_words(self.simulated_let_in)}")
        for name, rate in self.by_class.items():
            change = rate.after - rate.before
            worse = -change if CLASSES.index(name) in SOURCES else change
            if worse > _OF_CLASS and rate.is_worse:
                found.append(f"simulated {name.replace('_', ' ')}s called real: {_in_words(rate)}")
        return found

    def what_may_be_worse(self) -> list[str]:
        """Say of what the labels leave it open that much is lost, in a phrase each.

        A kind with too few labels for any answer is left out. Labels of a person count beside the others
        only where more of them are lost than won: they may be few among many that are harvested.
        """
        found = [
            (name, "of your labels", rate)
            for name, rate in (("kept", self.kept), ("let in", self.let_in))
            if rate.objects >= _LEAST and rate.may_be_worse
        ]
        found += [
            (name, "of what a person labelled", rate)
            for name, rate in zip(("kept", "let in"), self.by_person, strict=True)
            if rate.lost > rate.won and rate.may_be_worse
        ]
        return [
            f"{name} {whose}, of {rate.objects} objects {_turned(rate.won, rate.lost)}"
            for name, whose, rate in found
        ]

    @property
    def no_better(self) -> str:
        """Why the labels don't show that it is better; empty where they do."""
        rates = (self.kept, self.let_in)
        if any(rate.objects < _LEAST for rate in rates):
            return (
                f"labels of {rates[0].objects} real and {rates[1].objects} bogus objects that neither "
                f"model was fitted to; {_LEAST} of each are needed to tell whether it is better"
            )
        if may_be_worse := self.what_may_be_worse():
            return f"your labels don't rule out a loss of more than {_MARGIN:.0%}: {may_be_worse[0]}"
        won, lost = sum(rate.won for rate in rates), sum(rate.lost for rate in rates)
        if _by_chance(won, lost) < _CHANCE_OF_GAIN:
            return ""
        return _may_be_chance(won, lost, sum(rate.objects for rate in rates))

    @property
    def verdict(self) -> str:
        """``better``, ``no better``, or ``worse``."""
        if self.what_got_worse():
            return "worse"
        return "no better" if self.no_better else "better"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for the metadata and for JSON."""
        rates = {
            "kept": self.kept,
            "let_in": self.let_in,
            "kept_by_person": self.by_person[0],
            "let_in_by_person": self.by_person[1],
            "simulated_kept": self.simulated_kept,
            "simulated_let_in": self.simulated_let_in,
        }
        return {
            "verdict": self.verdict,
            "worse": self.what_got_worse(),
            "no_better": self.no_better,
            **{name: _plain(rate) for name, rate in rates.items()},
            "by_class": {name: _plain(rate) for name, rate in self.by_class.items()},
        }

    def in_words(self) -> list[str]:
        """Say the rates in a line each; those of a person's labels where there are others, too."""
        of_all = (self.kept, self.let_in)
        by_person = () if self.by_person == of_all else self.by_person
        return [
            f"{name:28s}{_in_words(rate)}"
            for name, rate in (
                *zip(("your labels, kept", "your labels, let in"), of_all, strict=True),
                *zip(("a person's labels, kept", "a person's labels, let in"), by_person, strict=False),
                ("simulated real, kept", self.simulated_kept),
                ("simulated bogus, let in", self.simulated_let_in),
            )
            if rate.n
        ]


def compare(
    real: Bools,
    before: Bools,
    after: Bools,
    by_person: Bools,
    objects: NDArray[np.intp],
    simulated: I8,
    simulated_before: Bools,
    simulated_after: Bools,
    is_real: Bools,
) -> Comparison:
    """Compare what two networks call real.

    Parameters
    ----------
    real : ndarray of bool, shape (n,)
        Labels.
    before, after : ndarray of bool, shape (n,)
        What each calls real of them; `after` by a fit that has not seen the label.
    by_person : ndarray of bool, shape (n,)
        Whether a person gave the label.
    objects : ndarray of int, shape (n,)
        A number for each label, alike for those of one object, which have one vote together.
    simulated : ndarray of int8, shape (s,)
        Classes of simulated detections, indices into `rbtrain.config.CLASSES`.
    simulated_before, simulated_after : ndarray of bool, shape (s,)
    is_real : ndarray of bool, shape (classes,)
        Classes that count as real.
    """
    sources = is_real[simulated]
    # A source that does not count as real is no artefact either.
    bogus = ~sources & ~np.isin(simulated, SOURCES)

    def labelled(of: Bools, rightly: bool) -> Rate:
        return Rate.of(before[of], after[of], rightly, objects[of])

    return Comparison(
        labelled(real, True),
        labelled(~real, False),
        (labelled(real & by_person, True), labelled(~real & by_person, False)),
        Rate.of(simulated_before[sources], simulated_after[sources], True),
        Rate.of(simulated_before[bogus], simulated_after[bogus], False),
        {
            name: Rate.of(simulated_before[of], simulated_after[of], bool(is_real[k]))
            for k, name in enumerate(CLASSES)
            if (of := simulated == k).any() and (is_real[k] or k not in SOURCES)
        },
    )


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a share of `n`; (0, 1) of none."""
    if n == 0:
        return 0.0, 1.0
    low = 1.0 + z**2 / n
    middle = (share + z**2 / (2 * n)) / low
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / low
    return max(middle - half, 0.0), min(middle + half, 1.0)


def not_inferior(won: int, lost: int, n: int, margin: float) -> float:
    """Return how often so little is lost by chance, if what is lost on balance is the margin.

    The score test for paired shares (Tango 1998, Statistics in Medicine 17, 891).

    Parameters
    ----------
    won, lost : int
        Objects that are judged rightly by the second network alone, and by the first alone.
    n : int
        All objects; 1 at least, else nothing is known and the answer is 1.
    margin : float
        Share of objects, between 0 and 1.
    """
    if n == 0:
        return 1.0
    # The likeliest share won, if the share lost is larger by the margin.
    b = margin * (2 * n + won - lost) - (won + lost)
    share = (math.sqrt(b**2 + 8 * n * won * margin * (1 - margin)) - b) / (4 * n)
    variance = n * (2 * share + margin * (1 - margin))
    return float(norm.cdf((lost - won - n * margin) / math.sqrt(variance)))


def objects_to_decide(won: int, lost: int, n: int) -> int | None:
    """Estimate of how many objects labels would show a gain, if it is as large as it looks.

    That many show it in four of five cases, by the normal approximation of the sign test's power
    (Connett, Smith and McHugh 1987, Statistics in Medicine 6, 591). Of few objects it is rough:
    ``benchmarks/promotion.py`` measures how far it is off.

    Parameters
    ----------
    won, lost : int
        Objects that are judged rightly by the second network alone, and by the first alone.
    n : int
        All objects.

    Returns
    -------
    int or None
        To two digits; None where so few are won on balance that nothing can be said.
    """
    if won - lost < _LEAST_WON:
        return None
    share, gain = (won + lost) / n, (won - lost) / n
    of_chance, of_power = norm.isf(_CHANCE_OF_GAIN), norm.isf(1 - _POWER)
    spread = of_chance * math.sqrt(share) + of_power * math.sqrt(max(share - gain**2, 0.0))
    return int(float(f"{max((spread / gain) ** 2, n + 1):.2g}"))


def _may_be_chance(won: int, lost: int, n: int) -> str:
    """Say that labels show no gain and, where that can be estimated, how many would."""
    if won <= lost:
        return f"on your labels it is no better: of {n} objects {_turned(won, lost)}"
    said = f"on your labels it is better, but that may be chance: of {n} objects {_turned(won, lost)}"
    enough = objects_to_decide(won, lost, n)
    if enough is None:
        return said
    return (
        f"{said}; if it really is better, labels of about {enough:,} objects would show that (a third "
        "to three times as many)"
    )


def _turned(won: int, lost: int) -> str:
    """Say how many were judged wrongly before and are not now, and the other way round."""
    return f"{won} became right and {lost} became wrong"


def _by_chance(more: int, fewer: int) -> float:
    """Return how often chance alone makes so many of both go one way (the sign test)."""
    return float(binom.sf(more - 1, more + fewer, 0.5)) if more + fewer else 1.0


def _in_words(rate: Rate) -> str:
    def one(share: float, interval: tuple[float, float]) -> str:
        return f"{share:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"

    objects = "" if rate.objects == rate.n else f" ({rate.objects} objects)"
    return (
        f"before {one(rate.before, rate.before_interval)}, after "
        f"{one(rate.after, rate.after_interval)} of {rate.n}{objects}"
    )


def _plain(rate: Rate) -> dict[str, Any]:
    return {
        "n": rate.n,
        "objects": rate.objects,
        "before": None if math.isnan(rate.before) else round(rate.before, 6),
        "after": None if math.isnan(rate.after) else round(rate.after, 6),
        "before_interval": [round(v, 6) for v in rate.before_interval],
        "after_interval": [round(v, 6) for v in rate.after_interval],
        "won": rate.won,
        "lost": rate.lost,
    }
