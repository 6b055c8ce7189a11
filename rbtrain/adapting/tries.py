"""Ways to adapt a model, tried in turn until one is better."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rbinfer.errors import InputError

from .._arrays import F32, Bools
from ..config import TrainConfig
from ..fitting.examples import Examples, called_real, forgotten
from ..fitting.head import HOLDS, Head, choose_threshold, fit_calibration, fit_head
from ..judging.promotion import Comparison, compare
from .material import Material

if TYPE_CHECKING:
    from ..fitting.layers import Layers

log = logging.getLogger(__name__)

Method = Literal["layers", "head", "calibration", "threshold", "unchanged"]
#: Labels that each way of adapting needs: in all, and of real and of bogus.
FOR_LAYERS, FOR_CALIBRATION, FOR_THRESHOLD = (100, 20), (20, 10), (10, 0)
#: Of what is rehearsed, the share that is only looked at: of real ones no more than the second share may
#: be missed there, and of bogus no more than the third let in.
_LOOKED_AT, _MISSED, _LET_IN = 0.25, 0.004, 0.008
_IN_WORDS = {
    "layers": "a fit of all layers",
    "head": "a fit of the last layer",
    "calibration": "another calibration",
    "threshold": "another threshold",
}


@dataclass(frozen=True, eq=False)
class Try:
    """A way that was tried.

    Attributes
    ----------
    method : {"layers", "head", "calibration", "threshold", "unchanged"}
    why : str
    network : Head or Layers
        Fitted to all labels.
    holds : list of float
        Weights of the rehearsal that were compared; the last is that of the network.
    comparison : Comparison
    """

    method: Method
    why: str
    network: "Head | Layers"
    holds: list[float]
    comparison: Comparison

    def as_dict(self) -> dict[str, Any]:
        """Return what a model file tells of it."""
        return {"method": self.method, "holds": self.holds, "verdict": self.comparison.verdict}


#: Fits a network to some labels, with a weight of the rehearsal.
_Fit = Callable[[Examples, float], "Head | Layers"]


def try_ways(
    parent_file: str | os.PathLike[str], parent: Head, material: Material, all_layers: bool, seed: int
) -> list[Try]:
    """Try one way after the other until one is better.

    Parameters
    ----------
    parent_file : path
        The model that is adapted.
    parent : Head
        Its last layer.
    material : Material
    all_layers : bool
        Fit all layers, not the last alone, where there are labels enough.
    seed : int
        For the fit of all layers.

    Returns
    -------
    list of Try
        In the order in which they were tried.

    Raises
    ------
    InputError
        The model has other layers than can be fitted.
    """
    n = round(_LOOKED_AT * len(material.rehearsed))
    looked_at, rehearsed = (material.rehearsed.taken(rows) for rows in (slice(n), slice(n, None)))
    found: list[Try] = []
    for method, why in ways(material.examples.real, all_layers):
        if method == "layers":
            fit = _fit_of_layers(parent_file, parent, rehearsed, material, seed)
        else:
            fit = _fit_of_head(method, parent, rehearsed)
        found.append(Try(method, why, *_tried(method, fit, parent, looked_at, material)))
        if method == "threshold" and _judges_worse(found[-1].comparison):
            before = parent.calls_real(material.examples.features)
            unchanged = _compared(parent, parent, material, before)
            why += f"; {_of_threshold(found[-1])}"
            found.append(Try("unchanged", why, parent, [], unchanged))
        if found[-1].comparison.verdict == "better":
            break
    return found


def ways(real: Bools, all_layers: bool) -> list[tuple[Method, str]]:
    """Return what to try for labels (n,), in turn, and why."""
    n, fewer = len(real), int(min(real.sum(), (~real).sum()))
    counts = f"{n} labels, {int(real.sum())} real and {int((~real).sum())} bogus"
    calibration = "so few labels can't teach a layer, but where real and bogus part"
    if n >= FOR_LAYERS[0] and fewer >= FOR_LAYERS[1]:
        method: Method = "layers" if all_layers else "head"
        them, what = ("them", "all layers") if all_layers else ("it", "the last layer")
        again = f"{what} fitted to them: not better, so only the calibration was moved"
        return [(method, f"{counts}, are enough for {them}"), ("calibration", f"{counts}: {again}")]
    if n >= FOR_CALIBRATION[0] and fewer >= FOR_CALIBRATION[1]:
        return [("calibration", f"{counts}: {calibration}")]
    return [("threshold", f"{counts}: too few of one kind for more")]


def _fit_of_head(method: Method, parent: Head, rehearsed: Examples) -> _Fit:
    if method == "threshold":
        return lambda part, _: choose_threshold(parent, part, rehearsed)
    fit = fit_head if method == "head" else fit_calibration
    return lambda part, hold: fit(parent, part, rehearsed.features, hold)


def _fit_of_layers(
    parent_file: str | os.PathLike[str],
    parent: Head,
    rehearsed: Examples,
    material: Material,
    seed: int,
) -> _Fit:
    from ..fitting.layers import fit_layers

    assert rehearsed.seen is not None  # gathered for this
    network = _layers(material.config, parent_file, rehearsed.seen.cutouts, parent)
    return lambda part, hold: fit_layers(network, parent, part, rehearsed, hold, seed)


def check_layers(
    config: TrainConfig, parent_file: str | os.PathLike[str], cutouts: F32, parent: Head
) -> None:
    """See that all layers of a model can be fitted.

    Parameters
    ----------
    config : TrainConfig
    parent_file : path
    cutouts : ndarray of float32, shape (n, size, size, 2)
        One at least.
    parent : Head
        Last layer of the model.

    Raises
    ------
    InputError
        The model has other layers; says what to do.
    """
    _layers(config, parent_file, cutouts, parent)


def _layers(
    config: TrainConfig, parent_file: str | os.PathLike[str], cutouts: F32, parent: Head
) -> "Layers":
    from ..fitting.layers import Layers

    try:
        return Layers.of_file(config, parent_file, cutouts, parent.is_real, parent.threshold)
    except ValueError as error:
        raise InputError(f"its layers can't be fitted: {error}; leave '--layers all' out") from error


def _tried(
    method: Method, fit: _Fit, parent: Head, looked_at: Examples, material: Material
) -> tuple["Head | Layers", list[float], Comparison]:
    """Fit to all labels, and compare; each label is judged by a fit without its fold.

    What is rehearsed weighs more from try to try, until nothing is forgotten, and nothing got worse or
    may have, as far as the labels tell.
    """
    examples, fold = material.examples, material.fold
    holds = []
    tried = HOLDS if method != "threshold" else HOLDS[-1:]
    for number, hold in enumerate(tried, 1):
        log.info("%s: try %d of at most %d", _IN_WORDS[method], number, len(tried))
        network = fit(examples, hold)
        missed, let_in = forgotten(network, looked_at)
        if hold < HOLDS[-1] and (missed > _MISSED or let_in > _LET_IN):
            continue
        holds.append(hold)
        after = np.zeros(len(examples), bool)
        for k in np.unique(fold):
            without = fit(examples.taken(fold != k), hold)
            after[fold == k] = called_real(without, examples.taken(fold == k))
        comparison = _compared(parent, network, material, after)
        if comparison.verdict != "worse" and not comparison.what_may_be_worse():
            break
    return network, holds, comparison


def _compared(parent: Head, network: "Head | Layers", material: Material, after: Bools) -> Comparison:
    """Compare a network with its parent; `after` (n,) is what it calls real of the labels."""
    examples, new, judged = material.examples, material.unseen, material.judged
    return compare(
        examples.real[new],
        parent.calls_real(examples.features[new]),
        after[new],
        material.by_person[new],
        material.objects[new],
        judged.kind.astype(np.int8),
        parent.calls_real(judged.features),
        called_real(network, judged),
        parent.is_real,
    )


def _judges_worse(comparison: Comparison) -> bool:
    """Whether more labels are lost than won, each judged by a fit without it."""
    rates = (comparison.kept, comparison.let_in)
    return sum(rate.lost for rate in rates) > sum(rate.won for rate in rates)


def _of_threshold(tried: Try) -> str:
    rates = (tried.comparison.kept, tried.comparison.let_in)
    won, lost = sum(rate.won for rate in rates), sum(rate.lost for rate in rates)
    return (
        f"of labels kept apart, another threshold ({tried.network.threshold:.2f}) judges {won} better "
        f"and {lost} worse, so it stays"
    )
