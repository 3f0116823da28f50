"""`results.json`: what a run achieved, in one documented and stable form that programs can rely on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expertgen.errors import FileError, UsageError, nearest
from expertgen.evaluation.evaluate import Evaluation
from expertgen.runs.files import read_json, write_json

FORMAT = 1
"""Version of the form; it changes only when a key changes its meaning or goes away."""

STAGES = ("demos", "prior", "expert", "student")
"""The way of a run, in order."""

CONTROLS = ("zero_noise", "constant_noise", "teacher", "bc_student", "blind_student")
"""What the stages are compared with: the prior under zero noise and under the best of many constant noises, the expert
in the student's simulator, the student cloned without DAgger, and the student that sees nothing but its own joints."""


@dataclass(frozen=True)
class Results:
    """The content of `results.json`.

    Attributes:
        task: task id.
        seed: seed of the run.
        command: what to type to do the run again.
        stages: the finished stages and controls by name (`STAGES`, `CONTROLS`). Their `seconds` and `env_steps` are
            what making them took (collecting, training); evaluating them is not counted.
        peak_memory_mb: largest memory of all processes together [MB]; see `runs.machine.PeakMemory`.
        versions: name → version, of Python and the packages that matter.
        notes: stage → one line to know, e.g. which mode of the expert was chosen on validation seeds.
    """

    task: str
    seed: int
    command: str
    stages: Mapping[str, Evaluation]
    peak_memory_mb: float
    versions: Mapping[str, str]
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in [*self.stages, *self.notes]:
            if name not in (*STAGES, *CONTROLS):
                raise UsageError(f"results have no stage {name!r}{nearest(name, (*STAGES, *CONTROLS))}")

    def to_json(self) -> dict[str, Any]:
        """The form of the file; every stage is a key of its own beside `task`, `seed` and the others."""
        names = [name for name in (*STAGES, *CONTROLS) if name in self.stages]
        about = {"format": FORMAT, "task": self.task, "seed": self.seed, "command": self.command}
        stages = {name: self.stages[name].to_json() for name in names}
        end = {"notes": dict(self.notes), "peak_memory_mb": self.peak_memory_mb, "versions": dict(self.versions)}
        return about | stages | end

    def save(self, path: Path) -> None:
        """Writes the file atomically."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Results:
        """Reads what `save` wrote.

        Raises:
            FileError: if the file is missing, broken, of another format, or lacks a key.
        """
        value = read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise FileError(
                f"{path} is not a results file of format {FORMAT}; write it anew with `expertgen run --resume`"
            )
        try:
            stages = {name: Evaluation.from_json(value[name]) for name in (*STAGES, *CONTROLS) if name in value}
            keys = ("task", "seed", "command", "peak_memory_mb", "versions", "notes")
            return cls(stages=stages, **{key: value[key] for key in keys})
        except KeyError as error:
            raise FileError(f"{path} lacks {error}; write it anew with `expertgen run --resume`") from error
