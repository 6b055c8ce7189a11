"""The light head: gradients against differences, what it learns, and that it forgets nothing."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from rbtrain.fitting import head as of_head
from rbtrain.fitting.examples import Examples, forgotten, targets_of_labels, weights_of_labels
from rbtrain.fitting.head import Head, choose_threshold, fit_calibration, fit_head

M, K = 6, 4
IS_REAL = np.array([True, True, False, False])


def parent_of(rng):
    return Head(
        rng.normal(0, 1, (M, K)).astype(np.float32), np.zeros(K, np.float32), IS_REAL, threshold=0.5
    )


def examples_of(features, real, kind=None, right=0.97):
    n = len(features)
    kinds = np.full(n, -1) if kind is None else kind
    return Examples(features.astype(np.float32), real, kinds.astype(np.intp), np.full(n, right))


def test_the_slope_of_the_loss_is_that_of_its_values():
    rng = np.random.default_rng(0)
    kind = np.where(rng.random(20) < 0.5, -1, rng.integers(0, K, 20))
    examples = examples_of(rng.normal(size=(20, M)), rng.random(20) < 0.5, kind)

    def value(flat):
        return of_head._of_labels(flat.reshape(20, K), examples, IS_REAL)[0]

    def slope(flat):
        return of_head._of_labels(flat.reshape(20, K), examples, IS_REAL)[1].ravel()

    assert check_grad(value, slope, rng.normal(0, 2, 20 * K)) < 1e-6


def test_a_class_counts_as_far_as_its_label_is_right():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(1, K))
    real = np.array([bool(IS_REAL[0])])

    def loss(kind, right):
        one = Examples(np.zeros((1, 1), np.float32), real, np.array([kind]), np.array([right]))
        return of_head._of_labels(logits, one, IS_REAL)[0]

    log_p = logits[0] - np.log(np.exp(logits[0]).sum())
    for right in (0.6, 0.97):
        assert loss(0, right) - loss(-1, right) == pytest.approx(-right * log_p[0])


def test_scores_are_sums_of_a_softmax():
    rng = np.random.default_rng(1)
    head = parent_of(rng)
    features = rng.normal(size=(5, M)).astype(np.float32)
    powers = np.exp(features @ head.kernel + head.bias)
    assert head.classes(features) == pytest.approx(powers / powers.sum(axis=1, keepdims=True), rel=1e-5)
    assert head.score(features) == pytest.approx(head.classes(features)[:, :2].sum(axis=1), rel=1e-6)


def test_labels_ask_for_the_odds_alone_unless_they_name_a_class():
    known = np.array([[0.1, 0.3, 0.4, 0.2], [0.1, 0.3, 0.4, 0.2], [0.0, 0.0, 1.0, 0.0]], np.float32)
    examples = examples_of(
        np.zeros((3, 1)), np.array([True, False, False]), np.array([-1, -1, 3]), right=0.9
    )
    targets = targets_of_labels(known, examples, IS_REAL)
    assert targets[0] == pytest.approx([0.9 / 4, 0.9 * 3 / 4, 0.1 * 2 / 3, 0.1 / 3])
    assert targets[1] == pytest.approx([0.1 / 4, 0.1 * 3 / 4, 0.9 * 2 / 3, 0.9 / 3])
    assert targets[2] == pytest.approx([0.05, 0.05, 0.0, 0.9])


def test_few_real_labels_weigh_as_much_as_many_bogus_and_no_others_do():
    weights = weights_of_labels(np.arange(8) < 2)
    assert weights == pytest.approx([2.0] * 2 + [2 / 3] * 6)
    assert np.array_equal(weights_of_labels(np.arange(8) < 5), np.ones(8))
    # A label that is there three times, or one that weighs three times as much.
    rng = np.random.default_rng(3)
    features, real = rng.normal(size=(4, M)).astype(np.float32), np.arange(4) < 1
    logits = rng.normal(size=(4, K))
    thrice = np.array([0, 0, 0, 1, 2, 3])
    one, three = (
        of_head._of_labels(logits[rows], examples_of(features[rows], real[rows]), IS_REAL)[0]
        for rows in (np.arange(4), thrice)
    )
    assert one == pytest.approx(three)


def strange_camera(parent, rng, n):
    """Return what the parent calls real, of which half are bogus that the last feature alone tells."""
    features = rng.normal(size=(8 * n, M)).astype(np.float32)
    features[:, -1] = 0.0
    features = features[parent.score(features) > 0.6][:n]
    real = rng.random(n) < 0.5
    features[~real, -1] = 3.0
    return features, real


@pytest.mark.parametrize("wrong", [0.0, 0.03])
def test_a_head_learns_what_is_new_and_forgets_nothing(wrong):
    rng = np.random.default_rng(2)
    parent = parent_of(rng)
    parent.kernel[-1] = 0.0  # nothing that it knows has this feature
    rehearsed = rng.normal(size=(2000, M)).astype(np.float32)
    rehearsed[:, -1] = rng.normal(0, 0.05, 2000)
    known = examples_of(rehearsed, parent.calls_real(rehearsed))
    features, real = strange_camera(parent, rng, 200)
    given = np.where(rng.random(200) < wrong, ~real, real)
    head = fit_head(parent, examples_of(features, given), rehearsed, hold=30.0)
    apart, truth = strange_camera(parent, np.random.default_rng(3), 1000)
    assert parent.calls_real(apart).all()
    after = head.calls_real(apart)
    assert after[~truth].mean() < 0.1
    assert after[truth].mean() > 0.98
    assert max(forgotten(head, known)) < 0.02


def test_what_holds_a_head_back_keeps_it_where_it_was():
    rng = np.random.default_rng(4)
    parent = parent_of(rng)
    rehearsed = rng.normal(size=(500, M)).astype(np.float32)
    features = rng.normal(size=(60, M))
    against = examples_of(features, ~parent.calls_real(features.astype(np.float32)))
    moved = [
        np.abs(fit_head(parent, against, rehearsed, hold).classes(rehearsed) - parent.classes(rehearsed))
        for hold in (1.0, 1e4)
    ]
    assert moved[1].max() < 0.02 < moved[0].max()


def test_a_calibration_moves_odds_alone():
    rng = np.random.default_rng(5)
    parent = parent_of(rng)
    features = rng.normal(size=(50, M)).astype(np.float32)
    all_bogus = examples_of(features, np.zeros(50, bool))
    head = fit_calibration(parent, all_bogus, features, hold=0.1)
    assert head.score(features).mean() < parent.score(features).mean() - 0.1
    order = np.argsort(head.classes(features)[:, 0] / head.classes(features)[:, 1])
    assert np.array_equal(
        order, np.argsort(parent.classes(features)[:, 0] / parent.classes(features)[:, 1])
    )


def test_a_threshold_moves_as_far_as_labels_outweigh_simulation():
    rng = np.random.default_rng(6)
    parent = parent_of(rng)
    features = rng.normal(size=(4000, M)).astype(np.float32)
    score = parent.score(features)
    simulated = examples_of(features, score > 0.5)
    # Of this camera everything below 0.8 is bogus.
    labels = examples_of(features[:300], score[:300] > 0.8)
    assert choose_threshold(parent, labels.taken(slice(12)), simulated).threshold <= 0.65
    assert choose_threshold(parent, labels, simulated, pseudo=5.0).threshold == pytest.approx(0.8)
    # Without labels there is no reason to move.
    none = labels.taken(slice(0))
    assert choose_threshold(parent, none, simulated).threshold == 0.5
