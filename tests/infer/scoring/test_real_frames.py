"""The main job on telescope frames: every row is scored or told why."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from rbinfer.status import UNSCORED

DATA = Path(__file__).parents[3].parent / "shared" / "data"
FRAMES = [
    path
    for folder in (DATA, DATA / "more")
    for path in sorted(folder.glob("*.fits.gz"))
    if fits.getheader(path)["NAXIS"] == 2
]
#: Real ones that each group keeps at least, and bogus ones that it lets in at most, with positions and
#: brightest pixels given: what the shipped model does, with one object of margin.
FLOORS = {
    "eso085": (543, 3),
    "saao_bin2_val": (2556, 2),
    "saao_val": (10046, 2),
    "single_apogee300": (85, 2),
    "single_saao_raw": (1, 1),
    "allsky_clear": (746, 3),
    "allsky_overcast": (0, 3),
    "emmi_galaxies": (247, 3),
    "irac": (817, 20),
    "irac_columns": (140, 10),
    "nites_trailed_defocus": (116, 1),
    "oscaar_dark": (0, 1),
    "oscaar_light": (1805, 2),
    "vatt_trails": (4, 1),
    "ystar_trail_elongated": (101, 5),
}

pytestmark = pytest.mark.skipif(not FRAMES, reason="no real frames beside the clone")


def classify(*args):
    done = subprocess.run(
        [sys.executable, "-m", "rbinfer", "classify", *map(str, args)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def check(table, n):
    assert len(table) == n
    scores, status = np.ma.filled(table["rb_score"], np.nan), np.asarray(table["rb_status"])
    assert np.array_equal(np.isfinite(scores), (status & UNSCORED) == 0)
    finite = scores[np.isfinite(scores)]
    assert ((finite >= 0) & (finite <= 1)).all()


@pytest.mark.parametrize("path", FRAMES, ids=lambda p: p.name.removesuffix(".fits.gz"))
def test_every_row_is_scored_or_told_why(path, tmp_path):
    labels = path.with_name(path.name.replace(".fits.gz", ".ecsv"))
    catalogue = Table.read(labels)
    done = classify(path, "--catalog", labels, "-o", tmp_path / "out.ecsv")
    scored = Table.read(tmp_path / "out.ecsv")
    check(scored, len(catalogue))
    np.testing.assert_array_equal(scored["xpeak"], catalogue["xpeak"])
    assert re.search(rf"{len(catalogue)} detections", done.stderr)

    done = classify(path, "--json")
    told = json.loads(done.stdout)
    summary = told["summary"]
    assert summary["detections"] == len(told["rows"]) > 0
    assert summary["real"] + summary["bogus"] + summary["unscored"] == len(told["rows"])
    for row in told["rows"]:
        assert (row["rb_score"] is None) == bool(row["rb_status"] & UNSCORED)


@pytest.fixture(scope="module")
def counts():
    """Real kept and bogus let in, of the labelled in each group."""
    from rbinfer import Classifier
    from rbinfer.io.images import load_image

    classifier = Classifier(device="cpu")
    found: dict[str, tuple[int, int]] = {}
    for path in FRAMES:
        table = Table.read(path.with_name(path.name.replace(".fits.gz", ".ecsv")))
        given = table["x", "y", "xpeak", "ypeak"]
        called_real = classifier.classify(given, load_image(path))["rb_score"] > 0.5
        name = re.sub(r"_\d+$", "", path.name.removesuffix(".fits.gz"))
        label = np.asarray(table["label"])
        kept, let_in = (int((called_real & (label == value)).sum()) for value in (1, 0))
        before = found.get(name, (0, 0))
        found[name] = (before[0] + kept, before[1] + let_in)
    return found


def test_every_group_has_its_floor(counts):
    assert set(counts) <= set(FLOORS)


@pytest.mark.parametrize("group", FLOORS)
def test_the_shipped_model_keeps_what_it_kept(group, counts):
    """A tripwire: a broken preprocessing, or a width that is measured worse, would show here."""
    if group not in counts:
        pytest.skip(f"{group} is not beside the clone")
    least, most = FLOORS[group]
    kept, let_in = counts[group]
    assert kept >= least
    assert let_in <= most
