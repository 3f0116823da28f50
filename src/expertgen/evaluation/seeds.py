"""Environment seeds that are the same for all runs, and used for nothing else."""

from __future__ import annotations

from expertgen.errors import UsageError

VALIDATION_SEED = 555
"""Checkpoints and modes are chosen on it, and learning is watched."""

CONFIRMATION_SEED = 556
"""Of the episodes that confirm a validation good enough to stop at."""

EVALUATION_SEED = 999
"""Of every reported success rate and return."""


def check_run_seed(seed: int) -> None:
    """Refuses what cannot be the seed of a run.

    Raises:
        UsageError: if it is negative, too large for the files that it stands in, or of held-out episodes, which
            demonstrations would then begin like.
    """
    check_seed("seed", seed)
    if seed in (VALIDATION_SEED, CONFIRMATION_SEED, EVALUATION_SEED):
        use = "measured" if seed == EVALUATION_SEED else "chosen"
        raise UsageError(f"seed {seed} is that of the episodes on which experts are {use}; take another one")


def check_seed(name: str, seed: int) -> None:
    """Refuses seeds that are negative, or too large for the files that they stand in."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"{name} must not be negative, and below 2**63, not {seed}")
