"""What the actor-critic agents share: gradients that stay where they belong, and what learning continues from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from expertgen.errors import FileError
from expertgen.runs.checkpoint import load_module, load_optimizer, optimizer_tensors, with_prefix, without_prefix


def differentiate(loss: Tensor, module: nn.Module) -> None:
    """Sets the gradients of a module's parameters, and of no others that the loss may depend on."""
    parameters = list(module.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient


def lowest(values: Float[Tensor, "critics batch"], count: int, generator: torch.Generator) -> Float[Tensor, " batch"]:
    """The minimum over `count` critics, drawn at random for the whole batch; over all, if there are no more."""
    if count < len(values):
        values = values[torch.randperm(len(values), generator=generator, device=generator.device)[:count]]
    return values.amin(dim=0)


def agent_state(
    modules: Mapping[str, nn.Module], numbers: Mapping[str, Tensor], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Everything that an agent's learning continues from, as named tensors."""
    tensors = {name: number.detach() for name, number in numbers.items()}
    for name, module in modules.items():
        tensors |= with_prefix(name, module.state_dict())
    for name, optimizer in optimizers.items():
        tensors |= with_prefix(name, optimizer_tensors(optimizer))
    return tensors


@torch.no_grad()
def load_agent_state(
    tensors: Mapping[str, Tensor],
    path: Path,
    modules: Mapping[str, nn.Module],
    numbers: Mapping[str, Tensor],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> None:
    """Restores what `agent_state` gave.

    Raises:
        FileError: naming `path`, if a tensor is missing or of another shape.
    """
    for name, module in modules.items():
        load_module(module, without_prefix(name, tensors), path)
    for name, number in numbers.items():
        if name not in tensors:
            raise FileError(f"{path}: tensor {name!r} is missing")
        number.copy_(tensors[name])
    for name, optimizer in optimizers.items():
        load_optimizer(optimizer, without_prefix(name, tensors))
