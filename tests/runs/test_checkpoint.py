"""Checkpoints: what was saved comes back, and what is not a whole checkpoint of this kind is refused in one line."""

import json

import pytest
import safetensors.torch
import torch

from expertgen.errors import FileError
from expertgen.runs.checkpoint import (
    load_checkpoint,
    load_module,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    with_prefix,
    without_prefix,
)

TENSORS = {
    "matrix": torch.arange(6.0).view(2, 3),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
    "flags": torch.tensor([True, False]),
    "scalar": torch.tensor(7),
    "empty": torch.zeros(0, 4),
}
META = {"task": "toy", "config": {"width": 3, "rate": 0.1}, "rows": [1, 2]}


def saved(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, "toy", 2, TENSORS, META)
    return path


def refusal(path, kind="toy", version=2):
    with pytest.raises(FileError) as caught:
        load_checkpoint(path, kind, version)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_round_trip(tmp_path):
    tensors, meta = load_checkpoint(saved(tmp_path), "toy", 2)
    assert meta == META
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    first = saved(tmp_path).read_bytes()
    assert saved(tmp_path).read_bytes() == first


def test_views_gradients_and_shared_storage(tmp_path):
    base = torch.arange(12.0).view(3, 4).requires_grad_()
    save_checkpoint(tmp_path / "a", "toy", 1, {"all": base, "column": base[:, 1], "turned": base.T}, {})
    tensors, _ = load_checkpoint(tmp_path / "a", "toy", 1)
    assert torch.equal(tensors["column"], torch.tensor([1.0, 5.0, 9.0]))
    assert torch.equal(tensors["turned"], base.detach().T)
    assert not tensors["all"].requires_grad


def test_truncated_at_every_length(tmp_path):
    path = saved(tmp_path)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert "is truncated" in refusal(path)


def test_what_is_not_a_checkpoint(tmp_path):
    path = tmp_path / "a"
    assert "does not exist" in refusal(path)
    path.write_bytes(b"\x00" * 100)
    assert "not a checkpoint" in refusal(path)
    safetensors.torch.save_file({"x": torch.ones(1)}, path)
    assert "not an expertgen checkpoint" in refusal(path)
    safetensors.torch.save_file({"x": torch.ones(1)}, path, metadata={"expertgen": "{"})
    assert "not an expertgen checkpoint" in refusal(path)
    assert "not a checkpoint" in refusal(tmp_path)


@pytest.mark.parametrize("header", [[], {}, {"version": 2, "meta": {}}, {"kind": "toy", "version": 2, "meta": [1]}, 7])
def test_a_header_of_another_form(tmp_path, header):
    path = tmp_path / "a"
    safetensors.torch.save_file({"x": torch.ones(1)}, path, metadata={"expertgen": json.dumps(header)})
    assert "not an expertgen checkpoint" in refusal(path)


def test_another_kind_or_version(tmp_path):
    path = saved(tmp_path)
    assert "holds a 'toy', not a 'prior'" in refusal(path, kind="prior")
    assert "version 2" in refusal(path, version=3)
    assert "reads version 3" in refusal(path, version=3)


def test_module_of_another_shape(tmp_path):
    module, path = torch.nn.Linear(3, 2), tmp_path / "a"
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    good = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}
    for change, message in (
        ({"weight": torch.ones(2, 4)}, r"'weight' has shape \[2, 4\], this network needs \[2, 3\]"),
        ({"extra": torch.ones(1)}, "'extra' is not part of this network"),
    ):
        with pytest.raises(FileError, match=message):
            load_module(module, good | change, path)
    with pytest.raises(FileError, match="'bias' is missing"):
        load_module(module, {"weight": torch.ones(2, 3)}, path)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    load_module(module, good, path)
    assert torch.equal(module.weight, torch.ones(2, 3))


def test_prefixes():
    both = with_prefix("a", {"x": torch.ones(1)}) | with_prefix("ab", {"x": torch.zeros(1)})
    assert both.keys() == {"a.x", "ab.x"}
    assert torch.equal(without_prefix("a", both)["x"], torch.ones(1))
    assert without_prefix("a", both).keys() == {"x"}


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_a_restored_optimizer_takes_the_same_next_step(tmp_path, kind):
    def learner():
        weights = [torch.full((4,), 0.5, requires_grad=True), torch.full((2, 2), -1.0, requires_grad=True)]
        return weights, kind(weights, lr=0.01, fused=True)

    def step(weights, optimizer, scale):
        for weight in weights:
            weight.grad = scale * weight.detach().sin()
        optimizer.step()

    weights, optimizer = learner()
    for i in range(3):
        step(weights, optimizer, 1 + i)
    save_checkpoint(tmp_path / "a", "optimizer", 1, optimizer_tensors(optimizer), {})
    restored, other = learner()
    for weight, source in zip(restored, weights, strict=True):
        weight.data.copy_(source.data)
    load_optimizer(other, load_checkpoint(tmp_path / "a", "optimizer", 1)[0])
    for scale in (0.3, 2.0):
        step(weights, optimizer, scale)
        step(restored, other, scale)
    for weight, source in zip(restored, weights, strict=True):
        assert torch.equal(weight, source)
