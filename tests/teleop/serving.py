"""A server in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

MAIN = "import sys; from expertgen.cli import main; sys.exit(main(sys.argv[1:]))"


class Serving:
    """`expertgen demos teleop`, and the address that it printed."""

    def __init__(self, *words: str, task: str = "drawer-open") -> None:
        command = [sys.executable, "-c", MAIN, "demos", "teleop", task, "--port", "0", *words]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path)}
        # Tests that run in the background ignore Ctrl-C, and so would the server that they start.
        ctrl_c = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=ctrl_c
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("open "), line + self.process.stderr.read()
        self.address = line.split()[1]

    def end(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(2)
        assert self.process.wait(60) == 0, self.process.stderr.read()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def unfinished(path: Path) -> Path:
    return path.with_suffix(".unfinished.h5")
