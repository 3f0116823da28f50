"""Checkpoints without pickle: one safetensors file, with its JSON description in the header.

One file and not two, because two files cannot be replaced in one atomic step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from expertgen.errors import FileError
from expertgen.runs.files import write_bytes


def save_checkpoint(
    path: Path, kind: str, version: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> None:
    """Saves named tensors and a JSON-able description, atomically.

    Args:
        path: file to write, by habit `*.safetensors`.
        kind: what it holds, e.g. `"prior"`.
        version: version of that kind's layout; a reader refuses another.
        tensors: name → tensor, any shape and dtype that safetensors knows.
        meta: whatever is needed to rebuild the object (configuration, task id, counters).
    """
    header = {"expertgen": json.dumps({"kind": kind, "version": version, "meta": dict(meta)})}
    # Clones: safetensors refuses tensors that share storage, which views of one batch do.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(plain, metadata=header))


def load_checkpoint(path: Path, kind: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Loads what `save_checkpoint` wrote.

    Returns:
        the tensors and the description.

    Raises:
        FileError: if the file is missing, truncated, not ours, of another kind or of another version.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["expertgen"])
            written, layout, meta = header["kind"], header["version"], {**header["meta"]}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except (KeyError, TypeError, ValueError):
        raise FileError(f"{path} is a safetensors file, but not an expertgen checkpoint") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise FileError(
            f"{path} is truncated or not a checkpoint ({error}); choose another, or make it again"
        ) from error
    if written != kind:
        raise FileError(f"{path} holds a {written!r}, not a {kind!r}")
    if layout != version:
        raise FileError(
            f"{path} has version {layout} of the {kind!r} layout; this program reads version {version}: train it again"
        )
    return tensors, meta


def load_module(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copies tensors into a module's parameters and buffers, strictly.

    Raises:
        FileError: if a name is missing, unknown, or of another shape.
    """
    own = module.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            raise FileError(f"{path}: tensor {name!r} is missing")
        if name not in own:
            raise FileError(f"{path}: tensor {name!r} is not part of this network")
        if own[name].shape != tensors[name].shape:
            raise FileError(
                f"{path}: tensor {name!r} has shape {list(tensors[name].shape)}, "
                f"this network needs {list(own[name].shape)}"
            )
    module.load_state_dict(dict(tensors))


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames `name` to `prefix.name`, to keep several modules in one checkpoint."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Selects what `with_prefix(prefix, ...)` named and takes the prefix off again."""
    start = f"{prefix}."
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as named tensors (`"3.exp_avg"`); its options belong into the configuration."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": torch.as_tensor(value) for index, entry in state.items() for key, value in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restores what `optimizer_tensors` gave; learning rates are left as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
