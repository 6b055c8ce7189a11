import numpy as np

from rbinfer.night.combine import WEIGHTS, Weights, evidence, logit, probability


def known(score=0.5, snr=20.0, seen=0, could=0, standing=0, still=0):
    alone = could if seen + still == 0 else 0
    counts = (np.array([value]) for value in (seen, alone, 0.01 * could, standing, 0.05, still))
    return evidence(logit(np.array([score])), np.array([snr]), *counts)


def p(**given):
    return float(probability(known(**given))[0])


def test_figures_by_hand():
    found = known(score=0.9, snr=5.0, seen=4, could=9, standing=3, still=2)
    np.testing.assert_allclose(found.score, np.log(9.0))
    np.testing.assert_allclose(found.sky, np.log(4.5 / 0.59))
    np.testing.assert_allclose(found.detector, np.log(3.5 / 0.55))
    assert found.missed[0] == 0.0
    np.testing.assert_allclose(found.still, np.log(3.0))
    assert known(snr=5.0, could=9).missed[0] == 0.0
    np.testing.assert_allclose(known(snr=50.0, could=9).missed, np.log(10.0))


def test_the_logistic_model_by_hand():
    weights = Weights(-1.0, 2.0, 0.0, 0.0, 0.0, 0.0)
    found = probability(known(score=0.8), weights)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(1.0 - 2.0 * np.log(4.0))))


def test_repeats_move_it_the_right_way():
    assert p(score=0.3, seen=8, could=9) > 0.8 > p(score=0.3)
    assert p(score=0.7, standing=8, could=9) < p(score=0.7, could=9)
    assert p(score=0.5, snr=100.0, could=9) <= p(score=0.5)
    assert WEIGHTS.score > 0 < WEIGHTS.sky
    assert WEIGHTS.detector < 0


def test_scores_of_0_and_1_and_none():
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()
    assert np.isnan(logit(np.array([np.nan]))).all()
    assert 0 < p(score=np.nan) < 1
    assert p(score=0.0, seen=900, could=900) < 1.0
