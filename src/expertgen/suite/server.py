"""Imported by the process that members fork from: brings in what they need, and ties that process to the suite's."""

import torch._dynamo  # the first optimizer would import it, in each member for a second

from expertgen.runs.machine import die_with_parent
from expertgen.suite import member

__all__ = ["member", "torch"]

die_with_parent()
