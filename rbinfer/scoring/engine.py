"""Rows in chunks, a thread each: cut, run the network, and write scores and status bits."""

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cutouts.cutter import CutFunction, Cutouts
from ..io.scratch import Passing
from ..model.networks import Network
from ..model.runner import Runner, runner_of
from ..model.session import Output, Session
from ..model.stamps import Stamps
from ..status import UNSCORED, Status
from .prepare import Prepared, by_region
from .rows import by_strips, share_out, tasks
from .verdicts import Scores


class Engine(NamedTuple):
    """What scores.

    Attributes
    ----------
    network : Network
    scores_of : callable
        Takes what the network says, gives the score of each row.
    threads : int
        Worker threads, at most.
    """

    network: Network
    scores_of: Callable[[Output], NDArray[np.float32]]
    threads: int

    def score(
        self,
        prepared: Prepared,
        progress: Callable[[int, int], None] | None = None,
        snr: NDArray[np.float32] | None = None,
    ) -> Scores:
        """Score all rows.

        Parameters
        ----------
        prepared : Prepared
        progress : callable, optional
            Called as ``progress(done, total)`` while rows are scored.
        snr : ndarray of float32, shape (n,), optional
            Takes the S/N of each row; NaN where nothing was cut.

        Returns
        -------
        Scores
            In the order of the rows.
        """
        parts = by_region(prepared)
        if len(parts) == 1:
            # Without the numbers of its rows, which are all: they take memory.
            return self._score_alike(parts.pop()[1], progress, snr)
        result, n = self._empty(len(prepared.x)), len(prepared.x)
        done = 0

        def tell(scored: int, _: int) -> None:
            if progress is not None:
                progress(done + scored, n)

        for rows, part in parts:
            of_part = np.full(len(rows), np.nan, np.float32)
            found = self._score_alike(part, tell, of_part)
            result.score[rows], result.status[rows] = found.score, found.status
            if result.classes is not None:
                result.classes[rows] = found.classes
            if snr is not None:
                snr[rows] = of_part
            done += len(rows)
        return result

    def _empty(self, n: int) -> Scores:
        classes = self.network.spec.classes
        return Scores(
            np.full(n, np.nan, np.float32),
            np.zeros(n, np.int32),
            None if classes == ("bogus", "real") else np.full((n, len(classes)), np.nan, np.float32),
        )

    def _score_alike(
        self,
        prepared: Prepared,
        progress: Callable[[int, int], None] | None,
        snr: NDArray[np.float32] | None,
    ) -> Scores:
        """Score rows that one star stands for."""
        network, n = self.network, len(prepared.x)
        order = by_strips(prepared.x, prepared.y)  # before there is a result: sorting takes memory
        result = self._empty(n)
        # Others' models are not known to be thread-safe.
        threads = self.threads if isinstance(network, Session) else 1
        parts = tasks(n, threads, network.batch)
        own = threading.local()
        size = prepared.cutter.spec.size
        stamps = Stamps.of(prepared.psf, size, network.batch, prepared.width.population)
        batch = min(network.batch, max(n, 1))
        around = network.reads_around if isinstance(network, Session) else 0

        def work(part: slice) -> int:
            rows = order[part]
            if not hasattr(own, "room"):
                # Once a thread: the pages of a fresh buffer cost more than what is written to them.
                own.runner = runner_of(network, stamps, batch)
                own.room = np.zeros((batch, around), np.float32)
                own.cut_into = prepared.cutter.cut_function()
                own.passing = Passing(prepared.exposure.pixels)
            measured = self._score_rows(
                prepared, rows, own.runner, own.room, own.cut_into, own.passing, result
            )
            if snr is not None:
                snr[rows] = measured
            return len(rows)

        done = 0
        for rows in share_out(work, parts, min(threads, len(parts))):
            done += rows
            if progress is not None:
                progress(done, n)
        return result

    def _score_rows(
        self,
        prepared: Prepared,
        rows: NDArray[np.intp],
        runner: Runner,
        room: NDArray[np.float32],
        cut_into: CutFunction,
        passing: Passing,
        result: Scores,
    ) -> NDArray[np.float32]:
        """Score some rows, batch by batch in one buffer, and write what comes of it; return the S/N."""
        spec = self.network.spec
        n, batch = len(rows), len(room)
        status, snr = np.empty(n, np.int32), np.empty(n, np.float32)
        score = np.full(n, np.nan, np.float32)
        classes = None if result.classes is None else np.full((n, len(spec.classes)), np.nan, np.float32)
        x, y = prepared.x[rows], prepared.y[rows]
        for start in range(0, n, batch):
            part = slice(start, min(start + batch, n))
            m = part.stop - start
            pixels, around = runner.cutouts[:m], room[:m]
            for near in passing.parts(y[part]):
                of = slice(start + near.start, start + near.stop)
                cut_into(x[of], y[of], Cutouts(pixels[near], status[of], snr[of], around[near]))
            ready: slice | NDArray[np.intp] = part
            good = (status[part] & UNSCORED) == 0
            if not good.all():
                chosen = np.flatnonzero(good)
                if chosen.size == 0:
                    continue
                ready, m = start + chosen, len(chosen)
                pixels[:m], around = pixels[chosen], around[chosen]
            output = runner.run(m, around)
            score[ready] = self.scores_of(output)
            if classes is not None and output.classes is not None:
                classes[ready] = output.classes
        # Once for all batches: for arrays this small NumPy's calls cost more than its loops.
        scored = (status & UNSCORED) == 0
        finite = np.isfinite(score)
        status[scored & ~finite] |= int(Status.SCORE_NOT_FINITE)
        status[scored & (snr < spec.snr_range[0])] |= int(Status.LOW_SNR)
        result.status[rows] = status
        has_score = scored & finite
        result.score[rows[has_score]] = score[has_score]
        if result.classes is not None and classes is not None:
            result.classes[rows[has_score]] = classes[has_score]
        return snr
