"""Which fits agree, on fits that are made up."""

from dataclasses import replace

import numpy as np
import pytest

from rbinfer.measure.agreement import largest_group
from rbinfer.measure.candidates import Candidates


def candidates(shape_with_phase, n=60, fwhm=1.35):
    """Return fits of one width, between pixels along one axis, with shapes that hang on the phase."""
    rng = np.random.default_rng(1)
    phase = rng.uniform(0.35, 0.5, (n, 2)) * rng.choice([-1, 1], (n, 2))
    phase[np.arange(n), rng.integers(0, 2, n)] = rng.uniform(-0.2, 0.2, n)
    cosines = np.cos(2 * np.pi * phase)
    shape = np.column_stack([shape_with_phase * (cosines[:, 0] - cosines[:, 1]), np.zeros(n)])
    ones = np.ones(n)
    x, y = rng.uniform(0, 500, (2, n))
    return Candidates(
        x=x, y=y, phase=phase, factor=np.ones(n, np.int64),
        log_fwhm=np.log(fwhm) + rng.normal(0, 0.03, n), error=0.02 * ones,
        shape=shape + rng.normal(0, 0.02, (n, 2)), shape_error=0.02 * ones,
        snr=10 ** rng.uniform(1.2, 2.5, n), excess=0.02 * ones, flux=ones, sky=0 * ones,
    )  # fmt: skip


@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_shapes_of_undersampled_stars_may_hang_on_the_phase_a_little(slope):
    group = largest_group(candidates(slope))
    assert group.is_convincing
    assert len(group.members) > 50
    assert group.fwhm == pytest.approx(1.35, rel=0.02)


def test_shapes_that_hang_on_the_phase_alone_are_those_of_resampled_pixels():
    group = largest_group(candidates(0.25))
    assert group.in_many_shapes
    assert group.evidence > group.needed
    assert not group.is_convincing


def test_shapes_of_resolved_stars_are_not_asked():
    assert not largest_group(candidates(0.25, fwhm=4.0)).in_many_shapes


@pytest.mark.parametrize(("n", "fwhm", "share"), [(5, 3.0, 0.85), (4, 3.0, 1.0), (6, 1.35, 0.85)])
def test_five_that_are_unlike_hits_need_less_evidence(n, fwhm, share):
    group = largest_group(candidates(0.0, n, fwhm))
    assert (len(group.members), group.share) == (n, 1.0)
    assert group.needed == pytest.approx(11.0 * share)


@pytest.mark.parametrize(
    ("n", "means", "wanted"),
    [
        (20, (0.75, 0.35), False),  # as of stars of an interpolated image
        (20, (0.7, 0.7), True),
        (20, (0.9, 0.2), True),  # as of pairs of hot pixels
        (6, (0.75, 0.75), False),
        (6, (0.9, 0.5), False),
        (6, (0.85, 0.85), True),
        (6, (0.97, 0.3), True),
    ],
)
def test_hits_lie_at_one_place_in_a_pixel_and_few_stars_may_by_chance(n, means, wanted):
    sides = np.resize([1.0, -1.0], n)[:, None]
    phase = sides * np.arccos(means) / (2 * np.pi)
    group = largest_group(replace(candidates(0.0, n), phase=phase))
    assert len(group.members) == n
    assert group.in_one_phase is wanted
