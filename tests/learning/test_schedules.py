"""Learning rate schedules and the criterion for averaging follow their formulas."""

import math

import numpy as np
import pytest

from theano_rnn.learning.schedules import SCHEDULES, constant, cosine, linear, one_cycle, should_start_averaging, steps

TOTAL = 40


def course(schedule, total_steps=TOTAL, **options):
    return [schedule(step, total_steps, **options) for step in range(total_steps)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_beyond_the_budget_the_last_value_holds(name):
    schedule = SCHEDULES[name]
    after = [schedule(step, TOTAL) for step in (TOTAL, TOTAL + 1, 10 * TOTAL)]
    assert len(set(after)) == 1
    assert 0 <= after[0] <= schedule(TOTAL - 1, TOTAL)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 37])
def test_factors_are_from_0_to_1_whatever_the_budget(name, warmup, total_steps):
    factors = course(SCHEDULES[name], total_steps, warmup=warmup)
    assert all(isinstance(factor, float) and 0 <= factor <= 1 for factor in factors)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "one_cycle"])
def test_the_warm_up_rises_linearly_to_the_base_rate(name):
    options = {"milestones": (0.9,)} if name == "steps" else {}
    factors = course(SCHEDULES[name], warmup=0.25, **options)
    np.testing.assert_allclose(factors[:11], [*np.arange(1, 11) / 10, 1], rtol=1e-15)
    assert max(factors) == 1


def test_constant_is_1():
    assert course(constant) == [1.0] * TOTAL


def test_steps_multiply_at_their_shares():
    factors = course(steps, milestones=(0.1, 0.5, 0.9), factor=0.5)
    assert factors == [1.0] * 4 + [0.5] * 16 + [0.25] * 16 + [0.125] * 4


def test_a_share_falls_on_the_nearest_step():
    """0.1 times 30 is slightly more than 3."""
    assert course(steps, 30, milestones=(0.1,), factor=0.5).index(0.5) == 3
    assert course(constant, 30, warmup=0.1).index(1.0) == 2


def test_linear_is_its_equation():
    expected = [1 - 0.8 * max(step - 8, 0) / 32 for step in range(TOTAL)]
    np.testing.assert_allclose(course(linear, final=0.2, warmup=0.2)[8:], expected[8:], rtol=1e-14)
    assert linear(TOTAL, TOTAL, final=0.2) == pytest.approx(0.2)


def test_cosine_is_its_equation():
    expected = [0.2 + 0.4 * (1 + math.cos(math.pi * (step - 8) / 32)) for step in range(8, TOTAL)]
    np.testing.assert_allclose(course(cosine, final=0.2, warmup=0.2)[8:], expected, rtol=1e-14)
    assert cosine(TOTAL, TOTAL, final=0.2) == pytest.approx(0.2)


def test_one_cycle_begins_peaks_and_ends_where_it_says():
    factors = course(one_cycle, warmup=0.5, div_factor=10, final_div_factor=100)
    assert factors[0] == pytest.approx(0.1)
    assert factors[19] == max(factors) == 1.0
    assert factors[-1] == pytest.approx(0.001)
    assert factors[:20] == sorted(factors[:20])
    assert factors[19:] == sorted(factors[19:], reverse=True)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": -1}, "step must not be negative, got -1"),
        ({"total_steps": 0}, "total_steps must be at least 1, got 0"),
        ({"warmup": -0.1}, "warmup must be a fraction from 0 to 1, got -0.1"),
        ({"warmup": 1.5}, "warmup must be a fraction from 0 to 1, got 1.5"),
    ],
)
def test_what_is_no_step_budget_or_share_is_refused(name, values, message):
    with pytest.raises(ValueError, match=message):
        SCHEDULES[name](**{"step": 0, "total_steps": TOTAL, **values})


def first_trigger_of_awd_lstm(losses, n):
    """As in the authors' main.py: the list holds the earlier losses; this one is appended after the decision."""
    earlier = []
    for epoch, loss in enumerate(losses):
        if len(earlier) > n and loss > min(earlier[:-n]):
            return epoch
        earlier.append(loss)
    return None


@pytest.mark.parametrize("n", [1, 2, 5])
def test_averaging_is_triggered_when_awd_lstm_does(n):
    rng, found = np.random.default_rng(0), set()
    for _ in range(200):
        losses = [float(x) for x in 5 - 0.1 * np.arange(20).clip(max=10) + rng.normal(0, 0.15, 20)]
        ours = next((e for e in range(20) if should_start_averaging(losses[: e + 1], n)), None)
        assert ours == first_trigger_of_awd_lstm(losses, n)
        found.add(ours)
    assert len(found) > 3


def test_with_n_of_0_any_loss_above_the_best_triggers():
    assert should_start_averaging([3.0, 4.0], n=0)
    assert not should_start_averaging([4.0, 3.0], n=0)


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0] * 20])
def test_few_or_equal_losses_do_not_trigger(losses):
    assert not should_start_averaging(losses)


def test_a_negative_n_is_refused():
    with pytest.raises(ValueError, match="n must not be negative, got -1"):
        should_start_averaging([1.0], n=-1)
