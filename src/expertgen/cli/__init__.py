"""The command line: verbs only. Parse, call, print; everything else lives in the layers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from expertgen import __version__
from expertgen.cli.demos import demos_verb
from expertgen.cli.mbrl import mbrl_verb
from expertgen.cli.parsing import CONSOLE, listed
from expertgen.cli.runs import distill_verb, eval_verb, prior_verb, report_verb, robustness_verb, run_verb, steer_verb
from expertgen.cli.suite import suite_verb
from expertgen.cli.tasks import doctor_verb, tasks_verb
from expertgen.errors import ExpertgenError, UsageError, nearest
from expertgen.runs.machine import prepare_process


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb and returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not words or words[0] in ("-h", "--help"):
            CONSOLE.print(listed("expertgen", VERBS, "Imperfect demonstrations in, expert policies out"))
            return 0
        if words[0] == "--version":
            print(__version__)
            return 0
        if words[0] not in VERBS:
            raise UsageError(f"unknown verb {words[0]!r}{nearest(words[0], VERBS)}; `expertgen --help` lists them")
        prepare_process()
        VERBS[words[0]](words[1:])
    except ExpertgenError as error:
        print(f"expertgen: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read what was printed has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("expertgen: interrupted", file=sys.stderr)
        return 1
    return 0


VERBS: dict[str, Callable[[list[str]], None]] = {
    "run": run_verb,
    "demos": demos_verb,
    "prior": prior_verb,
    "steer": steer_verb,
    "distill": distill_verb,
    "mbrl": mbrl_verb,
    "eval": eval_verb,
    "robustness": robustness_verb,
    "suite": suite_verb,
    "report": report_verb,
    "tasks": tasks_verb,
    "doctor": doctor_verb,
}
