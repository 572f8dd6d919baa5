"""PyTorch's schedulers give the same learning rates at every step."""

import numpy as np
import pytest

from theano_rnn.learning.schedules import constant, cosine, linear, one_cycle, steps

torch = pytest.importorskip("torch")

TOTAL, BASE = 40, 0.3


def rates(scheduler, num_steps=TOTAL, **options):
    """Returns the learning rates of a PyTorch scheduler, by the number of updates so far."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    schedule = scheduler(optimizer, **options)
    found = []
    for step in range(num_steps):
        found.append(optimizer.param_groups[0]["lr"])
        if step < num_steps - 1:  # OneCycleLR refuses to go beyond its budget
            optimizer.step()
            schedule.step()
    return found


def warmed_up(rest, num_steps, **options):
    """Returns a PyTorch scheduler after a linear warm-up."""
    kinds = torch.optim.lr_scheduler

    def scheduler(optimizer):
        first = kinds.LinearLR(optimizer, start_factor=1 / num_steps, total_iters=num_steps - 1)
        return kinds.SequentialLR(optimizer, [first, rest(optimizer, **options)], milestones=[num_steps])

    return scheduler


def ours(schedule, num_steps=TOTAL, total_steps=TOTAL, **options):
    return [BASE * schedule(step, total_steps, **options) for step in range(num_steps)]


def test_constant_with_warm_up_agrees():
    kinds = torch.optim.lr_scheduler
    theirs = rates(kinds.LinearLR, start_factor=0.1, total_iters=9)
    np.testing.assert_allclose(ours(constant, warmup=0.25), theirs, rtol=1e-13)


def test_steps_agree_with_multi_step_lr():
    theirs = rates(torch.optim.lr_scheduler.MultiStepLR, milestones=[10, 30, 36], gamma=0.2)
    np.testing.assert_allclose(ours(steps, milestones=(0.25, 0.75, 0.9), factor=0.2), theirs, rtol=1e-13)


@pytest.mark.parametrize("final", [0.0, 0.05])
def test_linear_agrees_also_beyond_the_budget(final):
    theirs = rates(torch.optim.lr_scheduler.LinearLR, TOTAL + 5, start_factor=1.0, end_factor=final, total_iters=TOTAL)
    np.testing.assert_allclose(ours(linear, TOTAL + 5, final=final), theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("final", [0.0, 0.05])
def test_cosine_agrees(final):
    theirs = rates(torch.optim.lr_scheduler.CosineAnnealingLR, TOTAL + 1, T_max=TOTAL, eta_min=final * BASE)
    np.testing.assert_allclose(ours(cosine, TOTAL + 1, final=final), theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_linear_and_cosine_with_warm_up_agree():
    kinds = torch.optim.lr_scheduler
    theirs = rates(warmed_up(kinds.LinearLR, 10, start_factor=1.0, end_factor=0.1, total_iters=30))
    np.testing.assert_allclose(ours(linear, final=0.1, warmup=0.25), theirs, rtol=1e-12)
    theirs = rates(warmed_up(kinds.CosineAnnealingLR, 10, T_max=30, eta_min=0.1 * BASE))
    np.testing.assert_allclose(ours(cosine, final=0.1, warmup=0.25), theirs, rtol=1e-12)


@pytest.mark.parametrize(("total_steps", "share"), [(40, 0.3), (37, 0.3), (40, 0.5), (7, 0.9), (2, 0.3), (40, 1.0)])
def test_one_cycle_agrees(total_steps, share):
    options = {"max_lr": BASE, "total_steps": total_steps, "pct_start": share, "cycle_momentum": False}
    theirs = rates(torch.optim.lr_scheduler.OneCycleLR, total_steps, **options)
    np.testing.assert_allclose(ours(one_cycle, total_steps, total_steps, warmup=share), theirs, rtol=1e-12)
