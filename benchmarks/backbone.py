"""Keeps the curves of single runs of `expertgen mbrl`, in the columns of a suite's results.csv.

    expertgen mbrl half-cheetah --out runs/half-cheetah
    python benchmarks/backbone.py preset runs/half-cheetah

Adds the run's rows to `backbone.csv`, under a name for its settings.
"""

from __future__ import annotations

from pathlib import Path

import tyro
from rows import append_row

from expertgen.runs.files import read_json
from expertgen.suite.mbrl import read

TABLE = Path(__file__).with_suffix(".csv")


def main(method: tyro.conf.Positional[str], folder: tyro.conf.Positional[Path]) -> None:
    """Adds the rows of a finished run.

    Args:
        method: name for the settings.
        folder: the run's folder.
    """
    settings = read_json(folder / "config.json")
    about = {"task": settings["task"], "method": method, "seed": settings["seed"]}
    for point in read(settings, folder):
        append_row(TABLE, about | vars(point))


if __name__ == "__main__":
    tyro.cli(main)
