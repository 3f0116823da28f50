"""Moving averages, by hand."""

import torch

from expertgen.runs.averaging import update_average


def test_moves_a_fraction_of_the_way():
    average, module = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.fill_(1.0)
        for parameter in module.parameters():
            parameter.fill_(3.0)
    update_average(average, module, 0.25)
    assert torch.equal(average.weight, torch.full((1, 2), 1.5))
    update_average(average, module, 1.0)
    assert torch.equal(average.bias, torch.full((1,), 3.0))
    assert torch.equal(module.weight, torch.full((1, 2), 3.0))
