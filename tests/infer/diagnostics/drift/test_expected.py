"""What is expected of clipped frames, of unknown exposures, of other scorers, and of changing skies."""

from dataclasses import replace

import numpy as np
import pytest

from rbinfer.diagnostics.drift.deviations import BEYOND
from rbinfer.diagnostics.drift.expected import Reference
from rbinfer.diagnostics.drift.frames import Scorer
from rbinfer.diagnostics.drift.monitor import find_alarms
from rbinfer.diagnostics.drift.transfer import Transfer

from .skies import frame


def frames(seed, n=20, **other):
    rng = np.random.default_rng(seed)
    return [replace(frame(rng), **other) for _ in range(n)]


def test_frames_whose_background_and_noise_are_0_are_compared():
    reference = Reference(frames(1, background=0.0, noise=0.0))
    same, lit = frames(2, 2, background=0.0, noise=0.0)
    assert "background" not in reference.deviations(same)
    assert reference.deviations(same)["fwhm"].z == pytest.approx(0, abs=4)
    found = reference.deviations(replace(lit, background=3.0))
    assert found["background"].z == BEYOND


@pytest.mark.parametrize(("before", "now"), [(None, 60.0), (60.0, None), (None, None)])
def test_without_an_exposure_the_camera_decides(before, now):
    reference = Reference(frames(3, exposure=before))
    good, *_ = frames(4, exposure=now)
    assert set(reference.deviations(good)) >= {"fwhm", "background", "noise", "real", "scores"}
    assert reference.gap(good) is None
    [alarm] = find_alarms([replace(f, fwhm=7.0) for f in frames(5, 4, exposure=now)], reference)[0]
    assert alarm.cause.name == "focus"
    assert reference.deviations(replace(good, camera="another")) is None


def test_known_exposures_that_differ_are_not_compared():
    other = frames(6, 1, exposure=300.0)[0]
    reference = Reference(frames(7, exposure=60.0))
    assert reference.deviations(other) is None
    assert "'camera; about 300 s'" in reference.gap(other)


def test_scores_of_another_threshold_are_not_compared():
    before = Scorer("default", "2", 0.5, ("star",))
    reference = Reference(frames(8, scorer=before))
    alike, other = frames(9, 2, scorer=before)
    other = replace(other, scorer=before._replace(threshold=0.9))
    by_scores = {"real", "bogus_fraction", "hot_pixel", "cosmic_ray", "trail", "scores"}
    assert by_scores <= set(reference.deviations(alike))
    assert set(reference.deviations(other)) & by_scores == set()
    assert {"fwhm", "background", "noise", "ellipticity"} <= set(reference.deviations(other))
    assert reference.gap(alike) is None
    assert "another model, threshold or choice of real classes" in reference.gap(other)


@pytest.mark.parametrize("unknown", [{"real": None}, {"bogus": None}, {"real": None, "bogus": None}])
def test_counts_that_are_not_known_raise_no_alarm(unknown):
    reference = Reference(frames(10, 40))
    damaged = frames(11, 20, **unknown)
    assert find_alarms(damaged, reference)[0] == []
    found = reference.deviations(damaged[0])
    assert ("real" in found) == ("real" not in unknown)
    assert set(found) & {"bogus_fraction", "scores"} == set()
    # A count of 0 is known, and stands for clouds.
    alarm, *_ = find_alarms(frames(11, 20, real=0), reference)[0]
    assert alarm.cause.name == "clouds"


def changing(rng, response=0.01):
    """A frame whose sky is anything from 300 to 20,000, on pixels that respond differently."""
    sky = float(np.exp(rng.uniform(np.log(300), np.log(20_000))))
    noise = np.sqrt(sky + 64.0 + (response * sky) ** 2) * np.exp(rng.normal(0, 0.01))
    return replace(frame(rng), background=sky, noise=float(noise))


def test_pixels_that_respond_differently_are_no_other_gain():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        reference = Reference(changing(rng) for _ in range(40))
        found = [reference.deviations(changing(rng)) for _ in range(500)]
        z = np.array([each["transfer"].z for each in found if "transfer" in each])
        assert np.all(np.abs(z) < 4)


def test_the_line_is_dropped_where_it_gives_a_frame_no_noise():
    rng = np.random.default_rng(1)

    def exposed(level, variance):
        return replace(frame(rng), background=float(level), noise=float(np.sqrt(variance)))

    # The line crosses 0 at a level of 50.
    line = [exposed(level, 2 * level - 100) for level in np.linspace(200, 900, 30)]
    assert Transfer.of(line, 8).slope == pytest.approx(2.0)
    assert Transfer.of([*line, exposed(10, 40_000)], 8) is None


def test_beyond_the_levels_of_the_reference_the_scatter_grows():
    transfer = Transfer(1.0, 64.0, 0.05, 300.0, 900.0)
    at = {
        b: transfer.change(replace(frame(np.random.default_rng(0)), background=b, noise=40.0))[1]
        for b in (300.0, 900.0, 1000.0, 5000.0, 20_000.0)
    }
    assert at[300.0] == at[900.0] == at[1000.0] == 0.05
    # 1 % of 4,100 beyond the highest, over the noise of 5,064: half of log(1 + 0.332).
    assert at[5000.0] == pytest.approx(0.1433, abs=1e-4)
    assert at[20_000.0] > 0.5
