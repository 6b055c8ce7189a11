"""What a monitor tells while another fault lasts, of trails, and of one filter in a wheel."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rbinfer.diagnostics.drift.expected import Record, Reference
from rbinfer.diagnostics.drift.frames import FrameFigures
from rbinfer.diagnostics.drift.monitor import Monitor, find_alarms

from .skies import BOGUS, REAL, frame

MOON = {"background": 2000.0, "noise": 40.0}


@pytest.fixture
def reference():
    rng = np.random.default_rng(1)
    return Reference(frame(rng) for _ in range(40))


def crossed(rng, name, trails=200, **fault):
    one = frame(rng, name, **fault)
    return replace(one, classes=dict(one.classes) | {"trail": trails})


def causes(alarms):
    return [alarm.cause.name for alarm in alarms]


def test_a_trail_is_told_under_moonlight(reference):
    rng = np.random.default_rng(1)
    moonlit = [frame(rng, f"m{k}.fits", **MOON) for k in range(8)]
    alarms, _ = find_alarms([*moonlit, crossed(rng, "sat.fits", **MOON)], reference)
    assert causes(alarms) == ["light", "trail"]
    assert alarms[1].images == ("sat.fits",)


def test_each_frame_that_is_crossed_is_told_until_they_last(reference):
    rng = np.random.default_rng(2)
    frames = [frame(rng) for _ in range(5)]
    frames += [crossed(rng, "a.fits"), crossed(rng, "b.fits")]
    frames += [frame(rng) for _ in range(9)] + [crossed(rng, "c.fits")]
    alarms, _ = find_alarms(frames, reference)
    assert [alarm.images for alarm in alarms] == [("a.fits",), ("b.fits",), ("c.fits",)]
    lasting = [crossed(rng, f"{k}.fits") for k in range(9)]
    alarms, _ = find_alarms([frame(rng) for _ in range(5)] + lasting, reference)
    assert [len(alarm.images) for alarm in alarms] == [1, 1, 3]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"ellipticity": 0.4}, {"ellipticity": 0.4, "hot": 200}, ["tracking", "hot_pixels"]),
        (MOON, MOON | {"hot": 200}, ["light", "hot_pixels"]),
        ({"hot": 200}, {"hot": 200, "real": 30}, ["hot_pixels", "clouds"]),
    ],
)
def test_a_fault_that_lasts_hides_no_later_one(reference, first, second, expected):
    rng = np.random.default_rng(3)
    frames = [frame(rng, **first) for _ in range(10)] + [frame(rng, **second) for _ in range(10)]
    alarms, _ = find_alarms(frames, reference)
    # More hot pixels are more bogus detections as well, which may be told apart from them.
    assert [name for name in causes(alarms) if name != "artefacts"] == expected
    told = [{each.figure for each in alarm.figures} for alarm in alarms]
    assert all(not a & b for a, b in pairwise(told))


def lit(reference, rng, z):
    """Return a frame with a background that is so odd."""
    one = frame(rng)
    high = replace(one, background=5000.0)
    middle = replace(one, background=500.0)
    top, low = (reference.deviations(each)["background"].z for each in (high, middle))
    return replace(one, background=500.0 + 4500.0 * (z - low) / (top - low))


def test_a_figure_near_its_limit_is_told_once(reference):
    rng = np.random.default_rng(6)
    near = [lit(reference, rng, z) for z in [0.0] * 6 + [4.6] * 4 + [3.4] * 8 + [4.6] * 4]
    assert causes(find_alarms(near, reference)[0]) == ["light"]
    well = [lit(reference, rng, z) for z in [0.0] * 6 + [4.6] * 4 + [2.5] * 8 + [4.6] * 4]
    assert causes(find_alarms(well, reference)[0]) == ["light", "light"]


def test_a_figure_that_follows_another_tells_nothing_new(reference):
    rng = np.random.default_rng(7)
    frames = [frame(rng) for _ in range(6)]
    frames += [frame(rng, background=1500.0) for _ in range(5)]
    frames += [frame(rng, background=1500.0, noise=32.0) for _ in range(5)]
    alarms, _ = find_alarms(frames, reference)
    assert causes(alarms) == ["light"]
    assert {each.figure for each in alarms[0].figures} == {"background"}
    # Once that is over, the noise is told for what it is.
    frames += [frame(rng) for _ in range(8)] + [frame(rng, noise=40.0) for _ in range(5)]
    assert causes(find_alarms(frames, reference)[0]) == ["light", "noise"]


def test_what_is_off_is_told_once_more_after_a_new_start(reference):
    rng = np.random.default_rng(4)
    monitor = Monitor(reference)
    told = [monitor.add(frame(rng, fwhm=6.0)) for _ in range(6)]
    assert [len(alarms) for alarms in told] == [0, 0, 1, 0, 0, 0]
    monitor.forget_told()
    assert [len(monitor.add(frame(rng, fwhm=6.0))) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize("n_filters", [3, 4, 7])
def test_a_fault_of_one_filter_in_a_wheel_is_told_once(n_filters):
    rng = np.random.default_rng(5)
    names = [f"filter {k}" for k in range(n_filters)]

    def turned(fwhm, turns):
        return [
            replace(frame(rng, f"{name}.fits", fwhm=fwhm if name == names[0] else 3.0), camera=name)
            for _ in range(turns)
            for name in names
        ]

    reference = Reference(turned(3.0, 20))
    [alarm] = find_alarms(turned(3.0, 3) + turned(6.0, 6), reference)[0]
    assert alarm.cause.name == "focus"
    assert alarm.images == ("filter 0.fits",) * 3
    assert {each.figure for each in alarm.figures} == {"fwhm"}


RECORD = Record(np.array([REAL, BOGUS]), (0.6, 13.0))


def test_many_kinds_take_bounded_memory():
    monitor = Monitor(RECORD)
    for k in range(300):
        monitor.add(replace(frame(np.random.default_rng(k)), camera=f"camera {k}"))
    assert monitor.n_compared == 300
    assert len(monitor._by_kind) == 64


def test_frames_of_which_too_little_is_known_are_not_called_compared():
    monitor = Monitor(RECORD)
    assert monitor.add(FrameFigures("bare.fits")) == []
    assert monitor.add(frame(np.random.default_rng(0))) == []
    assert (monitor.n_compared, monitor.n_little) == (1, 1)
