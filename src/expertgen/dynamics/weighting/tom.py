"""Transition occupancy matching as pure functions: tensors in, weights out, nothing but torch needed.

Source: Transition Occupancy Matching (Ma et al. 2023, https://arxiv.org/abs/2305.12663); derived here in full.

Among the occupancies d(s, a, s') that policy π can have under *some* dynamics, find the one that looks most like π's
own and stays near the buffer's d_D:

    max_d  E_d[R] - D_f(d || d_D)      with  R = log d^π / d_D  and D_f the KL or the χ² divergence,
    s.t.   Σ_s' d(s, a, s') = (1 - γ) μ0(s) π(a|s) + γ π(a|s) Σ_(s̄, ā) d(s̄, ā, s).                          (flow)

With the multiplier Q(s, a) of the flow and the residual

    e_Q(s, a, s') = R(s, a, s') + γ E_{a'~π(s')} Q(s', a') - Q(s, a)                                       (residual)

the Lagrangian dual is a convex problem without constraints,

    KL   min_Q  (1 - γ) E_{s0, a0~π} Q(s0, a0) + log E_{d_D} exp(e_Q),           weights  w = d/d_D ∝ exp(e_Q),
    χ²   min_Q  (1 - γ) E_{s0, a0~π} Q(s0, a0) + min_λ E_{d_D} f*(e_Q - λ) + λ,  weights  w = relu(1 + e_Q - λ),

and a model is trained on the buffer with these weights. λ is the multiplier of Σ d = 1. The flow implies that sum, so λ
is redundant at the optimum, but not on the way there: a constant c in Q moves e_Q by no more than (1 - γ) c, so
gradient descent on Q would take long to find what λ gives in closed form. The log-sum-exp of KL has a λ built in.

Where π keeps to the flow of states alone, Σ_(a, s') d(s, a, s') = (1 - γ) μ0(s) + γ Σ d(s̄, ā, s), the multiplier is a
V(s): put V(s) for Q(s, a) everywhere. The functions below do not know the difference.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Termination = Literal["regenerate", "mask"]
Divergence = Literal["kl", "chi2"]
Conjugate = Literal["exact", "quadratic"]

Rows = Float[Tensor, " rows"]


def residual(
    log_ratio: Rows,
    value: Rows,
    next_value: Rows,
    start_value: Float[Tensor, " starts"],
    terminated: Bool[Tensor, " rows"],
    discount: float,
    termination: Termination = "regenerate",
) -> Rows:
    """The residual e_Q of each transition.

    Args:
        log_ratio: R(s, a, s'), log of how much more often the policy makes this transition than the buffer holds it.
        value: Q(s, a).
        next_value: Q(s', π) for the true next state. For rows cut by a time limit, the mean of `start_value` where the
            flow is to be that of episodes of this length.
        start_value: Q(s0, π) for a sample of start states.
        terminated: whether the task ended with this transition.
        discount: γ.
        termination: what follows an end. `"regenerate"`: the next episode, so Q(s0, π), and d sums to 1. `"mask"`:
            nothing, so 0. That flow loses mass at each end and can sum to 1 only where no weight is left on ends: they
            are driven towards weight 0. For comparison only.
    """
    after = start_value.mean() if termination == "regenerate" else torch.zeros_like(value[:1]).squeeze(0)
    return log_ratio + discount * torch.where(terminated, after, next_value) - value


def chi_square_conjugate(e: Rows) -> Rows:
    """f*(e) = ½ relu(1 + e)² - ½, the conjugate of f(x) = ½ (x - 1)² on x ≥ 0: flat where the weight is zero."""
    return 0.5 * torch.relu(1 + e).square() - 0.5


def quadratic_conjugate(e: Rows) -> Rows:
    """f*(e) = ½ e² + e, the conjugate of f(x) = ½ (x - 1)² on all x: also pulls up rows whose weight is zero."""
    return 0.5 * e.square() + e


def sparsemax_shift(e: Rows) -> Float[Tensor, ""]:
    """The λ for which relu(1 + e - λ) has mean 1, in closed form by sorting (Martins & Astudillo 2016, algorithm 1)."""
    top = e.detach().double().max()
    rows = 1 + (e.detach().double() - top).sort(descending=True).values
    count = torch.arange(1, len(rows) + 1, device=e.device, dtype=torch.float64)
    shift = (rows.cumsum(dim=0) - len(rows)) / count
    return shift[(rows > shift).sum() - 1] + top


def dual_loss(
    e: Rows,
    start_value: Float[Tensor, " starts"],
    discount: float,
    divergence: Divergence,
    conjugate: Conjugate = "exact",
) -> Float[Tensor, ""]:
    """The dual objective, to be minimised over the Q that `e` and `start_value` came from.

    Args:
        e: residuals of transitions drawn from the buffer.
        start_value: Q(s0, π) for a sample of start states.
        discount: γ.
        divergence: D_f.
        conjugate: of χ². With `"quadratic"`, λ is the mean of e and the loss is E e + ½ Var e.
    """
    start = (1 - discount) * start_value.mean()
    if divergence == "kl":
        return start + log_mean_exp(e)
    # λ is a minimum, so the gradient with respect to e is right although λ is held fixed.
    if conjugate == "quadratic":
        shift = e.detach().mean()
        return start + quadratic_conjugate(e - shift).mean() + shift
    shift = sparsemax_shift(e).to(e.dtype)
    return start + chi_square_conjugate(e - shift).mean() + shift


def log_mean_exp(e: Rows) -> Float[Tensor, ""]:
    """The log of the mean of exp(e), without overflow."""
    top = e.detach().max()
    return (e - top).exp().mean().log() + top


def chi_square_weights(e: Rows) -> Rows:
    """χ²: w = relu(1 + e - λ), mean 1; the sparsemax of the residuals times their number."""
    top = e.double().max()  # taken off first, so that equal residuals give 1 and not 1 ± rounding
    return torch.relu(1 + ((e.double() - top) - (sparsemax_shift(e) - top))).to(e.dtype)


def kl_weights(e: Rows) -> Rows:
    """KL: w = exp(e) / E exp(e), mean 1; the softmax of the residuals times their number."""
    weights = (e.double() - e.double().max()).exp()
    return (weights / weights.mean()).to(e.dtype)


def bounded(weights: Rows, low: float, high: float) -> Rows:
    """The nearest weights (least squares) with mean 1 within [low, high]: clip(w - τ, low, high).

    Clipping alone loses mean 1, and rescaling afterwards breaks the bound again. Here what the clip takes from some
    rows is dealt evenly to the others, like water poured over them; the level τ is found exactly, by sorting. Weights
    that are all zero become uniform.

    Args:
        weights: finite numbers, of any mean.
        low: at most 1.
        high: at least 1.
    """
    rows = weights.double()
    count = len(rows)
    # Tensors, since numbers times counts would be float32. With mean 1 and none negative, no weight exceeds the count.
    floor, ceiling = rows.new_tensor(low), rows.new_tensor(min(high, count))
    ordered = rows.sort().values
    total = torch.cat([ordered.new_zeros(1), ordered.cumsum(dim=0)])

    def sets(level: Tensor) -> tuple[Tensor, Tensor]:
        """How many rows are at the lower bound, and how many are not at the upper one."""
        return torch.searchsorted(ordered, level + floor), torch.searchsorted(ordered, level + ceiling)

    # Between two neighbouring knots, levels at which some row meets a bound, the sum of the weights is linear in τ.
    knots = torch.cat([ordered - ceiling, ordered - floor]).sort().values
    lower, upper = sets(knots)
    inside = total[upper] - total[lower] - (upper - lower) * knots
    enough = floor * lower + inside + ceiling * (count - upper) >= count
    left = (enough.sum() - 1).clamp(0, len(knots) - 2)
    middle = (knots[left] + knots[left + 1]) / 2
    lower, upper = sets(middle)
    free = upper - lower
    level = (floor * lower + (total[upper] - total[lower]) + ceiling * (count - upper) - count) / free.clamp(min=1)
    return (rows - torch.where(free > 0, level, middle)).clamp(floor, ceiling).to(weights.dtype)


def mixed(weights: Rows, mix: float) -> Rows:
    """(1 - λ) + λ w: from uniform weights (λ = 0) to `weights` (λ = 1); mean 1 and any bound around 1 are kept."""
    return 1 + mix * (weights - 1)


def effective_sample_size(weights: Rows) -> Float[Tensor, ""]:
    """(Σ w)² / (n Σ w²): the share of the rows that as many equally weighted ones would be, from 1/n to 1."""
    weights = weights.double()
    return weights.sum().square() / (len(weights) * weights.square().sum())
