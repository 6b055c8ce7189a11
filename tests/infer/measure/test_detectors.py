"""The detector of rbinfer's kernels beside SEP: the same catalogue, from any number of threads."""

import numpy as np
import pytest

from rbinfer.errors import InputError
from rbinfer.kernels import constants as c
from rbinfer.measure import gathered, islands, runs
from rbinfer.measure.detect import detect
from rbinfer.measure.islands import find_detections
from rbinfer.measure.sep_detector import extract

from .test_detect import NOISE, SKY, frame, star

THRESHOLD = 5.0


def matched(found, others, reach=1.0):
    """Return index pairs of detections that are each other's nearest, within `reach` pixels."""
    squares = (found["x"][:, None] - others["x"]) ** 2 + (found["y"][:, None] - others["y"]) ** 2
    nearest, back = squares.argmin(axis=1), squares.argmin(axis=0)
    rows = np.arange(len(found["x"]))
    same = (back[nearest] == rows) & (squares[rows, nearest] < reach**2)
    return rows[same], nearest[same]


def crowded(seed):
    rng = np.random.default_rng(seed)
    image = np.zeros((400, 420))
    for height, x, y in zip(
        NOISE * (4 + 20 * rng.pareto(1.0, 900)), *rng.uniform(20, 380, (2, 900)), strict=True
    ):
        ix, iy = round(x), round(y)
        image[iy - 10 : iy + 11, ix - 10 : ix + 11] += height * star(3.2, 3.5, 1, x - ix, y - iy, 10)
    return (image + rng.normal(SKY, NOISE, image.shape)).astype(np.float32)


def sloping(seed):
    image = frame(3.0, n_stars=300, seed=seed)
    y, x = np.indices(image.shape)
    return (image + 3 * x + 800 * np.sin(y / 150)).astype(np.float32)


SCENES = {
    "stars": lambda: frame(3.0, n_stars=300, seed=1),
    "wide stars": lambda: frame(6.0, n_stars=200, seed=2),
    "artefacts": lambda: frame(2.2, artefacts=0.6, n_stars=200, seed=3),
    "crowded": lambda: crowded(4),
    "slope": lambda: sloping(5),
    "integers": lambda: np.round(frame(3.0, n_stars=300, seed=6)),
}


def stands_out(peak, threshold, is_smoothed):
    """Tell whether the (smoothed) peak is half a sigma above a threshold of `THRESHOLD` sigma."""
    return peak > (1 + 0.5 / THRESHOLD) * threshold * (0.375 if is_smoothed else 1.0)


@pytest.mark.parametrize("settings", [{}, {"matched_filter": False}, {"deblend_cont": 1.0}])
@pytest.mark.parametrize("scene", SCENES)
def test_detections_are_those_of_sep(scene, settings):
    image = SCENES[scene]()
    how = {"minarea": 3, "matched_filter": True, "deblend_cont": 0.005} | settings
    rows = find_detections(image, None, THRESHOLD, threads=2, **how)
    ours = {"x": rows[:, c.FIRST_X], "y": rows[:, c.FIRST_Y]}
    seps = extract(image, None, THRESHOLD, **how)
    of_ours, of_seps = matched(ours, seps)
    assert len(of_ours) >= 0.97 * max(len(rows), len(seps))
    is_smoothed = how["matched_filter"]
    for found, pairs in (
        (stands_out(rows[:, c.PEAK_SMOOTH], rows[:, c.THRESHOLD], is_smoothed), of_ours),
        (stands_out(seps["cpeak"], seps["thresh"], is_smoothed), of_seps),
    ):
        missing = np.count_nonzero(found) - np.count_nonzero(found[pairs])
        # One of a few hundred is more than half a percent.
        assert missing <= max(1, (0.005 if is_smoothed else 0.01) * len(found))


@pytest.mark.parametrize("settings", [{}, {"matched_filter": False}, {"deblend_cont": 1.0}])
@pytest.mark.parametrize("scene", SCENES)
def test_measurements_are_those_of_sep(scene, settings):
    image = SCENES[scene]()
    ours, seps = (
        detect(image, threshold=THRESHOLD, detector=which, **settings) for which in ("rbinfer", "sep")
    )
    assert ours.colnames == seps.colnames
    assert [ours[n].dtype for n in ours.colnames] == [seps[n].dtype for n in seps.colnames]
    of_ours, of_seps = matched(ours, seps)
    ours, seps = ours[of_ours], seps[of_seps]
    single = (np.asarray(seps["flags"]) & c.MERGED) == 0
    assert np.mean(single == ((np.asarray(ours["flags"]) & c.MERGED) == 0)) >= 0.995
    distance = np.hypot(ours["x"] - seps["x"], ours["y"] - seps["y"])
    assert np.mean(distance < 0.02) >= 0.995
    assert np.mean(np.abs(ours["flux"] / seps["flux"] - 1)[single] < 0.01) >= 0.995
    for name in ("xpeak", "ypeak", "npix", "flags"):
        assert np.mean((ours[name] == seps[name])[single]) >= 0.98, name
    for name in ("a", "b", "peak", "fwhm"):
        assert np.mean(np.isclose(ours[name], seps[name], rtol=2e-3)[single]) >= 0.98, name
    long = single & (np.asarray(seps["a"]) > 1.1 * np.asarray(seps["b"]))
    turn = np.abs((ours["theta"] - seps["theta"] + np.pi / 2) % np.pi - np.pi / 2)
    assert np.mean(turn[long] < 0.01) >= 0.98


def test_light_of_blends_is_shared_as_by_sep():
    image = crowded(7)
    ours, seps = (detect(image, detector=which) for which in ("rbinfer", "sep"))
    of_ours, of_seps = matched(ours, seps)
    blends = (np.asarray(seps["flags"])[of_seps] & c.MERGED) > 0
    ratio = (ours["flux"][of_ours] / seps["flux"][of_seps])[blends]
    assert len(ratio) > 200
    # By chance in both, with the same odds.
    assert np.median(ratio) == pytest.approx(1.0, abs=0.002)
    assert np.std(ratio) < 0.05


def test_bad_pixels_are_left_out_as_by_sep():
    image = frame(3.0, n_stars=300, seed=8)
    mask = np.zeros(image.shape, np.bool_)
    mask[:, 200:202] = True
    image[mask] = 1e6
    image[100:140, 300:380] = np.nan
    ours, seps = (detect(image, mask, detector=which) for which in ("rbinfer", "sep"))
    of_ours, of_seps = matched(ours, seps)
    assert len(of_ours) >= 0.97 * max(len(ours), len(seps))
    ours, seps = ours[of_ours], seps[of_seps]
    assert np.mean(np.hypot(ours["x"] - seps["x"], ours["y"] - seps["y"]) < 0.02) > 0.97


def rows_of(image, threads, **changes):
    how = dict(threshold=3.0, minarea=3, matched_filter=True, deblend_cont=0.005) | changes
    return find_detections(image, None, threads=threads, **how)


def test_threads_strips_bands_and_chunks_change_no_bit(monkeypatch):
    image = crowded(9)
    want = rows_of(image, 1)
    assert len(want) > 300
    assert rows_of(image, 3).tobytes() == want.tobytes()
    monkeypatch.setattr(islands, "_STRIP", 17)
    monkeypatch.setattr(islands, "_CHUNK", 100)
    monkeypatch.setattr(gathered, "_BLOCK", 40)
    for band in (1, 7 * image.shape[1], 40 * image.shape[1]):
        monkeypatch.setattr(islands, "_BAND", band)
        assert rows_of(image, 2).tobytes() == want.tobytes()


def test_a_step_does_not_flood():
    rng = np.random.default_rng(11)
    image = rng.normal(100, 5, (1000, 1000)).astype(np.float32)
    y, x = np.indices(image.shape)
    image[(x - 500) ** 2 + (y - 500) ** 2 < 330**2] += 2400
    found = detect(image, detector="rbinfer")
    assert found["npix"].max() <= 65536


def test_hot_pixels_do_not_flood():
    rng = np.random.default_rng(12)
    image = rng.normal(100, 5, (700, 700)).astype(np.float32)
    hot = rng.random(image.shape) < 0.08
    image[hot] += (100 * (1 + rng.pareto(1.5, hot.sum()))).astype(np.float32)
    found = detect(image, detector="rbinfer")
    assert found["npix"].max() < 0.02 * image.size
    assert len(found) > 1000


def test_a_flood_comes_apart_at_a_higher_threshold(monkeypatch):
    image = frame(3.0, n_stars=150, seed=13)
    y, x = np.indices(image.shape)
    image += (600 * np.exp(-((x - 250.0) ** 2 + (y - 250.0) ** 2) / (2 * 20**2))).astype(np.float32)
    largest = detect(image, detector="rbinfer", deblend_cont=1.0)["npix"].max()
    assert largest > 600
    monkeypatch.setattr(runs, "_FLOOD_PIXELS", 300)
    monkeypatch.setattr(runs, "_FLOOD_SHARE", 0.0)
    found = detect(image, detector="rbinfer", deblend_cont=1.0)
    assert found["npix"].max() <= 300
    assert len(found) > 100
    # Its parts end in bands above that where it ends, and come in the order of their ends all the same.
    want = rows_of(image, 1)
    monkeypatch.setattr(islands, "_BAND", 3 * image.shape[1])
    assert rows_of(image, 2).tobytes() == want.tobytes()


def test_an_unknown_detector_is_refused():
    with pytest.raises(InputError, match="the detector must be one of rbinfer, sep, not 'sextractor'"):
        detect(np.zeros((9, 9), np.float32), detector="sextractor")
