"""How often chance alone does it."""

import math

_TERMS = 60  # after which a tail has nothing left, for what is rare at its beginning


def poisson_tail(n: int, expected: float) -> float:
    """Return the probability of `n` or more where `expected` are expected.

    Parameters
    ----------
    n : int
    expected : float

    Returns
    -------
    float
        Of the Poisson distribution; small ones have all their digits.
    """
    if n <= 0:
        return 1.0
    if expected <= 0:
        return 0.0
    terms = (math.exp(k * math.log(expected) - expected - math.lgamma(k + 1)) for k in range(n))
    below = math.fsum(terms)
    if below < 0.5:
        return 1.0 - below
    above = range(n, n + _TERMS)
    return math.fsum(math.exp(k * math.log(expected) - expected - math.lgamma(k + 1)) for k in above)


def least_beyond(expected: float, tries: float, false: float) -> int:
    """Return the least number that chance reaches in fewer than `false` of so many tries."""
    n = math.ceil(expected)
    while tries * poisson_tail(n, expected) >= false:
        n += 1
    return n
