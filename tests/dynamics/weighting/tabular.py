"""Random tabular decision processes whose occupancies are known exactly, and the primal of TOM solved by scipy."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from expertgen.dynamics.weighting import tom

STATES, ACTIONS, GAMMA = 4, 2, 0.9


@dataclass
class Mdp:
    """A policy, a buffer of triples (s, a, s') with repetitions, and which of the triples terminate."""

    start: np.ndarray
    policy: np.ndarray
    dynamics: np.ndarray
    counts: np.ndarray
    terminal: np.ndarray

    @property
    def buffer(self):
        return self.counts / self.counts.sum()

    def occupancy(self):
        """d^π(s, a, s'), discounted; a termination is followed by a new start."""
        stay = np.einsum("sa,sax,sax->sx", self.policy, self.dynamics, ~self.terminal)
        leave = np.einsum("sa,sax,sax->s", self.policy, self.dynamics, self.terminal)
        step = stay + leave[:, None] * self.start
        state = (1 - GAMMA) * np.linalg.solve((np.eye(STATES) - GAMMA * step).T, self.start)
        return (state[:, None] * self.policy)[:, :, None] * self.dynamics

    def flow(self, d):
        """Left minus right side of the flow constraint, for every (s, a)."""
        into = (d * ~self.terminal).sum(axis=(0, 1)) + self.start * (d * self.terminal).sum()
        return d.sum(axis=2) - self.policy * ((1 - GAMMA) * self.start + GAMMA * into)[:, None]


def random_mdp(seed, terminals=False):
    rng = np.random.default_rng(seed)
    shape = (STATES, ACTIONS, STATES)
    return Mdp(
        rng.dirichlet(np.ones(STATES)),
        rng.dirichlet(np.ones(ACTIONS), STATES),
        rng.dirichlet(np.full(STATES, 0.7), (STATES, ACTIONS)) * 0.95 + 0.05 / STATES,
        rng.integers(1, 10, shape),
        rng.random(shape) < 0.3 if terminals else np.zeros(shape, bool),
    )


def dual_weights(mdp, log_ratio, divergence, conjugate="exact", multiplier="action", start=None):
    """Runs the functions of `tom` on the buffer's rows, with a table for the multiplier.

    Returns the weight of every triple, the minimum of the dual, and the table.
    """
    rows = np.repeat(np.arange(mdp.counts.size), mdp.counts.ravel())
    s, a, following = (torch.from_numpy(i[rows]) for i in np.indices(mdp.counts.shape).reshape(3, -1))
    terminated = torch.from_numpy(mdp.terminal.ravel()[rows])
    log_ratio = torch.from_numpy(log_ratio.ravel()[rows])
    policy, mu0 = torch.from_numpy(mdp.policy), torch.from_numpy(mdp.start)
    shape = (STATES, ACTIONS) if multiplier == "action" else (STATES, 1)
    first = np.zeros(shape) if start is None else start * np.ones(shape)
    table = torch.tensor(first, dtype=torch.float64, requires_grad=True)

    def residual():
        full = table.expand(STATES, ACTIONS)
        value = (policy * full).sum(dim=1)
        begin = (mu0 * value).sum()[None]
        return tom.residual(log_ratio, full[s, a], value[following], begin, terminated, GAMMA), begin

    optimizer = torch.optim.LBFGS(
        [table],
        max_iter=1000,
        tolerance_grad=1e-11,
        tolerance_change=1e-15,
        history_size=50,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        loss = tom.dual_loss(*residual(), GAMMA, divergence, conjugate)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        e = residual()[0]
        dual = float(tom.dual_loss(*residual(), GAMMA, divergence, conjugate))
    weights = tom.kl_weights(e) if divergence == "kl" else tom.chi_square_weights(e)
    first_row = np.cumsum(mdp.counts.ravel()) - mdp.counts.ravel()
    assert float(weights.mean()) == pytest.approx(1, abs=1e-12)
    by_triple = weights[torch.from_numpy(first_row)].numpy().reshape(mdp.counts.shape)
    return by_triple, dual, table.detach()


def primal_chi_square(mdp, log_ratio):
    """max_w E_{d_D}[w R - ½ (w - 1)²] subject to the flow and w ≥ 0, as non-negative least squares.

    Completing the square, it is the point nearest to 1 + R in the buffer's norm; the flow enters as heavy rows.
    """
    shape, buffer = mdp.counts.shape, mdp.buffer.ravel()
    offset = mdp.flow(np.zeros(shape)).ravel()
    rows = np.stack([mdp.flow((unit * buffer).reshape(shape)).ravel() - offset for unit in np.eye(buffer.size)], axis=1)
    heavy = 1e4
    matrix = np.concatenate([heavy * rows, np.diag(np.sqrt(buffer))])
    weights, _ = nnls(matrix, np.concatenate([-heavy * offset, np.sqrt(buffer) * (1 + log_ratio.ravel())]))
    return weights.reshape(shape)


def primal_objective(mdp, log_ratio, weights, divergence):
    """E_{d_D}[w R - f(w)], which no occupancy can bring above the minimum of the dual."""
    f = 0.5 * (weights - 1) ** 2 if divergence == "chi2" else weights * np.log(weights)
    return (mdp.buffer * (weights * log_ratio - f)).sum()
