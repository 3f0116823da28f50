"""What disturbed policies still achieve: outcomes of the same episodes with and without a perturbation, in one file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expertgen.errors import FileError
from expertgen.evaluation.results import CONTROLS, STAGES
from expertgen.evaluation.statistics import wilson_interval
from expertgen.runs.files import read_json, write_json

FORMAT = 2
"""Version of the file's form."""

UNDISTURBED = "none"
"""Name of the perturbation that is none."""


@dataclass(frozen=True)
class Share:
    """A share of episodes, with its 95% Wilson interval."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share."""
        return self.count / self.of

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return wilson_interval(self.count, self.of)[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return wilson_interval(self.count, self.of)[1]


@dataclass(frozen=True)
class Trial:
    """A policy under a perturbation.

    Attributes:
        policy: name of its stage or control.
        perturbation: name of the perturbation, or `UNDISTURBED`.
        strength: in the perturbation's unit.
        outcomes: one letter an episode, `"1"` for success and `"0"` for failure, ordered by environment and index.
        digest: of the file that the policy was loaded from, since it may be made anew.
    """

    policy: str
    perturbation: str
    strength: float
    outcomes: str
    digest: str = ""

    @property
    def key(self) -> tuple[str, str, float]:
        """What was tried."""
        return self.policy, self.perturbation, self.strength

    @property
    def success(self) -> Share:
        """Share of the episodes that succeeded."""
        return Share(self.outcomes.count("1"), len(self.outcomes))


@dataclass(frozen=True)
class Robustness:
    """The content of `robustness.json`.

    Attributes:
        task: task id.
        episodes: of every trial.
        num_envs: environments that played them.
        env_seed: environment seed.
        trials: in the order in which they were played; the undisturbed one of a policy comes first.
    """

    task: str
    episodes: int
    num_envs: int
    env_seed: int
    trials: tuple[Trial, ...] = ()

    def find(self, policy: str, perturbation: str, strength: float) -> Trial | None:
        """The trial of that policy under that perturbation, if it was played."""
        return next((t for t in self.trials if t.key == (policy, perturbation, strength)), None)

    def policies(self) -> list[str]:
        """Names of the policies that were tried: stages in their order, then controls."""
        return [name for name in (*STAGES, *CONTROLS) if any(trial.policy == name for trial in self.trials)]

    def disturbances(self) -> list[tuple[str, float]]:
        """Perturbations and strengths that were tried: undisturbed first, then by name, the weaker first."""
        tried = {(trial.perturbation, trial.strength) for trial in self.trials}
        return sorted(tried, key=lambda pair: (pair[0] != UNDISTURBED, *pair))

    def recovery(self, trial: Trial) -> Share | None:
        """Of the episodes in which the policy succeeds undisturbed, the share in which it still does.

        Returns:
            None where it never succeeds undisturbed, and for the undisturbed trial itself.
        """
        calm = self.find(trial.policy, UNDISTURBED, 0.0)
        if calm is None or trial.perturbation == UNDISTURBED or not calm.success.count:
            return None
        still = sum(a == b == "1" for a, b in zip(calm.outcomes, trial.outcomes, strict=True))
        return Share(still, calm.success.count)

    def with_trial(self, trial: Trial) -> Robustness:
        """A copy with one more trial."""
        return replace(self, trials=(*self.trials, trial))

    def save(self, path: Path) -> None:
        """Writes the file atomically; beside the outcomes it says what they amount to."""
        about = {"format": FORMAT} | {key: value for key, value in vars(self).items() if key != "trials"}
        write_json(path, about | {"trials": [self._row(trial) for trial in self.trials]})

    @classmethod
    def load(cls, path: Path) -> Robustness:
        """Reads what `save` wrote.

        Raises:
            FileError: if the file is missing, broken or of another format.
        """
        value = read_json(path)
        try:
            if value["format"] != FORMAT:
                raise ValueError(f"format {value['format']}")
            about = {key: value[key] for key in ("task", "episodes", "num_envs", "env_seed")}
            columns = ("policy", "perturbation", "strength", "outcomes", "digest")
            trials = tuple(Trial(**{key: row[key] for key in columns}) for row in value["trials"])
            if any(len(trial.outcomes) != value["episodes"] for trial in trials):
                raise ValueError("a trial of another number of episodes")
            return cls(**about, trials=trials)
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"{path} is not a robustness file of format {FORMAT} ({error}); delete it") from error

    def _row(self, trial: Trial) -> dict[str, Any]:
        row: dict[str, Any] = {key: value for key, value in vars(trial).items() if key != "outcomes"}
        for name, share in (("success", trial.success), ("recovery", self.recovery(trial))):
            row[name] = share and {"value": share.value, "low": share.low, "high": share.high, "of": share.of}
        return row | {"outcomes": trial.outcomes}
