"""Numbers and stages in words: the same in the report, in the terminal, and wherever else people read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from expertgen.evaluation.evaluate import Evaluation
from expertgen.evaluation.perturbations import KINDS
from expertgen.evaluation.robustness import UNDISTURBED, Share
from expertgen.evaluation.statistics import difference_interval

TITLES = {
    "demos": "Demonstrations",
    "prior": "Prior",
    "expert": "Expert",
    "student": "Student",
    "zero_noise": "Zero noise",
    "constant_noise": "Constant noise",
    "teacher": "Expert as teacher",
    "bc_student": "Cloned student",
    "blind_student": "Blind student",
}
"""Stage → what people call it."""

MEANINGS = {
    "demos": "imperfect, where it all starts",
    "prior": "diffusion policy cloned from them",
    "expert": "the frozen prior, its noise chosen by RL",
    "student": "depth cameras and its own joints only",
    "zero_noise": "the prior with all noise set to 0",
    "constant_noise": "the prior with the best single noise found",
    "teacher": "the expert in the student's simulator",
    "bc_student": "as many expert labels, without DAgger",
    "blind_student": "the student without its cameras",
}
"""Stage → one line about it."""


PERTURBATIONS = {
    UNDISTURBED: "Undisturbed",
    "gripper_open": "Gripper forced open",
    "actuation_noise": "Actuation noise",
    "latency": "Latency of actions",
    "observation_noise": "Observation noise",
    "random_start": "Random start",
}
"""Perturbation → what people call it."""


@dataclass(frozen=True)
class MethodWords:
    """How a run's way to its expert is spoken of.

    Attributes:
        meaning: one line about the expert.
        action: what took the prior's success to the expert's, at the beginning of a sentence.
        short: the same, within one.
        learning: what is learned, about the curves.
    """

    meaning: str
    action: str
    short: str
    learning: str


METHODS = {
    "steer": MethodWords(
        MEANINGS["expert"],
        "Steering the noise of a frozen diffusion prior",
        "steering",
        "The prior stays frozen; only the choice of its noise is learned, from success alone.",
    ),
    "residual": MethodWords(
        "the frozen prior, its actions corrected by RL",
        "Correcting the actions of a frozen diffusion prior",
        "the corrections",
        "The prior stays frozen; a correction of each of its actions is learned, from success alone.",
    ),
    "direct": MethodWords(
        "actions chosen by RL, without a prior",
        "RL on the actions, in place of a diffusion prior,",
        "RL on the actions",
        "Actions are learned by RL; the prior has no part in it.",
    ),
    "ibrl": MethodWords(
        "chunks of the frozen prior or of RL, as critics choose",
        "Choosing between the chunks of a frozen diffusion prior and those of RL",
        "the choice between prior and RL",
        "The prior stays frozen; chunks of another policy are learned, from success alone, and when to prefer them.",
    ),
    "self-imitation": MethodWords(
        "the prior, trained on what succeeded",
        "Training a diffusion prior on its own successes",
        "self-imitation",
        "The prior itself is trained further, on demonstrations and episodes of its own that succeeded.",
    ),
    "dppo": MethodWords(
        "the prior, its denoising fine-tuned by RL",
        "Fine-tuning the denoising of a diffusion prior",
        "fine-tuning",
        "The prior itself is trained further: its denoising steps are fine-tuned by PPO, from success alone.",
    ),
}
"""Method → its words."""

_NARROW = "\u202f"


def percent(share: float) -> str:
    """`0.973` → `"97%"`; what is not quite 0 or 1 is never rounded to it: `0.998` → `"99.8%"`."""
    whole = round(100 * share)
    return f"{whole}%" if share in (0, 1) or 0 < whole < 100 else f"{100 * share:.1f}%"


def strength_in_words(perturbation: str, value: float) -> str:
    """How strong a perturbation is, e.g. `"10 steps"`; nothing where there is none."""
    if perturbation not in KINDS:
        return ""
    unit = KINDS[perturbation].unit
    return f"{value:g}{_NARROW}{unit.rstrip('s') if value == 1 else unit}".rstrip()


def interval(evaluation: Evaluation | Share) -> str:
    """The 95% interval, e.g. `"94.6–98.7%"`."""
    return f"{100 * evaluation.low:.1f}–{100 * evaluation.high:.1f}%"


def duration(seconds: float) -> str:
    """`192.4` → `"3 min 12 s"`; number and unit are kept on one line by no-break spaces."""
    if seconds < 10:
        return f"{seconds:.1f}{_NARROW}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}{_NARROW}h {minutes}{_NARROW}min"
    return f"{minutes}{_NARROW}min {rest}{_NARROW}s" if minutes else f"{rest}{_NARROW}s"


def count(number: float) -> str:
    """`184307` → `"184 k"`, `1234567` → `"1.23 M"`."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{_NARROW}{unit}"
    return f"{number:.3g}"


def figure(value: float, digits: int = 4) -> str:
    """A number that may have any size: `9359.6` → `"9,360"`, `-4.21356` → `"-4.214"`, `3.0` → `"3"`."""
    if value == round(value):
        return f"{value:,.0f}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{decimals}f}" if 0 <= decimals <= 6 else f"{value:,.0f}" if decimals < 0 else f"{value:.1e}"


def memory(megabytes: float) -> str:
    """`1734` → `"1.7 GB"`."""
    return f"{megabytes / 1000:.1f}{_NARROW}GB" if megabytes >= 1000 else f"{megabytes:.0f}{_NARROW}MB"


def optional(value: float | None, digits: int) -> str:
    """A number with that many decimals, or a dash where it could not be measured."""
    return "–" if value is None else f"{value:.{digits}f}"


def headline(stages: Mapping[str, Evaluation], method: str = "steer") -> str:
    """What a run achieved, in a sentence or two; says less where stages are missing."""
    prior, student = stages.get("prior"), stages.get("student")
    expert = stages.get("expert") or stages.get("teacher")  # one that was given is played as the teacher only
    if expert is None:
        if prior is None:
            return "No policy of this run was evaluated yet."
        return f"The prior succeeds in {percent(prior.success)} of {prior.episodes} held-out episodes; not steered yet."
    if prior is None:
        text = f"The given expert succeeds in {percent(expert.success)} of {expert.episodes} held-out episodes."
    else:
        text = _steered(prior, expert, METHODS[method])
    if student is None:
        return text
    kept = f" ({percent(student.success / expert.success)} of its expert)" if expert.success else ""
    return f"{text} A student that sees through depth cameras reaches {percent(student.success)}{kept}."


def _steered(prior: Evaluation, expert: Evaluation, method: MethodWords) -> str:
    """Whether the method helped, as far as the episodes tell."""
    before, after = percent(prior.success), percent(expert.success)
    (a, n), (b, m) = ((round(e.success * e.episodes), e.episodes) for e in (expert, prior))
    low, high = difference_interval(a, n, b, m)
    if low > 0:
        cost = f"in {duration(expert.seconds)} and {count(expert.env_steps)} simulator steps"
        return f"{method.action} took success from {before} to {after}, {cost}."
    harm = f"{method.short[0].upper()}{method.short[1:]} did harm"
    verdict = harm if high < 0 else f"Too few episodes to tell whether {method.short} helped"
    return f"{verdict}: the expert succeeds in {after} of {expert.episodes} held-out episodes, its prior in {before}."
