"""Curves and sounds of a run, for TensorBoard: ``tensorboard --logdir RUN``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

__all__ = ["TensorBoardWriter"]

log = logging.getLogger(__name__)

EXCERPT = 6.0  # seconds of the sounds


class TensorBoardWriter:
    """Written by the first process alone."""

    def __init__(self, folder: Path, *, sample_rate: int, step: int) -> None:
        """What an earlier, killed process wrote beyond `step` is hidden."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.warning("no training curves: install TensorBoard with pip install 'stemscope[curves]'")
            self.writer = None
        else:
            self.writer = SummaryWriter(str(folder), purge_step=step + 1)
        self.sample_rate = sample_rate

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add the curves' values of one log entry."""
        if self.writer is None:
            return
        step = entry["step"]
        self.writer.add_scalar("learning rate", entry["learning_rate"], step)
        self.writer.add_scalar("examples per second", entry["examples_per_second"], step)
        for name, loss in entry["train_loss"].items():
            self.writer.add_scalar(f"training loss/{name}", loss, step)
        if "valid_loss" in entry:
            self.writer.add_scalar("validation loss", entry["valid_loss"], step)
        for name, score in entry.get("sdr", {}).items():
            if score is not None:
                self.writer.add_scalar(f"validation SDR in dB/{name}", score, step)
        self.writer.flush()

    def add_sounds(self, sounds: Mapping[str, Tensor], step: int) -> None:
        """Add the middle 6 s of each stem, shape (channels, time)."""
        if self.writer is None:
            return
        for name, sound in sounds.items():
            length = min(sound.shape[-1], round(EXCERPT * self.sample_rate))
            start = (sound.shape[-1] - length) // 2
            middle = sound[:, start : start + length].mean(0, keepdim=True).clamp(-1, 1)
            self.writer.add_audio(name, middle, step, self.sample_rate)
        self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
