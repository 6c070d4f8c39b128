"""Bootstrap intervals and the comparison of two runs."""

import numpy as np
import pytest

from workflow_scripts.lib.metrics import bootstrap
from workflow_scripts.lib.metrics.bootstrap import compare, confidence_interval


def test_the_interval_of_a_share_is_the_normal_one():
    values = np.array([1.0] * 300 + [0.0] * 700)
    interval = confidence_interval(values)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert interval.mean == pytest.approx(0.3)
    assert (interval.low, interval.high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.004)


def test_the_seed_decides_and_columns_share_the_resamples():
    values = np.random.default_rng(1).random((200, 3))
    one, two = confidence_interval(values), confidence_interval(values)
    assert (one.low == two.low).all()
    assert confidence_interval(values[:, 1]).low == pytest.approx(one.low[1])
    assert confidence_interval(values[:, 1], seed=7).low != pytest.approx(one.low[1])


def test_equal_runs_do_not_differ_and_better_ones_do():
    rng = np.random.default_rng(2)
    first = rng.random(300)
    same = compare(first, first)
    assert (same.p_value, same.n_equal, same.difference.low, same.difference.high) == (1.0, 300, 0.0, 0.0)
    better = compare(first, first + rng.normal(0.1, 0.2, 300))
    assert better.p_value < 0.01
    assert 0 < better.difference.low < better.difference.mean < better.difference.high
    assert better.n_better > better.n_worse


def test_the_p_value_is_uniform_for_equal_systems():
    rng = np.random.default_rng(3)
    p = [compare(rng.random(50), rng.random(50), n_resamples=200, seed=i).p_value for i in range(200)]
    assert 0.02 <= np.mean(np.array(p) < 0.1) <= 0.2


def test_numbers_do_not_depend_on_how_many_resamples_fit_into_memory_at_once(monkeypatch):
    rng = np.random.default_rng(4)
    first, second = rng.random(40), rng.random(40)
    whole = compare(first, second, n_resamples=300)
    monkeypatch.setattr(bootstrap, "CHUNK_BYTES", 8 * 40 * 7)
    assert compare(first, second, n_resamples=300) == whole
    assert whole.p_value > 0.1


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="finite"):
        confidence_interval(np.array([0.5, np.nan]))
    with pytest.raises(ValueError, match="same queries"):
        compare(np.zeros(3), np.zeros(4))
