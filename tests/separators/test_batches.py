"""Segments computed in batches, as on a GPU, equal those computed one by one; batches are bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from separation.models import onednn
from separation.separators import create
from separation.separators.precision import _PlainEstimator, batch_seconds
from separation.separators.roformer import RoformerSeparator
from separation.separators.waveform import WaveformSeparator
from tests.conftest import snr
from tests.separators.helpers import write_tiny

OPTIONS: dict[str, dict[str, Any]] = {
    "demucs": {"segment": 0.5},
    "htdemucs": {"segment": 0.5},
    "roformer": {"segment": 0.5},
}


@pytest.mark.parametrize("method", OPTIONS)
def test_a_batch_equals_its_segments(
    method: str, tmp_path: Path, song: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path, method)
    monkeypatch.setattr(onednn, "is_available", lambda: False)
    mixture, sizes = song[:, : 2 * 44100 + 1234], list[int]()
    estimate = _PlainEstimator._estimate

    def watched(self: _PlainEstimator, mixtures: list[Tensor]) -> list[Tensor]:
        sizes.append(len(mixtures))
        return estimate(self, mixtures)

    monkeypatch.setattr(_PlainEstimator, "_estimate", watched)
    stems = []
    for most in (1, 3):
        for kind in (RoformerSeparator, WaveformSeparator):
            monkeypatch.setattr(kind, "segments_per_batch", most)
        sizes.clear()
        separator = create(method, model=str(tmp_path), device="cpu", options=OPTIONS[method])
        stems.append(separator.separate(mixture))
        assert max(sizes) == most
    assert snr(stems[1], stems[0]) > 100


def test_a_gpu_takes_larger_batches_of_bounded_length(tmp_path: Path) -> None:
    assert batch_seconds(torch.device("cuda")) == 2 * batch_seconds(torch.device("cpu")) == 80
    write_tiny(tmp_path, "roformer")
    separator: Any = create("roformer", model=str(tmp_path), device="cpu", options={"segment": 8.0})
    assert separator.segments_per_batch == 1
    separator.device = torch.device("cuda")
    assert separator.segments_per_batch == 10
