"""What is told as a drift, with which cause, after how many frames; and what is not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstwobign

from rbinfer.diagnostics.drift.distances import (
    _KS_MEAN,
    _KS_SCATTER,
    doubt_distance,
    score_distance,
)
from rbinfer.diagnostics.drift.expected import Record, Reference
from rbinfer.diagnostics.drift.frames import FrameFigures
from rbinfer.diagnostics.drift.monitor import WINDOW, Monitor, find_alarms
from rbinfer.diagnostics.drift.transfer import Transfer

from .skies import BINS, BOGUS, REAL, frame


@pytest.fixture
def reference():
    rng = np.random.default_rng(1)
    return Reference(frame(rng) for _ in range(40))


def night(rng, n_good=10, n_bad=5, **fault):
    good = [frame(rng, f"good{k}.fits") for k in range(n_good)]
    return good + [frame(rng, f"bad{k}.fits", **fault) for k in range(n_bad)]


FAULTS = {
    "focus": {"fwhm": 6.0},
    "tracking": {"ellipticity": 0.4, "fwhm": 4.0},
    "hot_pixels": {"hot": 120},
    "light": {"background": 2000.0, "noise": 40.0},
    "gain": {"background": 1000.0, "noise": 40.0},
    "clouds": {"background": 900.0, "noise": 27.0, "real": 40},
    "noise": {"noise": 40.0},
    "darker": {"background": 200.0},
}


@pytest.mark.parametrize(("cause", "fault"), FAULTS.items())
def test_faults_are_named_within_five_frames(reference, cause, fault):
    for seed in range(20):
        alarms, monitor = find_alarms(night(np.random.default_rng(seed), **fault), reference)
        assert [alarm.cause.name for alarm in alarms][:1] == [cause], alarms
        assert all(name.startswith("bad") for name in alarms[0].images)
        assert 3 <= len(alarms[0].images) <= WINDOW
        assert monitor.n_compared == 15


def test_good_frames_give_one_alarm_in_a_thousand_at_most(reference):
    rng = np.random.default_rng(7)
    alarms, _ = find_alarms((frame(rng) for _ in range(5000)), reference)
    assert len(alarms) <= 5


def test_the_photon_transfer_tells_another_gain_from_light_whatever_the_offset():
    rng = np.random.default_rng(10)

    def exposed(sky, gain=1.0):
        one = frame(rng, noise=gain * float(np.sqrt(sky + 25.0)))
        return replace(one, background=1000.0 + gain * sky)

    reference = Reference(exposed(sky) for sky in rng.uniform(200, 900, 40))
    for sky, gain, cause in ((5000, 1, "light"), (500, 2, "gain"), (500, 0.5, "gain")):
        frames = [exposed(sky, gain) for _ in range(3)]
        [alarm] = find_alarms([exposed(500) for _ in range(8)] + frames, reference)[0]
        assert alarm.cause.name == cause
    # A sky that stands still tells no slope, and a subtracted one no level.
    still = [exposed(500) for _ in range(20)]
    assert Transfer.of([replace(one, noise=20.0) for one in still], 8) is None
    assert Transfer.of(still[:7], 8) is None
    assert Transfer(1.0, -100.0, 0.05, 200.0, 900.0).change(replace(exposed(0), background=50.0)) is None


def test_frames_without_stars_lose_the_measurement_and_are_told(reference):
    rng = np.random.default_rng(3)
    starless = [
        replace(frame(rng, f"bad{k}.fits"), fwhm=None, ellipticity=None, has_stars=False)
        for k in range(4)
    ]
    good = [frame(rng) for _ in range(9)]
    # Chance alone may do that in three frames of a poor field.
    assert find_alarms(good + starless[:3], reference)[0] == []
    [alarm] = find_alarms(good + starless, reference)[0]
    assert alarm.cause.name == "no_stars"
    assert alarm.images == tuple(f"bad{k}.fits" for k in range(4))
    shut = [replace(each, real=0) for each in starless[:3]]
    assert [alarm.cause.name for alarm in find_alarms(good + shut, reference)[0]] == ["clouds"]


def test_stars_that_are_too_faint_for_a_width_out_of_focus_count_with_those_that_are_wide(reference):
    rng = np.random.default_rng(3)
    lost = {"fwhm": None, "ellipticity": None, "has_stars": False}
    good = [frame(rng) for _ in range(9)]
    bad = [frame(rng, f"bad{k}.fits", fwhm=9.0) for k in range(5)]
    bad[1:4] = [replace(each, **lost) for each in bad[1:4]]
    [wide] = find_alarms(good + bad, reference)[0]
    assert wide.cause.name == "focus"
    assert wide.images == tuple(f"bad{k}.fits" for k in range(5))
    assert wide.figures[0].value == pytest.approx(9.0, rel=0.2)
    # One wide frame among frames without stars may be chance.
    assert find_alarms(good + bad[:3], reference)[0] == []


def test_light_that_is_uneven_is_told_where_its_level_may_be_another_night():
    rng = np.random.default_rng(8)

    def lit(name="f.fits", level=500.0, uneven=20.0):
        return replace(frame(rng, name, background=level), background_range=uneven + rng.normal(0, 5))

    reference = Reference(lit() for _ in range(40))
    assert find_alarms([lit(level=650.0) for _ in range(20)], reference)[0] == []
    # As uneven as a twentieth of the level is, flat fields are.
    assert find_alarms([lit(uneven=60.0) for _ in range(20)], reference)[0] == []
    leaks = [lit(f"leak{k}.fits", 600.0, 220.0) for k in range(3)]
    [alarm] = find_alarms([*(lit() for _ in range(8)), *leaks], reference)[0]
    assert alarm.cause.name == "light"
    assert alarm.images == ("leak0.fits", "leak1.fits", "leak2.fits")
    assert "difference of the background over the frame 2" in alarm.message


def test_one_frame_is_enough_for_a_trail_and_not_for_the_focus(reference):
    rng = np.random.default_rng(4)
    one = frame(rng, "crossed.fits")
    crossed = replace(one, classes=dict(one.classes) | {"trail": 60})
    [alarm] = find_alarms([frame(rng) for _ in range(9)] + [crossed], reference)[0]
    assert (alarm.cause.name, alarm.images) == ("trail", ("crossed.fits",))
    assert "class trail 60 detections where 0 detections is expected" in alarm.message
    # Stars that are drawn out look like trails, and are told of as what they are, once they last.
    drawn = replace(crossed, ellipticity=0.5)
    assert not find_alarms([frame(rng) for _ in range(9)] + [drawn], reference)[0]
    wide = frame(rng, fwhm=6.0)
    assert not find_alarms([frame(rng) for _ in range(9)] + [wide], reference)[0]


def test_an_alarm_is_given_once_until_all_is_well_again(reference):
    rng = np.random.default_rng(5)
    frames = night(rng, 5, 20, fwhm=6.0) + night(rng, 10, 5, fwhm=6.0)
    alarms, _ = find_alarms(frames, reference)
    assert [alarm.cause.name for alarm in alarms] == ["focus", "focus"]


def test_scores_that_slide_are_told_though_their_counts_stay(reference):
    rng = np.random.default_rng(6)
    unsure = np.ones(BINS)
    slid = []
    for k in range(3):
        one = frame(rng, f"bad{k}.fits")
        real = rng.multinomial(one.real, unsure / BINS)
        slid.append(replace(one, scores=np.array([real, one.scores[1]])))
    [alarm] = find_alarms([frame(rng) for _ in range(9)] + slid, reference)[0]
    assert alarm.cause.name == "scores"
    record = Record(np.array([REAL, BOGUS]), (0.6, 13.0))
    [alarm] = find_alarms([frame(rng) for _ in range(9)] + slid, record)[0]
    assert alarm.cause.name == "scores"
    wide = [frame(rng, fwhm=20.0) for _ in range(3)]
    [alarm] = find_alarms(wide, record)[0]
    assert "trained on 0.6 to 13 px" in alarm.message


def test_other_kinds_of_frames_are_counted_and_not_compared(reference):
    rng = np.random.default_rng(8)
    monitor = Monitor(reference)
    for _ in range(5):
        assert monitor.add(replace(frame(rng, fwhm=9.0), camera="another camera")) == []
    assert (monitor.n_compared, monitor.n_others) == (0, 5)
    assert not Reference([frame(rng) for _ in range(7)]).is_usable


def test_a_few_odd_frames_in_the_reference_do_no_harm():
    rng = np.random.default_rng(9)
    spoiled = [frame(rng, fwhm=9.0, background=9000.0, noise=90.0) for _ in range(3)]
    reference = Reference([frame(rng) for _ in range(40)] + spoiled)
    [alarm] = find_alarms(night(rng, fwhm=6.0), reference)[0]
    assert alarm.cause.name == "focus"


def test_distance_is_that_of_kolmogorov_and_smirnov():
    scores = np.zeros((2, 4))
    scores[0] = (0, 0, 10, 30)
    shares = np.array([[0.0, 0.0, 0.5, 0.5], [1.0, 0.0, 0.0, 0.0]])
    assert score_distance(scores, shares) == pytest.approx(0.25)
    # Another mix of real and bogus is no distance.
    mixed = np.array([[0.0, 0.0, 20.0, 20.0], [60.0, 0.0, 0.0, 0.0]])
    assert score_distance(mixed, shares) == 0.0
    assert score_distance(mixed / 10, shares) is None
    assert score_distance(mixed, shares[:, :3]) is None
    assert pytest.approx(kstwobign.mean(), abs=1e-4) == _KS_MEAN
    assert pytest.approx(kstwobign.std(), abs=1e-4) == _KS_SCATTER


def test_doubt_has_one_side():
    shares = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 0.0, 0.0]])
    surer = np.array([[0.0, 0.0, 0.0, 40.0], [60.0, 0.0, 0.0, 0.0]])
    assert doubt_distance(surer, shares) == 0.0
    assert score_distance(surer, shares) == pytest.approx(0.3)
    # Of 40 real ones 30 are a bin lower than half of them would be: 10 of 100 more.
    assert doubt_distance(np.array([[0, 0, 30, 10], [60, 0, 0, 0]]), shares) == pytest.approx(0.1)
    assert doubt_distance(np.array([[0, 0, 0, 40], [0, 0, 60, 0]]), shares) == pytest.approx(0.6)
    assert doubt_distance(surer / 10, shares) is None


def test_summaries_of_earlier_versions_are_taken_as_they_are():
    old = {"real": 30, "bogus": 4, "fwhm": 3.1, "fwhm_source": "borrowed", "classes": {"star": 34}}
    found = FrameFigures.of("a.fits", "camera", old)
    assert (found.fwhm, found.has_stars, found.scores, found.background) == (None, False, None, None)
    assert FrameFigures.of("a.fits", "", {"fwhm_source": "given", "fwhm": 3.0}).has_stars is None
    assert FrameFigures.of("a.fits", "c", {"exposure": 30.0}).kind == "c; about 30 s"
    assert FrameFigures.of("a.fits", "c", {"scores": {"real": [1]}, "noise": float("nan")}).noise is None


def test_a_plain_dictionary_has_all_of_it(reference):
    alarm = find_alarms(night(np.random.default_rng(0), fwhm=6.0), reference)[0][0]
    told = alarm.as_dict()
    assert told["cause"] == "focus"
    assert told["images"] == list(alarm.images)
    assert told["figures"]["fwhm"]["value"] > 1.3 * told["figures"]["fwhm"]["expected"]
    assert told["message"].startswith("focus or seeing: the stars are wide (FWHM ")
