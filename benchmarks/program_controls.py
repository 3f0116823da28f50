"""Doubts about the shipped programs' success: the other simulator of MetaWorld, and versions that must fail.

    OMP_NUM_THREADS=1 python benchmarks/program_controls.py

writes benchmarks/program_controls.csv anew: 32 episodes of four programs in each simulator, 16 of each sabotaged
version, seed 7, without the sandbox.
"""

import tempfile
from contextlib import closing
from pathlib import Path

from rows import HERE, append_row

from expertgen.demos.collect import collect
from expertgen.demos.library import shipped_programs
from expertgen.demos.program import load_program
from expertgen.runs.progress import drain
from expertgen.tasks.registry import get_task, make_env

CSV = HERE / "program_controls.csv"
SEED = 7
TWICE = ("peg-insert-side/align", "assembly/over_the_rod", "door-open/circle", "pick-place/straight")
SABOTAGE = {
    "peg-insert-side/align": ("OPEN, CLOSED = -1.0, 1.0", "OPEN, CLOSED = -1.0, -1.0"),
    "assembly/over_the_rod": ("np.array([0.13, 0.0, 0.0])", "np.array([0.0, 0.0, 0.0])"),
    "door-open/circle": ("target = hook + np.append(0.12 * tangent, 0.0)", "target = hand"),
    "pick-place/straight": ("OPEN, CLOSED = -1.0, 1.0", "OPEN, CLOSED = -1.0, -1.0"),
    "fetch-pick-and-place/bow": ("OPEN, CLOSED = 1.0, -1.0", "OPEN, CLOSED = 1.0, 1.0"),
}


def main() -> None:
    """Plays them all."""
    CSV.unlink(missing_ok=True)
    for name in TWICE:
        for simulator in ("envpool", "metaworld"):
            play(name, shipped_programs()[name], simulator, 32, "as shipped")
    path = Path(tempfile.mkdtemp()) / "sabotaged.py"
    for name, (sound, broken) in SABOTAGE.items():
        source = shipped_programs()[name].read_text("utf-8")
        if sound not in source:
            raise SystemExit(f"{name} does not say {sound!r} any more")
        path.write_text(source.replace(sound, broken))
        play(name, path, "envpool", 16, broken)


def play(name: str, path: Path, simulator: str, episodes: int, version: str) -> None:
    """Plays one program and adds a row."""
    task = get_task(name.partition("/")[0])
    with closing(make_env(task, episodes, simulator=simulator)) as env:
        demos = drain(collect(env, load_program(path, task), episodes, SEED, name))
    starts = len({demo.observations[0].tobytes() for demo in demos.demos})
    row = {"program": name, "simulator": simulator, "version": version, "successes": demos.successes}
    append_row(CSV, {**row, "episodes": episodes, "starts": starts, "seed": SEED})
    print(row, flush=True)


if __name__ == "__main__":
    main()
