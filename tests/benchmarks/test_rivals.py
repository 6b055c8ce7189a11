"""Rivals: what a mask says of detections, who wins a group, and masks kept on disk."""

import dataclasses
import json
import math
import sys

import _rival_tools
import numpy as np
import pytest
from _rival_figures import Figures, figures_of, mosaic_of, summary_of, under_peaks
from _rival_tools import (
    TOOLS,
    RivalError,
    Tool,
    electrons_above_sky,
    hash_of,
    masks_of,
    mirrored,
    noise_of_ten,
    read_mask,
)
from astroscrappy import detect_cosmics
from rivals import (
    OURS,
    SIMULATED,
    Case,
    Measured,
    Verdicts,
    by_group,
    by_kind,
    compare,
    kept_of,
    report_of,
)

SCRAPPY = next(tool for tool in TOOLS if tool.key == "astroscrappy")


def cosmic_rays(shape=(64, 72)):
    """An image of noise with a star and two hits of one pixel."""
    image = np.random.default_rng(1).normal(100, 5, shape).astype(np.float32)
    y, x = np.indices(shape)
    image += 2000 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / (2 * 2.0**2)).astype(np.float32)
    image[10, 20] += 3000
    image[50, 60] += 3000
    return image


# ------------------------------------------------------------------------------------- figures


def test_a_mask_counts_in_the_brightest_pixel_alone():
    probability = np.zeros((4, 6), np.float32)
    probability[1, 4], probability[1, 3] = 0.75, 0.5
    score, called_real = under_peaks(
        probability, probability > 0.6, np.array([4, 3, 1]), np.array([1, 1, 3])
    )
    assert score.tolist() == [0.25, 0.5, 1.0]
    assert called_real.tolist() == [False, True, True]


def test_figures_of_verdicts():
    real = np.array([True, True, True, True, False, False])
    score = np.array([0.9, 0.8, 0.3, np.nan, 0.4, 0.1], np.float32)
    found = figures_of(real, score, score > 0.35)
    # Pairs of real and bogus: 0.9 and 0.8 are above both bogus, 0.3 above one of two.
    assert found == Figures(4, 2, pytest.approx(5 / 6), 0.5, 0.5)
    assert found.margin == 0


def test_a_verdict_has_the_auc_of_its_two_rates():
    real = np.array([True] * 4 + [False] * 5)
    called = np.array([True, True, True, False, True, False, False, False, False])
    found = figures_of(real, called.astype(np.float32), called)
    assert (found.kept, found.let_in) == (0.75, 0.2)
    assert found.auc == pytest.approx((1 + 0.75 - 0.2) / 2)


@pytest.mark.parametrize(("real", "margin"), [(True, 0.75), (False, -0.75)])
def test_where_a_class_is_empty_the_other_rate_is_the_margin(real, margin):
    score = np.array([0.9, 0.9, 0.9, 0.1], np.float32)
    found = figures_of(np.full(4, real), score, score > 0.5)
    assert math.isnan(found.auc)
    assert found.margin == margin


@pytest.mark.parametrize(("more", "beaten"), [(0, False), (1, False), (2, True)])
def test_one_object_more_is_not_yet_better(more, beaten):
    own = Figures(100, 20, 0.9, 0.90, 10 / 20)
    other = Figures(100, 20, 0.9, 0.90, (10 - more) / 20)
    assert own.is_beaten_by(other) is beaten
    assert not other.is_beaten_by(own)


def test_an_object_of_the_class_in_which_the_other_is_ahead_counts():
    own = Figures(2, 20, 0.9, 0.5, 10 / 20)
    # One real object is half of the margin, but no excuse for five bogus ones.
    assert own.is_beaten_by(Figures(2, 20, 0.9, 0.5, 5 / 20))
    assert not own.is_beaten_by(Figures(2, 20, 0.9, 1.0, 10 / 20))
    assert not own.is_beaten_by(Figures(2, 20, 0.9, 0.0, 1 / 20))


def test_without_a_class_the_other_one_decides():
    own = Figures(0, 20, math.nan, math.nan, 2 / 20)
    assert own.is_beaten_by(Figures(0, 20, math.nan, math.nan, 0.0))
    assert not own.is_beaten_by(Figures(0, 20, math.nan, math.nan, 1 / 20))


def test_the_summary_leaves_out_groups_without_a_class():
    groups = {
        "a": Figures(10, 10, 0.9, 0.8, 0.2),
        "b": Figures(1000, 10, 0.7, 1.0, 0.0),
        "dark": Figures(0, 10, math.nan, math.nan, 1.0),
    }
    assert summary_of(groups) == {
        "groups": 2,
        "auc": pytest.approx(0.8),
        "lowest_auc": 0.7,
        "kept": pytest.approx(0.9),
        "let_in": pytest.approx(0.1),
    }
    assert math.isnan(summary_of({"dark": groups["dark"]})["auc"])


def test_a_mosaic_holds_every_cutout_on_one_level():
    rng = np.random.default_rng(2)
    cutouts = rng.integers(0, 50, (7, 5, 5)).astype(np.uint16)
    cutouts[3] += 60000
    image, x, y = mosaic_of(cutouts)
    assert image.shape == (15, 15)
    assert image.dtype == np.float32
    level = np.median(np.median(cutouts, axis=(1, 2)))
    for cutout, column, row in zip(cutouts, x, y, strict=True):
        tile = image[row - 2 : row + 3, column - 2 : column + 3]
        np.testing.assert_array_equal(tile, cutout.astype(float) - np.median(cutout) + level)
    # Nine places for seven cutouts: the last two hold the first two again.
    np.testing.assert_array_equal(image[10:, 5:10], image[:5, :5])


# --------------------------------------------------------------------------- all cases together


def case(group, real, kind=""):
    n = len(real)
    at = np.zeros(n, np.int64)
    return Case(
        group=group,
        image=np.zeros((4, 4), np.float32),
        gain=None,
        x=at,
        y=at,
        real=np.array(real),
        kind=np.array(kind or [""] * n),
        score=np.zeros(n, np.float32),
        seconds=1.0,
    )


def says(*called):
    return np.array(called, np.float32), np.array(called, bool)


def test_a_group_with_an_image_that_failed_is_not_judged():
    cases = [case("a", [True, False]), case("a", [True]), case("b", [True, False, False])]
    verdicts = Verdicts([says(1, 0), None, says(1, 1, 0)], 1.0, {"a": "too small"})
    assert by_group(cases, verdicts) == {"b": Figures(1, 2, 0.75, 1.0, 0.5)}
    own = Verdicts([says(1, 1), says(0), says(1, 1, 1)], 1.0, {})
    groups = {OURS: by_group(cases, own), "rival": by_group(cases, verdicts)}
    assert groups[OURS]["a"] == Figures(2, 1, 0.25, 0.5, 1.0)
    assert compare(groups) == {"a": [], "b": []}  # better by one object, no more


def test_a_rival_that_is_better_by_two_objects_is_named():
    cases = [case("a", [True, False, False])]
    groups = {
        name: by_group(cases, Verdicts([verdict], 1.0, {}))
        for name, verdict in {
            OURS: says(1, 1, 1),
            "worse": says(0, 1, 1),
            "better": says(1, 0, 0),
        }.items()
    }
    assert compare(groups) == {"a": ["better"]}


def test_classes_are_those_of_simulated_cases():
    cases = [case("real", [True]), case(SIMULATED, [True, True, False], ["star", "star", "trail"])]
    verdicts = Verdicts([says(1), says(1, 0, 1)], 1.0, {})
    assert by_kind(cases, verdicts) == {"star": 0.5, "trail": 1.0}


def test_the_rivals_of_an_earlier_run_are_beside_ours_of_now():
    cases = [case("a", [True, False, False]), case(SIMULATED, [True, False], ["star", "trail"])]
    rival = Measured.of(cases, Verdicts([says(1, 0, 0), says(1, 1)], 3.0, {"b": "too small"}))
    before = Measured.of(cases, Verdicts([says(1, 1, 1), says(0, 1)], 1.0, {}))
    now = Measured.of(cases, Verdicts([says(1, 0, 0), says(1, 0)], 2.0, {}))
    report = json.loads(json.dumps(report_of(cases, {OURS: before, "rival": rival})))
    assert report["higher_than_ours"]["a"] == ["rival"]
    kept = kept_of(report, now)
    assert kept == {"rival": rival}
    again = report_of(cases, {OURS: now} | kept)
    assert again["higher_than_ours"] == {"a": [], SIMULATED: []}
    assert again["summary"]["rival"] == report["summary"]["rival"]
    assert again["summary"][OURS]["seconds_per_megapixel"] == 2.0
    more = [*cases, case("c", [True])]
    verdicts = Verdicts([says(1, 0, 0), says(1, 0), says(1)], 2.0, {})
    with pytest.raises(SystemExit, match="of c, rival had nothing, and now there are 1 real"):
        kept_of(report, Measured.of(more, verdicts))
    other = [case("a", [True, True, False]), cases[1]]
    with pytest.raises(SystemExit, match="of a, rival had 1 real and 2 bogus, and now"):
        kept_of(report, Measured.of(other, Verdicts([says(1, 0, 0), says(1, 0)], 2.0, {})))


# ---------------------------------------------------------------------------- what they are fed


def test_a_small_image_is_mirrored_around_itself():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    padded, rows, columns = mirrored(image, 7)
    assert padded.shape == (7, 7)
    np.testing.assert_array_equal(padded[rows, columns], image)
    np.testing.assert_array_equal(padded[rows.start - 1, columns], image[0])
    np.testing.assert_array_equal(padded[rows, columns.stop], image[:, -1])


def test_an_image_that_is_large_enough_is_fed_as_it_is():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    padded, rows, columns = mirrored(image, 3)
    np.testing.assert_array_equal(padded, image)
    assert padded[rows, columns].shape == image.shape


def test_electrons_above_the_sky():
    image = cosmic_rays((256, 256))
    found = electrons_above_sky(image, 2.0)
    assert abs(float(np.median(found))) < 1.0
    assert found[10, 20] - found[10, 21] == pytest.approx(2 * (image[10, 20] - image[10, 21]), rel=1e-3)
    np.testing.assert_allclose(electrons_above_sky(image, None), found / 2, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-3, 50.0])
def test_units_do_not_matter_where_the_noise_is_made_ten(unit):
    image = cosmic_rays((256, 256))
    found = noise_of_ten(unit * image, 3.0)
    assert abs(float(np.median(found))) < 2.0
    # The noise was drawn with 5.
    assert found[10, 20] - found[10, 21] == pytest.approx(2 * (image[10, 20] - image[10, 21]), rel=0.05)


def test_an_image_of_other_shape_or_pixels_has_another_hash():
    image = np.zeros((2, 8), np.float32)
    other = image.copy()
    other[1, 3] = 1
    assert len({hash_of(image), hash_of(image.reshape(4, 4)), hash_of(other)}) == 3
    assert hash_of(image) == hash_of(image.copy())


# ------------------------------------------------------------------------------- kept on disk


def keep(path, shape=(3, 4), **changed):
    parts = {
        "probability": np.full(shape, 0.25, np.float32),
        "flagged": np.ones(shape, bool),
        "seconds": 6.0,
    }
    parts |= changed
    np.savez_compressed(path, **{key: value for key, value in parts.items() if value is not None})


def test_a_kept_mask_is_read_back(tmp_path):
    keep(tmp_path / "a.npz")
    mask = read_mask(tmp_path / "a.npz", (3, 4))
    assert mask is not None
    assert mask.probability.tolist() == [[0.25] * 4] * 3
    assert mask.flagged.all()
    assert mask.seconds_per_megapixel == pytest.approx(6.0 / 12e-6)
    part = mask.within(slice(1, 2), slice(0, 2))
    assert part.probability.shape == part.flagged.shape == (1, 2)
    assert part.seconds_per_megapixel == mask.seconds_per_megapixel


@pytest.mark.parametrize(
    "changed",
    [{"shape": (4, 3)}, {"flagged": None}, {"flagged": np.ones((3, 4), np.uint8)}, {"seconds": "soon"}],
)
def test_a_kept_mask_that_does_not_fit_is_none(tmp_path, changed):
    keep(tmp_path / "a.npz", **changed)
    assert read_mask(tmp_path / "a.npz", (3, 4)) is None


def test_a_damaged_or_missing_file_is_none(tmp_path):
    path = tmp_path / "a.npz"
    assert read_mask(path, (3, 4)) is None
    keep(path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:60] + bytes(60) + whole[120:]):
        path.write_bytes(damaged)
        assert read_mask(path, (3, 4)) is None


# ---------------------------------------------------------- a rival that the tests have, as it is


@pytest.fixture
def own_python(monkeypatch):
    """Rivals run with the tests' Python, which has astroscrappy; lists what was started."""
    started = []

    def environment(tool, cache):
        started.append(tool.key)
        return sys.executable

    monkeypatch.setattr(_rival_tools, "environment", environment)
    return started


def test_a_rival_masks_what_its_own_call_masks_and_once_only(own_python, tmp_path):
    image = cosmic_rays()
    (mask,) = masks_of(SCRAPPY, [(image, None)], tmp_path)
    expected, _ = detect_cosmics(image)
    assert expected[10, 20]
    assert expected[50, 60]
    assert not expected[30, 40]
    np.testing.assert_array_equal(mask.flagged, expected)
    np.testing.assert_array_equal(mask.probability, expected)
    assert mask.seconds_per_megapixel > 0
    other = image.T.copy()
    again = masks_of(SCRAPPY, [(image, None)], tmp_path)
    np.testing.assert_array_equal(again[0].flagged, expected)
    assert own_python == ["astroscrappy"]
    assert len(masks_of(SCRAPPY, [(image, None), (other, None)], tmp_path)) == 2
    assert own_python == ["astroscrappy"] * 2
    # Another version has masks of its own.
    newer = dataclasses.replace(SCRAPPY, requirements=("astroscrappy==99", *SCRAPPY.requirements[1:]))
    masks_of(newer, [(image, None)], tmp_path)
    assert own_python == ["astroscrappy"] * 3


def test_a_small_image_comes_back_with_its_own_shape(own_python, tmp_path):
    image = cosmic_rays()
    (mask,) = masks_of(dataclasses.replace(SCRAPPY, least=100), [(image, None)], tmp_path)
    assert mask.flagged.shape == image.shape
    assert mask.flagged[10, 20]
    assert not mask.flagged[30, 40]


def test_an_image_that_a_rival_fails_on_is_told_and_the_others_go_on(own_python, tmp_path):
    image = cosmic_rays()

    def feed(pixels, gain):
        return np.array([["no", "number"]] * 2) if gain == 1.0 else pixels

    failed, mask = masks_of(
        dataclasses.replace(SCRAPPY, feed=feed), [(image, 1.0), (image, 2.0)], tmp_path
    )
    assert isinstance(failed, RivalError)
    assert "multiply" in str(failed)
    assert mask.flagged[10, 20]


def test_a_rival_that_does_not_start_is_told(own_python, tmp_path):
    with pytest.raises(RivalError, match="no_such_rival"):
        masks_of(Tool("none", "no_such_rival", ("none==1",)), [(cosmic_rays(), None)], tmp_path)


def test_what_cannot_be_installed_is_told_and_does_not_count_as_made(tmp_path):
    tool = Tool("none", "none", (f"{tmp_path}/none-1-py3-none-any.whl",))
    with pytest.raises(RivalError, match=r"none-1-py3-none-any\.whl cannot be installed: .+"):
        masks_of(tool, [(cosmic_rays(), None)], tmp_path)
    assert not list(tmp_path.rglob("requirements.txt"))
