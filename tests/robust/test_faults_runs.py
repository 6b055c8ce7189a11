"""``batch`` and ``watch`` killed at random moments: what comes after is as if nothing had happened."""

import numpy as np
import pytest

from rbinfer.batch import run_batch
from tests.infer import runs

from .scale import times

IMAGES = times(6, 40)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Return images and what an undisturbed batch makes of them."""
    folder = tmp_path_factory.mktemp("night")
    runs.write_images(folder, [f"f{k:02d}.fits" for k in range(IMAGES)])
    run_batch(folder, folder / "expected", workers=2)
    return folder, runs.results(folder / "expected")


@pytest.mark.promise(
    "Faults", "kill -9 at random moments: the restart ends with the same bytes, each once"
)
@pytest.mark.parametrize(
    ("verb", "options", "last"),
    [("batch", ["--workers", 2], []), ("watch", ["--settle", "0.1", "--workers", 2], ["--once"])],
)
def test_kills(night, tmp_path, verb, options, last, tried):
    images, expected = night
    rng = np.random.default_rng(20)
    kills = 0
    while kills < times(2, 55):
        out = tmp_path / f"{verb}{kills}"
        argv = [verb, images, "-o", out, *options]
        # Until there is nothing left to interrupt, which takes several lives.
        while kills < times(2, 55) and len(runs.results(out)) < IMAGES:
            runs.kill_at_random(argv, rng, 3.5)
            kills += 1
        code, _, err = runs.run(*argv, *last)
        assert code == 0, err
        runs.assert_complete(out, expected, f"{verb}.jsonl")
    tried(kills)
