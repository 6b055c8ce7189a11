"""What is shown first: each detection once, the parts in turns, the random part an honest draw."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbinfer.label.order import PARTS, draws, in_order
from rbinfer.label.pool import ROW, Pool

_THRESHOLD, _REPEATS, _CLASS, _RANDOM = range(4)


def _pool(n, seed=0, classes=("star", "cosmic_ray", "trail"), shares=(0.8, 0.18, 0.02), night=True):
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, ROW)
    rows["score"] = rng.uniform(0, 1, n)
    rows["real"] = rows["score"] > 0.5
    rows["kind"] = rng.choice(len(classes), n, p=shares) if classes else -1
    rows["probability"] = rng.uniform(0, 1, n) if night else np.nan
    rows["x"], rows["y"] = rng.uniform(0, 1000, (2, n))
    image = SimpleNamespace(threshold=0.5, real_classes=("star",), path="/data/a.fits", given={})
    return Pool((image,), rows, tuple(classes), ())


def _ordered(pool, seed=1, most=20_000):
    return in_order(pool, np.random.default_rng(seed).uniform(0, 1, len(pool.rows)), most)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), most=st.integers(1, 200), seed=st.integers(0, 99), night=st.booleans())
def test_each_detection_comes_once(n, most, seed, night):
    order = _ordered(_pool(n, seed, night=night), seed, most)
    assert len(order.rows) == len(order.part) == min(n, most)
    assert len(set(order.rows.tolist())) == len(order.rows)
    assert set(order.part.tolist()) <= set(range(4))


def test_parts_take_turns_and_a_random_part_is_always_in():
    order = _ordered(_pool(4000))
    assert order.part[:8].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert np.count_nonzero(order.part[:200] == _RANDOM) == 50
    alone = _ordered(_pool(4000, classes=(), night=False))
    assert alone.part[:4].tolist() == [_THRESHOLD, _RANDOM, _THRESHOLD, _RANDOM]


def test_what_each_part_begins_with():
    pool = _pool(4000)
    order = _ordered(pool)
    rows = {part: pool.rows[order.rows[order.part == part]] for part in range(4)}
    away = np.abs(rows[_THRESHOLD]["score"][:50].astype(float) - 0.5)
    assert np.all(np.diff(away) >= 0)
    assert away[-1] < 0.02  # of 4,000 scores, three quarters are not of the random part
    differ = rows[_REPEATS]
    assert np.all((differ["probability"] > 0.5) != differ["real"])
    assert np.all(np.diff(np.abs(differ["probability"] - 0.5)) <= 0)
    counts = Counter(rows[_CLASS]["kind"][:30].tolist())
    assert counts == {0: 10, 1: 10, 2: 10}  # the rare one as often as the others
    assert rows[_CLASS]["kind"][0] == 2


def test_the_random_part_is_an_honest_draw():
    # Means over the first of the random part, over many draws, are those of all detections.
    pool = _pool(1000)
    scores, kinds = [], []
    for seed in range(400):
        order = _ordered(pool, seed, 200)
        drawn = pool.rows[order.rows[order.part == _RANDOM][:20]]
        scores.append(drawn["score"].mean())
        kinds.append((drawn["kind"] == 2).mean())
    error = pool.rows["score"].std() / np.sqrt(20 * 400)
    assert np.mean(scores) == pytest.approx(pool.rows["score"].mean(), abs=4 * error)
    share = (pool.rows["kind"] == 2).mean()
    assert np.mean(kinds) == pytest.approx(share, abs=4 * np.sqrt(share / 8000))
    # The other parts are not: that is what they are for.
    order = _ordered(pool, 0, 200)
    near = pool.rows["score"][order.rows[order.part == _THRESHOLD][:20]]
    assert near.std() < 0.05


def test_one_draw_one_order():
    first, second, other = (_ordered(_pool(500), k) for k in (3, 3, 4))
    assert np.array_equal(first.rows, second.rows)
    assert np.array_equal(first.part, second.part)
    assert not np.array_equal(first.rows, other.rows)
    assert len(PARTS) == 4


def test_the_random_part_does_not_depend_on_what_else_there_is():
    whole = _pool(3000)
    kept = np.random.default_rng(5).permutation(3000)[:1000]  # another part of it, in another order
    part = Pool(whole.images, whole.rows[kept], whole.classes, ())
    found = []
    for pool in (whole, part):
        order = in_order(pool, draws(pool))
        rows = pool.rows[order.rows[order.part == _RANDOM]]
        found.append([(row["x"], row["y"]) for row in rows])
    there = {(row["x"], row["y"]) for row in part.rows}
    assert [place for place in found[0] if place in there] == found[1]
    assert 200 < len(found[1]) < 300


def test_draws_are_even_and_follow_the_detection():
    pool = _pool(20_000)
    draw = draws(pool)
    assert np.histogram(draw, 10, (0, 1))[0] == pytest.approx(2000, abs=5 * np.sqrt(2000))
    assert abs(np.corrcoef(draw, pool.rows["x"])[0, 1]) < 0.04
    image = SimpleNamespace(**vars(pool.images[0]) | {"path": "/moved/a.fits"})
    assert np.array_equal(draws(Pool((image,), pool.rows, pool.classes, ())), draw)
    image = SimpleNamespace(**vars(pool.images[0]) | {"given": {"plane": "1"}})
    other = draws(Pool((image,), pool.rows, pool.classes, ()))
    assert abs(np.corrcoef(draw, other)[0, 1]) < 0.04
