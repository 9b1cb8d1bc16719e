"""CPUs that compute wrongly in half precision are detected."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from separation.training.autocast_check import check_autocast_accuracy


class Loss(nn.Module):
    """An objective with layers of every checked kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(2, 8, 8, 2)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.ConvTranspose1d(8, 4, 8, 2)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(self.norm(self.first(x))).transpose(1, 2)).mean()


class Wrong(nn.Conv1d):
    """A kernel with a bug like oneDNN's: correct in float32, a different signal in half precision."""

    def forward(self, input: Tensor) -> Tensor:
        right = super().forward(input)
        return right.flip(-1) if torch.is_autocast_enabled("cpu") else right


@pytest.fixture
def inputs(generator: torch.Generator) -> tuple[Tensor]:
    return (torch.randn(3, 2, 400, generator=generator),)


def test_rounding_is_accepted(inputs: tuple[Tensor]) -> None:
    objective = Loss()
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    check_autocast_accuracy(objective, inputs, torch.bfloat16)
    for name, tensor in objective.state_dict().items():  # not even the statistics of the batch norm have changed
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert not objective.first._forward_hooks


def test_a_wrong_layer_is_named(inputs: tuple[Tensor]) -> None:
    objective = Loss()
    objective.first = Wrong(2, 8, 8, 2)
    with pytest.raises(ValueError, match=r"wrongly in bfloat16: .* Train with precision = \"fp32\"") as caught:
        check_autocast_accuracy(objective, inputs, torch.bfloat16)
    assert "computes first (Wrong(2, 8" in str(caught.value)
