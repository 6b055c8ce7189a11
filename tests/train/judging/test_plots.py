"""The pictures of an evaluation, and the curve in one of them."""

import matplotlib.image
import numpy as np
from scipy.integrate import trapezoid

from rbinfer import PreprocessSpec
from rbinfer.model.stamps import POPULATION
from rbtrain.config import CLASSES
from rbtrain.data.cutting import ROW
from rbtrain.data.dataset import Dataset
from rbtrain.judging.labelled import Scored
from rbtrain.judging.plots import (
    draw_groups,
    draw_mistakes,
    draw_reliability,
    draw_simulated_mistakes,
    roc_curve,
)
from rbtrain.metrics import auc, reliability


def made(n, cutouts=True):
    rng = np.random.default_rng(0)
    real = np.arange(n) % 2 == 0
    score = np.clip(rng.normal(0.3 + 0.4 * real, 0.2), 0, 1).astype(np.float32)
    score[3] = np.nan
    pixels = rng.normal(0, 0.3, (n, 31, 31, 2)).astype(np.float32)
    return Scored("field_1", real, score, 3.0, pixels if cutouts else None)


def test_the_area_under_the_curve_is_the_auc():
    case = made(400)
    scored = np.isfinite(case.score)
    real, score = case.real[scored], np.round(case.score[scored], 2)  # with ties
    false_rate, true_rate = roc_curve(real, score)
    assert (false_rate[0], true_rate[0], false_rate[-1], true_rate[-1]) == (0, 0, 1, 1)
    assert (np.diff(false_rate) >= 0).all()
    np.testing.assert_allclose(trapezoid(true_rate, false_rate), auc(real, score), atol=1e-12)


def test_pictures_are_drawn_where_there_is_something_to_draw(tmp_path):
    draw_groups({"few": [made(10)]}, 0.5, tmp_path / "none.png")
    draw_mistakes({"cube": [made(60, cutouts=False)]}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    draw_groups({"field": [made(100), made(60)]}, 0.5, tmp_path / "groups.png")
    draw_mistakes({"field": [made(100)]}, tmp_path / "mistakes.png")
    rng = np.random.default_rng(1)
    score = rng.random(500)
    curve = reliability(rng.random(500) < score, score)
    draw_reliability({"few": curve[:0]}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    draw_reliability(dict.fromkeys("abcde", curve), tmp_path / "reliability.png")
    for name in ("groups.png", "mistakes.png", "reliability.png"):
        picture = matplotlib.image.imread(tmp_path / name)
        assert picture.shape[0] > 200
        assert picture[..., :3].std() > 0.05


def test_only_what_is_wrong_is_shown_of_simulated_mistakes(tmp_path):
    spec, each = PreprocessSpec.default(), 12
    rows = np.zeros(each * len(CLASSES), ROW)
    rows["label"] = np.repeat(np.arange(len(CLASSES)), each)
    pixels = np.random.default_rng(0).normal(0, 0.3, (len(rows), 31, 31, 2)).astype(np.float16)
    data = Dataset(
        pixels,
        rows,
        spec,
        np.zeros((0, 31, 31), "f2"),
        np.zeros((0, POPULATION), "f4"),
        np.zeros((len(rows), 196), "f2"),
    )
    # Stars are all lost, the other classes are all right.
    score = np.where(rows["label"] == CLASSES.index("galaxy"), 0.9, 0.1)
    draw_simulated_mistakes(data, score, ("star", "galaxy"), 0.5, tmp_path / "mistakes.png")
    picture = matplotlib.image.imread(tmp_path / "mistakes.png")[..., :3].mean(axis=2)
    lines = np.array_split(picture[:, picture.shape[1] // 4 :], len(CLASSES))
    assert lines[0].std() > 0.1
    assert max(line[8:-8].std() for line in lines[1:]) < 0.02
