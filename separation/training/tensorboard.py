"""TensorBoard logs of a run, to be viewed with ``tensorboard --logdir RUN``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

__all__ = ["TensorBoardWriter"]

log = logging.getLogger(__name__)

EXCERPT = 6.0  # seconds of audio per source


class TensorBoardWriter:
    """A writer of training curves and audio; it writes nothing if TensorBoard is not installed."""

    def __init__(self, folder: Path, *, sample_rate: int, step: int) -> None:
        """Open a log in `folder`; entries after `step`, written by a killed process, are hidden."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.warning("no training curves: install TensorBoard with pip install '.[curves]' in the project's folder")
            self.writer = None
        else:
            self.writer = SummaryWriter(str(folder), purge_step=step + 1)
        self.sample_rate = sample_rate

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add the values of one log entry to the curves."""
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

    def add_audio(self, estimates: Mapping[str, Tensor], step: int) -> None:
        """Add the middle 6 s of each estimate, shape (channels, time), as mono audio."""
        if self.writer is None:
            return
        for name, estimate in estimates.items():
            length = min(estimate.shape[-1], round(EXCERPT * self.sample_rate))
            start = (estimate.shape[-1] - length) // 2
            mono = estimate[:, start : start + length].mean(0, keepdim=True).clamp(-1, 1)
            self.writer.add_audio(name, mono, step, self.sample_rate)
        self.writer.flush()
