"""Networks with random weights."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from separation.models.demucs import Demucs

Network = TypeVar("Network", bound=nn.Module)

NO_BFLOAT16 = "this CPU has no bfloat16 arithmetic"


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Set random weights, statistics and scalers, as far from the defaults as trained ones; return the network."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    state = network.state_dict()
    for key, value in state.items():
        name = key.rpartition(".")[2]
        if name == "input_mean":
            state[key] = uniform(value, -3, -0.5)  # minus the mean
        elif name in ("input_scale", "running_var"):
            state[key] = uniform(value, 0.1, 1)
        elif name in ("output_scale", "output_mean") or (key.startswith("bn") and name == "weight"):
            state[key] = uniform(value, 0.3, 1.5)
        elif value.dim() == 1:
            state[key] = uniform(value, -0.3, 0.3)
        elif value.dim() > 1:
            state[key] = uniform(value, -1, 1) * (3 / value[0].numel()) ** 0.5
    network.load_state_dict(state)
    return network.eval()


def loud_lstm(network: Demucs) -> Demucs:
    """Set random weights with which the LSTM changes the output audibly; return the network."""
    randomise(network)
    for parameter in network.lstm.parameters():
        parameter.data *= 4
    return network


def with_active_branches(network: Network, *, strength: float = 1.0) -> Network:
    """Raise the scales of the residual branches, which start near zero, and vary the biases; return the network."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if name.endswith(".scale"):
            parameter.data.uniform_(0.1 * strength, 0.4 * strength, generator=generator)
        elif parameter.dim() == 1:
            parameter.data += 0.1 * strength * torch.randn(parameter.shape, generator=generator)
    return network.eval()
