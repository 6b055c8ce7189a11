"""What changes within a night is told, and what nights do by themselves is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rbinfer.diagnostics.drift.expected import Reference
from rbinfer.diagnostics.drift.monitor import find_alarms
from rbinfer.diagnostics.drift.within import Night, allowed, in_order, unknown

from .skies import frame

EVENING = datetime(2026, 3, 14, 20, 0, tzinfo=UTC)


def night(seed, n=40, day=0, sky=500.0, **fault):
    """Return a night whose seeing wanders slowly, about a level of its own; faults begin at frame 20."""
    rng = np.random.default_rng(seed)
    level, wander, frames = 3.0 * np.exp(rng.normal(0, 0.15)), 0.0, []
    for k in range(n):
        wander = 0.9 * wander + rng.normal(0, 0.03)
        is_faulty = k >= 20
        given = {"background": sky} | {
            name: value
            for name, value in fault.items()
            if is_faulty and name not in ("defocus", "airmass")
        }
        one = frame(rng, f"{k:02d}.fits", **given)
        fwhm = (
            level * np.exp(wander + rng.normal(0, 0.01)) * (fault.get("defocus", 1) if is_faulty else 1)
        )
        time = EVENING + timedelta(days=day, minutes=3 * k)
        airmass = fault.get("airmass", 1.0) if is_faulty else 1.0
        frames.append(replace(one, fwhm=float(fwhm), time=time, target="M 31", airmass=airmass))
    return frames


def nights(seed, n=3):
    return [each for day in range(n) for each in night(100 * seed + day, day=day)]


def causes(alarms):
    return [alarm.cause.name for alarm in alarms]


def test_half_as_wide_again_is_told_within_five_frames_in_a_night_of_any_seeing():
    caught = 0
    for seed in range(30):
        alarms, _ = find_alarms(night(seed, defocus=1.5), Reference(nights(seed + 50)))
        focus = [alarm for alarm in alarms if alarm.cause.name == "focus"]
        caught += bool(focus) and "20.fits" <= focus[0].images[-1] <= "24.fits"
    assert caught >= 27


def test_seeing_that_wanders_and_differs_from_night_to_night_is_none():
    false = sum(
        len(find_alarms(night(seed, n=60), Reference(nights(seed + 50)))[0]) for seed in range(30)
    )
    assert false <= 2  # of 1,800 frames


def test_a_slow_change_is_no_drift_and_a_sudden_one_is():
    reference = Reference(nights(1))
    slow = [replace(f, fwhm=3.0 * 1.008**k) for k, f in enumerate(night(2))]
    assert slow[-1].fwhm > 1.35 * slow[0].fwhm
    assert find_alarms(slow, reference)[0] == []
    sudden = [replace(f, fwhm=3.0 if k < 20 else 4.1) for k, f in enumerate(night(2))]
    [alarm] = find_alarms(sudden, reference)[0]
    assert alarm.cause.name == "focus"
    assert alarm.images == ("20.fits", "21.fits", "22.fits")
    assert "FWHM 4.10 px where 3.00 px came before" in alarm.message


def test_airmass_explains_as_much_as_it_can():
    # 2 airmasses widen stars by 2 to the 0.6, which is 1.52, or by less where the optics make the width.
    reference = Reference(nights(3))
    for factor in (1.0, 1.25, 1.5):
        assert find_alarms(night(4, defocus=factor, airmass=2.0), reference)[0] == []
    assert causes(find_alarms(night(4, defocus=2.3, airmass=2.0), reference)[0]) == ["focus"]
    one, two, unknown = (replace(night(4)[0], airmass=x) for x in (1.0, 2.0, None))
    assert allowed(two, [one]) == pytest.approx(np.log(2**0.6))
    assert allowed(one, [two]) == allowed(two, [unknown]) == allowed(unknown, [one]) == 0.0


def test_where_no_header_tells_it_another_altitude_is_allowed_for():
    one = night(4)[0]
    untold, named = replace(one, airmass=None, target=""), replace(one, airmass=None)
    assert unknown(untold, [untold]) == pytest.approx(np.log(1.25**0.6))
    assert unknown(replace(named, target="M 42"), [named]) == pytest.approx(np.log(1.25**0.6))
    assert unknown(named, [named]) == unknown(one, [one]) == 0.0
    reference = Reference(
        replace(f, airmass=None, target="") for day in range(3) for f in night(300 + day, day=day)
    )
    frames = night(4, defocus=1.45)
    bare = [replace(f, airmass=None, target="") for f in frames]
    assert causes(find_alarms(frames, Reference(nights(3)))[0]) == ["focus"]
    assert find_alarms(bare, reference)[0] == []
    wider = [replace(f, airmass=None, target="") for f in night(4, defocus=1.8)]
    assert causes(find_alarms(wider, reference)[0]) == ["focus"]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"background": 700.0, "noise": 24.0}, "light"),
        ({"noise": 26.0}, "noise"),
        ({"real": 110}, "clouds"),
        ({"ellipticity": 0.18}, "tracking"),
    ],
)
def test_small_faults_that_a_reference_night_alone_would_not_tell(fault, cause):
    reference = Reference(nights(5))
    alarms, _ = find_alarms(night(6, **fault), reference)
    assert causes(alarms)[:1] == [cause]
    assert "20.fits" <= alarms[0].images[-1] <= "24.fits"


def test_another_field_or_one_without_a_name_is_no_change():
    reference = Reference(nights(7))
    frames = night(8, background=640.0, noise=22.0, real=110)
    assert find_alarms(frames, reference)[0] != []
    for name in ("M 42", ""):
        other = [
            replace(f, target=name if name == "" or k >= 20 else "M 31") for k, f in enumerate(frames)
        ]
        assert find_alarms(other, reference)[0] == []


def test_filters_and_cameras_that_alternate_are_compared_with_their_own():
    def mixed(seed, brighter=1.0, sharper=1.0):
        one, other = (night(seed + k, sky=sky) for k, sky in enumerate((1000.0, 300.0)))
        other = [replace(f, camera="camera, B", fwhm=f.fwhm * sharper) for f in other]
        frames = [each for pair in zip(one, other, strict=True) for each in pair]
        return [replace(f, background=f.background * brighter) for f in frames]

    reference = Reference([f for seed in (100, 200, 300) for f in mixed(seed)])
    for changed in ({"brighter": 1.2}, {"sharper": 0.8}):
        told = causes(find_alarms(mixed(410, **changed), reference)[0])
        assert not {"light", "focus"} & set(told)


def of_filters(seed, day=0, n=36, before=5, **fault):
    """Return a night of three filters in turn, whose stars and skies differ; faults begin early."""
    frames = []
    for k, each in enumerate(night(seed, n=n, day=day)):
        name = "LRB"[k % 3]
        width, sky = {"L": (1.0, 2.0), "R": (0.9, 1.0), "B": (1.2, 0.5)}[name]
        fwhm, background = each.fwhm * width, each.background * sky
        one = replace(each, camera=f"camera; filter {name}", fwhm=fwhm, background=background)
        is_faulty = k >= before and name in fault.get("only", "LRB")
        frames.append(replace(one, fwhm=fwhm * fault.get("defocus", 1.0)) if is_faulty else one)
    return frames


def test_focus_is_the_telescopes_whatever_the_filter():
    def reference(seed):
        return Reference([f for day in range(3) for f in of_filters(100 * seed + day, day)])

    caught = in_one = false = 0
    for seed in range(20):
        expected = reference(seed + 50)
        false += len(find_alarms(of_filters(seed), expected)[0])
        alarms, _ = find_alarms(of_filters(seed, defocus=1.5), expected)
        caught += bool(alarms) and "05.fits" <= alarms[0].images[-1] <= "09.fits"
        alarms, _ = find_alarms(of_filters(seed, defocus=1.5, only="R"), expected)
        in_one += bool(alarms) and "07.fits" <= alarms[0].images[-1] <= "19.fits"
    assert caught >= 18
    assert in_one >= 16
    assert false <= 1  # of 720 frames


def test_a_reference_of_zeros_is_no_error():
    zeros = [replace(f, background=0.0, noise=0.0) for f in nights(11)]
    frames = [replace(f, background=5.0 if k >= 30 else 0.0, noise=0.0) for k, f in enumerate(night(12))]
    assert find_alarms(frames, Reference(zeros))[0] != []


def test_a_night_begins_anew_after_a_day():
    kept = Night()
    frames = [f for day in (0, 1) for f in night(day, n=10, day=day)]
    seen = []
    for each in frames:
        seen.append(len(kept.before(each).of_telescope))
        kept.add(each)
    assert seen == [0, 0, 0, 1, 2, 3, 4, 5, 5, 5] * 2
    # Without times nothing tells nights apart.
    kept, seen = Night(), []
    for each in frames:
        seen.append(len(kept.before(replace(each, time=None)).of_kind))
        kept.add(replace(each, time=None))
    assert seen[10:] == [5] * 10


def test_frames_are_put_in_the_order_of_their_times_if_all_are_known():
    frames = night(1, n=6)
    mixed = [frames[k] for k in (3, 0, 5, 1, 4, 2)]
    assert in_order(mixed) == frames
    mixed[2] = replace(mixed[2], time=None)
    assert in_order(mixed) == mixed
