"""What a model is told: the task, the interface of a program, and afterwards how its program did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expertgen.demos.program import visible_fields
from expertgen.demos.writing.trial import Trial, numbers
from expertgen.tasks.spec import ObservationField, TaskSpec

SYSTEM = """\
You write closed-loop demonstration programs for simulated robots, in Python with NumPy. Your program is run in many \
episodes with random starts, and you are told in numbers how it went. It need not be perfect: it is to succeed often, \
to move as a careful person would, and to be easy to read. Think about the geometry before you write: where the hand \
has to be, in which order, and how the program can see that a phase is over."""

_INTERFACE = """\
## Interface

A program is one Python file with a class `Program`:

- `reset(self, seed)`: a new episode begins; forget the old one. Draw whatever is random from \
`numpy.random.default_rng(seed)`.
- `act(self, observation)`: called once per control step; returns the next action, {action_size} finite numbers in \
[-1, 1] (values outside are clipped). `observation` maps the field names above to read-only float32 arrays.

There is one object for each environment, without constructor arguments. What it must remember belongs in `self`; \
module-level variables are for constants only.

## Rules

- Closed loop: decide from what is observed now, not from the count of control steps alone. If the object is lost or \
a phase goes wrong, go back to an earlier phase.
- Give every phase a way out: what is compared with an exact value may never be reached. There is \
friction, controllers lag behind, and noise may be added to actions.
- Only NumPy and Python's standard library for calculation (math, dataclasses, enum). No files, no network, no other \
processes, no printing; these are forbidden where the program runs. An action must take milliseconds.
- Vary from episode to episode what a person would vary (heights, speeds, small offsets), a little, from `seed`.

## Example, of another task

A cart with the fields `position` [2], `velocity` [2] and `bay` [2] must stop in the bay, then honk. Its action is \
acceleration along x and y, and the horn.

```python
\"\"\"Drives straight to the bay, brakes by feedback, and honks when the cart is at rest.\"\"\"

import numpy as np

NEAR = 0.05  # m


class Program:
    def reset(self, seed):
        rng = np.random.default_rng(seed)
        self.gain = rng.uniform(0.8, 1.2)  # 1/s^2
        self.phase = "drive"

    def act(self, observation):
        away = observation["bay"] - observation["position"]
        velocity = observation["velocity"]
        if self.phase == "drive" and np.linalg.norm(away) < NEAR and np.linalg.norm(velocity) < 0.1:
            self.phase = "honk"
        elif self.phase == "honk" and np.linalg.norm(away) > 2 * NEAR:
            self.phase = "drive"  # it rolled off
        push = np.clip(self.gain * away - 0.9 * velocity, -1, 1)
        return np.append(push, 1.0 if self.phase == "honk" else -1.0)
```

## Your answer

First think briefly, in a few sentences. Then give the whole program in one block that begins with ```python, with a \
docstring whose first sentence says how it solves the task."""


_PREVIOUS = ("", "Fields that begin with `previous_` hold the value of one control step earlier.")


def task_prompt(task: TaskSpec, starts: np.ndarray, others: Sequence[tuple[str, float]] = ()) -> str:
    """The first thing a model is asked.

    Args:
        task: what is to be done.
        starts: first observations of some episodes `[n, D]`, for the ranges of the fields.
        others: programs that are there already, each with what it does in one line, and its success.
    """
    seconds = task.horizon / task.control_rate
    lines = [
        f"# Task: {task.id}",
        "",
        task.description,
        "",
        f"- Success: {task.success.rstrip('.')}. An episode ends in success at the first control step where this "
        "holds.",
        f"- Time limit: {task.horizon} control steps, which are {seconds:.3g} s at {task.control_rate:g} Hz. An "
        "episode that reaches it has failed.",
        "",
        "## Observation",
        "",
        "| field | numbers | unit | frame | meaning | at the start of an episode |",
        "|---|---|---|---|---|---|",
        *(_field_row(field, starts[:, field.columns]) for field in _fields(task)),
        *(_PREVIOUS if any(field.name.startswith("previous_") for field in task.fields) else ()),
        "",
        "In the frames called base and world, z points up. Fields of which the start is one value, not a range, start "
        "the same in every episode.",
        "",
        "## Action",
        "",
        f"{task.action_size} numbers, in this order: {', '.join(task.action_names)}.",
        f"What they mean: {task.action_unit}.",
        "",
        _INTERFACE.format(action_size=task.action_size),
    ]
    if others:
        lines += [
            "",
            "## Other programs",
            "",
            "These are there already:",
            "",
            *(f"- {what or 'a program that does not say what it does'} (success {rate:.0%})" for what, rate in others),
            "",
            "Write one that solves the task in another way that can be seen: another side to come from, another order "
            "of motions, another grasp, other speeds. Programs that differ give broader demonstrations together. It "
            "must succeed just as well.",
        ]
    return "\n".join(lines) + "\n"


def feedback(trial: Trial, rounds_left: int, pictured: bool = False) -> str:
    """What a model is told about its program before it may write the next version.

    Args:
        trial: how the program did.
        rounds_left: how many answers are left, the next one included.
        pictured: whether a picture of the end of a failed episode is shown with it.
    """
    lines = [
        f"Your program succeeded in {trial.successes} of {trial.episodes} episodes ({trial.success:.0%}; 95% interval "
        f"{trial.low:.0%} to {trial.high:.0%}).",
    ]
    if trial.steps_to_success is not None:
        lines.append(f"Successful episodes took {trial.steps_to_success:g} control steps (median).")
    if trial.failures:
        count = sum(trial.failures.values())
        lines += ["", f"In {count} episodes the program could not go on:", ""]
        lines += [f"- {times} times: {text}" for text, times in list(trial.failures.items())[:5]]
    if trial.distances:
        lines += ["", "Distances in the failed episodes, medians [m]:", "", "| between | start | smallest | end |"]
        lines.append("|---|---|---|---|")
        lines += [
            f"| {d.first} and {d.second} | {d.start:.3f} | {d.least:.3f} at step {d.least_step:.0f} | {d.end:.3f} |"
            for d in trial.distances
        ]
    if trial.motions:
        lines += ["", "Where they stalled, medians:", ""]
        lines += [
            f"- {m.field} came {m.farthest:.3f} m away from its start, and moved by more than 1 mm in a control step "
            + (f"for the last time at step {m.last_step:.0f}." if m.last_step >= 0 else "at no time.")
            for m in trial.motions
        ]
    for title, table in trial.traces.items():
        lines += ["", f"{title} (rounded):", "", "```", table, "```"]
    if pictured:
        lines += ["", "The picture shows how a failed episode ended."]
    return "\n".join([*lines, "", _again(rounds_left)]) + "\n"


def no_program(cut_off: bool, rounds_left: int) -> str:
    """What a model is told whose answer held no program.

    Args:
        cut_off: whether the answer reached its longest length.
        rounds_left: how many answers are left, the next one included.
    """
    why = "was cut off at its longest length" if cut_off else "has none"
    return (
        f"I could not find a program in your answer: it {why}. Give the whole program in one block that begins with "
        f"```python and defines the class Program.\n\n{_again(rounds_left)}\n"
    )


def _again(rounds_left: int) -> str:
    left = "This is the last version you can give" if rounds_left == 1 else f"You can give {rounds_left} more versions"
    return (
        f"{left}; the best one is kept. Say in a few sentences what went wrong in the failed episodes, then give the "
        "whole improved program in one block that begins with ```python."
    )


def _fields(task: TaskSpec) -> list[ObservationField]:
    whole = [ObservationField(n, c.start, c.stop, "", "", "all columns") for n, c in visible_fields(task).items()]
    return list(task.fields) or whole


def _field_row(field: ObservationField, starts: np.ndarray) -> str:
    """A row of the table; where starts differ, their range."""
    low, high = starts.min(axis=0), starts.max(axis=0)
    if len(low) > 7:
        at_start = f"between {low.min():.3f} and {high.max():.3f}"
    elif np.allclose(low, high, atol=5e-4):
        at_start = numbers(low)
    else:
        at_start = f"{numbers(low)} to {numbers(high)}"
    size = field.stop - field.start
    return f"| {field.name} | {size} | {field.unit} | {field.frame} | {field.meaning} | {at_start} |"
