"""Helpers shared by the tests in this folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from separation.audio.blocks import iter_blocks
from separation.audio.signal import Audio, Signal
from separation.pipeline.result import Result
from separation.pipeline.to_folder import separate_to_folder
from separation.separators.base import Separator
from separation.separators.mixture import MixOptions

GAINS = (0.4, 0.3, 0.2, 0.1)


class Copies(Separator):
    """Bound to 44.1 kHz and stereo like a network; its stems are scaled copies of the mixture, made in blocks."""

    name = "copies"
    sources = ("vocals", "drums", "bass", "other")
    channels = 2
    model = "copies-1"
    model_hash = "0123456789abcdef"

    def __init__(
        self,
        *,
        channels: int = 2,
        gains: tuple[float, ...] = GAINS,
        block: int = 5000,
        failure: BaseException | None = None,
        note: str | None = None,
    ) -> None:
        super().__init__()
        self.options = MixOptions()
        self.channels = channels
        self.gains = torch.tensor(gains)[:, None, None]
        self.block = block
        self.failure = failure
        self.note = note

    def segments(self, frames: int) -> int:
        return -(-frames // self.block)

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        if self.note:
            self.notes.append(self.note)
        for number, block in enumerate(iter_blocks(mixture, self.block)):
            if number == 2 and self.failure is not None:
                raise self.failure
            yield self.gains * block


def sound(rate: int = 44100, channels: int = 2, *, frames: int | None = None, peak: float = 0.5) -> Audio:
    """Half a second of tones below 3 kHz that swell and fade: nothing that any of the rates could not hold."""
    frames = rate // 2 + 7 if frames is None else frames
    time = torch.arange(frames, dtype=torch.float64) / rate
    pitch = torch.tensor([[220.0 * (c + 1), 1234.0 + 55 * c, 2900.0 - 111 * c] for c in range(channels)])
    tones = torch.cos(2 * math.pi * pitch[..., None] * time).sum(1)
    waveform = tones * torch.sin(math.pi * (torch.arange(frames) + 0.5) / frames) ** 2
    return Audio(waveform=(peak * waveform / waveform.abs().max()).float(), sample_rate=rate)


def noise(frames: int = 20000, channels: int = 2, *, seed: int = 0) -> Audio:
    """Even between -0.3 and 0.3, which ICA can tell from a mixture."""
    generator = torch.Generator().manual_seed(seed)
    return Audio(waveform=0.6 * torch.rand(channels, frames, generator=generator) - 0.3, sample_rate=44100)


def separate(audio: Audio, separator: Separator, folder: Path, **more: Any) -> Result:
    *_, last = separate_to_folder(audio, separator, folder, name="song.wav", **more)
    assert last.result is not None
    return last.result


def read_stem(path: Path) -> Tensor:
    return torch.from_numpy(soundfile.read(path, dtype="float64", always_2d=True)[0].T.copy())
