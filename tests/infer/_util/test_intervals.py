"""How well a fraction is known."""

import numpy as np

from rbinfer._util.intervals import wilson_interval


def test_interval_of_a_fraction():
    # Wilson's interval of 1 in 10, and of none and all of one.
    low, high = wilson_interval(np.array([0.1, 0.0, 1.0]), np.array([10, 1, 1]))
    np.testing.assert_allclose(low, [0.0179, 0.0, 0.2065], atol=1e-4)
    np.testing.assert_allclose(high, [0.4042, 0.7935, 1.0], atol=1e-4)
