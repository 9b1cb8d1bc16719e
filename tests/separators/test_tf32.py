"""Float32 is exact during inference on a GPU unless TF32 is allowed, and the flags are restored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from separation.audio.signal import Signal
from separation.separators import create
from separation.separators.base import Separator
from separation.separators.ensemble import EnsembleOptions, EnsembleSeparator
from separation.separators.presets import Part, Preset
from separation.separators.tf32 import float32_arithmetic
from separation.separators.two_stems import TwoStems

Flags = tuple[str, str, str]


def flags() -> Flags:
    cudnn: Any = torch.backends.cudnn
    return cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, torch.backends.cuda.matmul.fp32_precision


EXACT: Flags = ("ieee", "ieee", "ieee")
FAST: Flags = ("tf32", "tf32", "tf32")


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    before = flags()
    assert before[0] == "tf32", "torch's default for convolutions is not what this module was written for"
    yield
    assert flags() == before


@pytest.mark.parametrize(("allowed", "expected"), [(False, EXACT), (True, FAST)])
def test_flags_are_set_and_restored(allowed: bool, expected: Flags) -> None:
    before = flags()
    with float32_arithmetic(allow_tf32=allowed):
        assert flags() == expected
    assert flags() == before
    with pytest.raises(OSError, match="full"), float32_arithmetic(allow_tf32=allowed):
        raise OSError("full")
    assert flags() == before


def test_the_exact_one_of_several_wins_until_it_ends() -> None:
    before, inside, finish = flags(), threading.Event(), threading.Event()

    def exactly() -> None:
        with float32_arithmetic(allow_tf32=False):
            inside.set()
            finish.wait(10)

    thread = threading.Thread(target=exactly)
    with float32_arithmetic(allow_tf32=True):
        assert flags() == FAST
        thread.start()
        assert inside.wait(10)
        assert flags() == EXACT
        finish.set()
        thread.join()
        assert flags() == FAST
    assert flags() == before


class Probe(Separator):
    """A separator that notes the flags while it computes."""

    name = "probe"
    sources = ("a",)

    def __init__(self, device: str, *, allow_tf32: bool) -> None:
        super().__init__()
        self.device, self.allow_tf32, self.seen = torch.device(device), allow_tf32, list[Flags]()

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        for _ in range(3):
            self.seen.append(flags())
            yield torch.zeros(1, mixture.channels, 1)


@pytest.mark.parametrize(("allowed", "expected"), [(False, EXACT), (True, FAST)])
def test_separators_on_a_gpu_set_them_while_they_compute_a_block(allowed: bool, expected: Flags) -> None:
    probe, before = Probe("cuda", allow_tf32=allowed), flags()
    for _ in probe.stream(torch.zeros(2, 3)):
        assert flags() == before, "between blocks, the flags are the caller's"
    assert probe.seen == [expected] * 3


def test_wrapped_separators_keep_what_is_allowed() -> None:
    probe, before = Probe("cuda", allow_tf32=True), flags()
    for _ in TwoStems(probe, "a").stream(torch.zeros(2, 3)):
        assert flags() == before
    assert probe.seen == [FAST] * 3
    preset = Preset(name="mine", title="Mine", parts={"a": Part(method="hpss", weights={"vocals": 1})})
    ensemble = EnsembleSeparator(preset, {"a": create("hpss")}, options=EnsembleOptions(combine="mean"))
    ensemble.allow_tf32 = True
    configured = ensemble.at(sample_rate=8000, channels=2)
    assert configured is not ensemble
    assert configured.allow_tf32


def test_separators_on_a_cpu_leave_them_alone() -> None:
    probe, before = Probe("cpu", allow_tf32=False), flags()
    assert probe.separate(torch.zeros(2, 3)).shape == (1, 2, 3)
    assert probe.seen == [before] * 3
