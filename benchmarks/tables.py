"""The tables of the documentation, from the committed CSV files.

python benchmarks/tables.py
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rows import HERE, read_rows


def markdown(header: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, *body)]
    return "\n".join([lines[0], "|" + "---|" * lines[0].count(" | ") + "---|", *lines[1:]])


def mean(group: list[dict[str, str]], column: str) -> float:
    """Mean of a column, rows without a value left out."""
    return float(np.mean([float(row[column]) for row in group if row.get(column)]))


def each(group: list[dict[str, str]], column: str) -> str:
    """All values of a column as percentages."""
    return ", ".join(f"{100 * float(row[column]):.1f}" for row in group)


def by(table: list[dict[str, str]], *columns: str) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """Groups rows by columns, in order of appearance."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in table:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def steering() -> str:
    """Demonstrations, prior and expert of every task."""
    header = ("task", "demonstrations", "prior", "expert (mean)", "expert, each seed", "env steps", "seconds, one core")
    return markdown(
        header,
        (
            (
                task,
                f"{mean(group, 'demos'):.1%}",
                f"{mean(group, 'prior'):.1%}",
                f"**{mean(group, 'expert'):.1%}**",
                each(group, "expert"),
                f"{mean(group, 'env_steps') / 1000:.0f} k",
                f"{mean(group, 'steer_cpu_seconds'):.0f}",
            )
            for (task,), group in by(read_rows(HERE / "steering.csv"), "task").items()
        ),
    )


def students() -> str:
    """Students of every kind against their teachers."""
    header = (
        "student", "task", "seeds", "teacher", "student", "of teacher", "camera errors", "of teacher",
        "perturbed start", "of teacher there", "seconds",
    )  # fmt: skip
    body = []
    for (kind, task), group in by(read_rows(HERE / "students.csv"), "kind", "task").items():
        teacher, clean, hard = (mean(group, column) for column in ("teacher", "student", "hard"))
        perturbed, teacher_perturbed = mean(group, "perturbed"), mean(group, "perturbed_teacher")
        shares = (
            f"{teacher:.1%}",
            f"**{clean:.1%}**",
            f"{clean / teacher:.0%}",
            f"{hard:.1%}",
            f"{hard / teacher:.0%}",
            f"{perturbed:.1%}",
            f"{perturbed / teacher_perturbed:.0%}",
        )
        body.append((kind, task, str(len(group)), *shares, f"{mean(group, 'cpu_seconds'):.0f}"))
    return markdown(header, body)


if __name__ == "__main__":
    print(steering(), students(), sep="\n\n")
