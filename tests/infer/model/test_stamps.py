"""Stars of frames, as networks take them."""

import numpy as np

from rbinfer.model.stamps import POPULATION, Stamps


def test_one_for_all_or_none():
    star = np.arange(25, dtype="f4").reshape(5, 5)
    there = np.linspace(0, 1, POPULATION, dtype="f4")
    psf, known, population = Stamps.of(star, 5, 3, there).one_each()
    assert psf.shape == (3, 5, 5, 1)
    assert (psf[2, :, :, 0] == star).all()
    assert known.tolist() == [[1], [1], [1]]
    assert (population == there).all()
    assert population.shape == (3, POPULATION)
    psf, known, population = Stamps.of(None, 5, 2).one_each()
    assert not psf.any()
    assert not population.any()
    assert known.tolist() == [[0], [0]]


def test_joined_and_taken_keep_each_with_its_star():
    a = Stamps.of(np.full((3, 3), 2.0), 3, 2, np.full(POPULATION, 0.2))
    b = Stamps.of(np.full((3, 3), 7.0), 3, 3)
    both = Stamps.joined([a, Stamps.of(None, 3, 1), b])
    psf, known, population = both.taken(np.array([5, 2, 0])).one_each()
    assert psf[:, 1, 1, 0].tolist() == [7, 0, 2]
    assert known[:, 0].tolist() == [1, 0, 1]
    np.testing.assert_allclose(population[:, 0], [0, 0, 0.2])
    assert len(both.psf) == 3
