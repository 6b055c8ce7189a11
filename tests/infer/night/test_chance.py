import numpy as np
import pytest
from scipy.stats import poisson

from rbinfer.night.chance import least_beyond, poisson_tail


@pytest.mark.parametrize("expected", [0.01, 0.7, 5.0, 40.0])
@pytest.mark.parametrize("n", [0, 1, 3, 12, 90])
def test_the_tail_of_poissons_distribution(n, expected):
    assert poisson_tail(n, expected) == pytest.approx(poisson.sf(n - 1, expected), rel=1e-9)


def test_nothing_is_expected():
    assert (poisson_tail(0, 0.0), poisson_tail(1, 0.0)) == (1.0, 0.0)


@pytest.mark.parametrize("expected", [0.0, 0.05, 2.0, 30.0])
def test_chance_reaches_the_least_number_in_too_few_tries(expected):
    n = least_beyond(expected, 1e5, 0.1)
    assert 1e5 * poisson.sf(n - 1, expected) < 0.1
    assert n <= np.ceil(expected) or 1e5 * poisson.sf(n - 2, expected) >= 0.1
