"""A graph becomes a model file only if it computes what it shall."""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from rbinfer.errors import RbinferError
from rbinfer.model.session import Session
from rbinfer.model.spec import AROUND, CORE, METADATA_KEY, GoldenPairs, ModelSpec
from rbinfer.model.stamps import Stamps

from .._arrays import F32
from .._files import replaced

log = logging.getLogger(__name__)

#: Largest difference from what is expected that is let through.
TOLERANCE = 1e-5
#: Cutouts that outputs are compared on.
N_PROOF = 1000
_N_GOLDEN = 8


class ExportError(RbinferError):
    """The graph is not what it shall be; nothing was written."""


def write_proved(
    proto: onnx.ModelProto,
    spec: ModelSpec,
    path: str | os.PathLike[str],
    inputs: tuple[F32, Stamps, F32],
    expected: Mapping[str, F32],
) -> float:
    """Write a graph as a self-describing model file, if ONNX Runtime gets what is expected.

    Parameters
    ----------
    proto : onnx.ModelProto
        Without metadata of ours; they are added to it.
    spec : ModelSpec
        What the file shall say of itself; its golden pairs are made here.
    path : path
        The ``.onnx`` file; written beside and renamed.
    inputs : (ndarray of float32, Stamps, ndarray of float32)
        Cutouts (n, size, size, 2), the stars of their frames, and what lies around them (n, 196).
    expected : mapping of str to ndarray of float32
        ``score`` (n, 1) and, for a model with classes, ``classes`` (n, k).

    Returns
    -------
    float
        Largest difference found.

    Raises
    ------
    ExportError
        A difference above `TOLERANCE`.
    """
    target = Path(path)
    cutouts, stamps, cores = inputs
    score = expected["score"][:, 0]
    # Proved without golden pairs: with these, a graph that differs would not even load.
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    _describe(bare, spec, None)
    few = np.linspace(0, len(cutouts) - 1, _N_GOLDEN).astype(np.intp)  # of several frames
    names = [value.name for value in proto.graph.input]
    stars = stamps.taken(few) if "psf" in names else None
    around = cores[few, : AROUND if "context" in names else CORE] if "core" in names else None
    _describe(proto, spec, GoldenPairs(cutouts[few], score[few], stars, around))
    onnx.checker.check_model(proto, full_check=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced(target) as part:
        part.write_bytes(bare.SerializeToString())
        output = Session(part, "cpu").run(cutouts, stamps, cores)
        worst = float(np.max(np.abs(output.score - score)))
        if output.classes is not None:
            worst = max(worst, float(np.max(np.abs(output.classes - expected["classes"]))))
        if not worst <= TOLERANCE:
            raise ExportError(
                f"what ONNX Runtime gets and what is expected differ by {worst:.2g} on {len(cutouts)} "
                f"cutouts, more than {TOLERANCE:g}; {target} was not written"
            )
        part.write_bytes(proto.SerializeToString())
    log.info("%s: largest difference on %d cutouts %.2g", target, len(cutouts), worst)
    return worst


def counted(classes: Sequence[str], real: Sequence[str]) -> F32:
    """Return (k, 1) ones for the classes that are real and zeros for the others.

    A product with them is one node of a graph, where gather and sum are two.
    """
    return np.isin(classes, real).astype(np.float32)[:, np.newaxis]


def _describe(proto: onnx.ModelProto, spec: ModelSpec, golden: GoldenPairs | None) -> None:
    entry = proto.metadata_props.add()
    entry.key = METADATA_KEY
    entry.value = dataclasses.replace(spec, golden=golden).to_json()
