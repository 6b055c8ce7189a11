"""The simple means, on objects whose nature is plain, and their tables beside the network."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from astropy.table import Table

from rbinfer.measure.detect import detect
from rbtrain.config import CLASSES
from rbtrain.judging.baselines import (
    THRESHOLDS,
    baseline_scores,
    la_cosmic,
    peak_pixels,
    pixel_noise,
    sharpness,
    width_and_peak,
)
from rbtrain.judging.labelled import Scored
from rbtrain.judging.text import format_table
from rbtrain.judging.versus import (
    NETWORK,
    classes_table,
    compare_groups,
    compare_simulation,
    groups_table,
)
from rbtrain.metrics import auc

FWHM = 3.5
STARS = [(30, 30), (90, 30), (150, 40), (40, 150), (170, 170)]
HITS = [(60, 60), (120, 60), (60, 120), (130, 130), (20, 90)]


@pytest.fixture(scope="module")
def image():
    """Bright stars and single-pixel hits on a noisy sky."""
    rng = np.random.default_rng(3)
    y, x = np.indices((200, 200))
    pixels = 500 + rng.normal(0, 5, (200, 200))
    for x0, y0 in STARS:
        pixels += 800 * np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / FWHM**2)
    for x0, y0 in HITS:
        pixels[y0, x0] += 800
    return pixels.astype(np.float32)


def test_sharpness_is_that_of_a_gaussian(image):
    x, y = (np.array(c) for c in zip(*STARS, *HITS, strict=True))
    found = sharpness(image, x, y, FWHM)
    # The background is a low quantile, here 1.3 sigma below the sky: +5 / 800 at most.
    np.testing.assert_allclose(found[:5], np.exp(-4 * np.log(2) / FWHM**2), atol=0.02)
    np.testing.assert_allclose(found[5:], 0, atol=0.02)
    assert len(sharpness(image, [], [], FWHM)) == 0


def test_sharpness_of_a_track_and_of_a_crowded_star():
    image = np.zeros((61, 61), np.float32)
    image[30, 10:51] = 100
    assert sharpness(image, [30], [30], 3.0)[0] == pytest.approx(THRESHOLDS["sharpness"])
    # Neighbours brighter than the star all around: a median would take their light for sky.
    y, x = np.indices((61, 61))
    crowd = np.zeros((61, 61))
    for x0, y0, peak in ((30, 30, 100), (24, 30, 400), (36, 30, 400), (30, 37, 400), (33, 23, 400)):
        crowd += peak * np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / 9)
    assert sharpness(crowd.astype(np.float32), [30], [30], 3.0)[0] > 0.6


def test_la_cosmic_masks_hits_and_leaves_stars(image):
    pytest.importorskip("astroscrappy")
    x, y = (np.array(c) for c in zip(*STARS, *HITS, strict=True))
    assert la_cosmic(image, x, y).tolist() == [1] * 5 + [0] * 5
    # Next to a hit is still under the detection; two pixels away is not.
    assert la_cosmic(image, x[5:] + 1, y[5:] + 1).tolist() == [0] * 5
    assert la_cosmic(image, x[5:] + 3, y[5:]).tolist() == [1] * 5


def test_the_noise_of_a_pixel_is_not_that_of_stars(image):
    assert pixel_noise(image) == pytest.approx(5, rel=0.05)
    assert pixel_noise(np.zeros((5, 5), np.float32)) == 0


def test_width_and_peak_of_a_gaussian_is_one():
    sigma = FWHM / 2.354820045
    flux = 2 * np.pi * sigma**2 * 100
    # A star; half the light for its peak; a single pixel; a line four times as long as wide.
    a = [sigma, sigma, 0.29, 4 * sigma]
    b = [sigma, sigma, 0.29, sigma]
    found = width_and_peak(a, b, [flux, flux / 2, 100, 4 * flux], [100] * 4, FWHM)
    np.testing.assert_allclose(found, [1, 0.5, 1 / (2 * np.pi * sigma**2), 0.5], rtol=1e-6)


def test_all_baselines_part_stars_from_hits(image):
    pytest.importorskip("astroscrappy")
    table = detect(image, threshold=10, minarea=1, matched_filter=False)
    real = np.array([min(np.hypot(r["x"] - x, r["y"] - y) for x, y in STARS) < 2 for r in table])
    assert (real.sum(), (~real).sum()) == (5, 5)
    holed = image.copy()
    holed[100:110, 5:9] = np.nan
    for name, score in baseline_scores(holed, table, FWHM).items():
        assert auc(real, score) == 1.0
        assert ((score > THRESHOLDS[name]) == real).all()
    bare = baseline_scores(image, table["x", "y"], FWHM)
    assert np.isnan(bare["width_and_peak"]).all()
    np.testing.assert_array_equal(bare["sharpness"], baseline_scores(image, table, FWHM)["sharpness"])


def test_the_peak_is_the_brightest_pixel_beside_the_position(image):
    x, y = peak_pixels(image, Table({"x": [30.9, 59.2, 0.0], "y": [29.2, 60.7, 199.0]}))
    assert (x[:2].tolist(), y[:2].tolist()) == ([30, 60], [30, 60])
    assert x[2] in (0, 1)
    assert y[2] in (198, 199)


def test_methods_side_by_side():
    real = np.arange(40) < 20
    perfect = np.where(real, 0.9, 0.1)
    nothing = np.full(40, np.nan)
    others = {"sharpness": 1 - perfect, "la_cosmic": np.ones(40), "width_and_peak": nothing}
    case = Scored("field_1", real, perfect.astype(np.float32), baselines=others)
    found = compare_groups(
        {"field": [case, case], "none": [dataclasses.replace(case, baselines=None)]}, 0.5
    )
    assert set(found) == {"field"}
    assert (found["field"][NETWORK]["auc"], found["field"][NETWORK]["n_real"]) == (1.0, 40)
    assert found["field"]["sharpness"]["auc"] == 0.0
    assert (found["field"]["la_cosmic"]["true_rate"], found["field"]["la_cosmic"]["false_rate"]) == (
        1,
        1,
    )
    assert found["field"]["width_and_peak"]["n_real"] == 0
    lines = format_table(*groups_table(found)).splitlines()
    assert len(lines) == 2
    for cell in (
        "1.0000 / 1.000 / 0.000",
        "0.0000 / 0.000 / 1.000",
        "0.5000 / 1.000 / 1.000",
        "- / - / -",
    ):
        assert cell in lines[1]


def test_simulation_is_drawn_again(config):
    pytest.importorskip("astroscrappy")
    from rbinfer.model.registry import resolve
    from rbinfer.model.session import Session
    from rbinfer.model.stamps import Stamps
    from rbtrain.data.cutting import cut_frame, frame_rng
    from rbtrain.data.dataset import TEST_FRAMES_FROM
    from rbtrain.simulate import draw_frame

    session = Session(resolve("default"), "cpu")
    found = compare_simulation(session, config, frames=2)
    labels, scores = [], []
    for k in range(2):
        rng = frame_rng(config.data.seed, TEST_FRAMES_FROM + k)
        frame = draw_frame(config.simulate, rng)
        cut = cut_frame(frame, config.preprocess, config.data, rng)
        labels.append(cut.rows["label"])
        stamps = Stamps.of(cut.star, config.preprocess.size, len(cut.rows))
        scores.append(session.run(cut.pixels.astype(np.float32), stamps, cut.cores).score)
    label, score = np.concatenate(labels), np.concatenate(scores)
    # The same rows as in a dataset, and the same scores.
    counts = {name: int((label == i).sum()) for i, name in enumerate(CLASSES) if (label == i).any()}
    assert {name: f["n"] for name, f in found["by_class"].items()} == counts
    assert found["overall"][NETWORK]["auc"] == pytest.approx(auc(label <= 1, score))
    assert len(classes_table(found)[1]) == len(counts)
    assert found["by_class"]["star"]["sharpness"]["called_real"] > 0.5


def test_without_astroscrappy_the_command_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['astroscrappy'] = None\n"
        "from rbtrain.cli import main\n"
        "sys.exit(main(['evaluate', 'default', '--images', '.', '--baselines']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'pip install "rbinfer[train,baselines]"' in done.stderr
    assert "Traceback" not in done.stderr
