"""Precisions: their accuracy with the bundled models, and where they are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchaudio.models import HDemucs

from separation.models import onednn
from separation.models.demucs import Demucs
from separation.models.onednn_demucs import OneDnnDemucs
from separation.models.onednn_hybrid_demucs import OneDnnHybridDemucs
from separation.separators import create
from separation.separators.precision import _PlainEstimator, apply_precision, check_precision, waveform_estimator
from tests.conftest import snr
from tests.models.helpers import NO_BFLOAT16, loud_lstm, randomise

CPU = torch.device("cpu")
BF16 = pytest.mark.skipif(not onednn.has_bfloat16(), reason=NO_BFLOAT16)
ONEDNN = pytest.mark.skipif(not onednn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture(scope="module")
def music(song: Tensor) -> Tensor:
    return song[:, 44100 : 4 * 44100]


@ONEDNN
@pytest.mark.parametrize(
    ("method", "precision", "least"),
    [
        pytest.param("demucs", "bf16", 30, marks=BF16),
        pytest.param("open-unmix", "bf16", 30, marks=BF16),
    ],
)
def test_bundled_models_are_accurate_enough_in_lower_precision(
    music: Tensor, method: str, precision: str, least: float
) -> None:
    exact = create(method, device="cpu").separate(music)
    assert torch.equal(create(method, device="cpu", precision="fp32").separate(music), exact)
    stems = create(method, device="cpu", precision=precision).separate(music)
    assert stems.dtype == torch.float32
    assert least < snr(stems, exact) < 100, "too inaccurate, or the precision had no effect"


@ONEDNN
@pytest.mark.parametrize(("precision", "least"), [("fp32", 100), pytest.param("bf16", 25, marks=BF16)])
def test_the_lstm_of_demucs_runs_in_the_precision(precision: str, least: float) -> None:
    network = loud_lstm(Demucs(("a", "b"), channels=6, depth=3, resample=False))
    mixture = torch.randn(2, network.valid_length(4000), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(mixture[None])[0]
    (estimate,) = waveform_estimator(copy.deepcopy(network), OneDnnDemucs, precision, CPU)([mixture])
    assert snr(estimate, expected) > least
    assert precision == "fp32" or snr(estimate, expected) < 80


def test_unknown_and_unsupported_precisions_are_refused() -> None:
    with pytest.raises(ValueError, match="must be one of auto, fp32, tf32, bf16, got 'fp8'"):
        create("demucs", device="cpu", precision="fp8")
    with pytest.raises(ValueError, match="hpss has no network, so that --precision does not apply"):
        create("hpss", precision="bf16")
    assert check_precision("auto", CPU) == "fp32"


def test_tf32_is_refused_elsewhere_than_on_nvidia_gpus() -> None:
    with pytest.raises(ValueError, match="TF32 is arithmetic of NVIDIA GPUs, not of cpu: use precision fp32"):
        create("demucs", device="cpu", precision="tf32")
    assert check_precision("tf32", torch.device("cuda")) == "tf32"


def test_bfloat16_is_refused_for_convolutions() -> None:
    with pytest.raises(ValueError, match="spleeter has convolutions only, which are not computed in bfloat16"):
        create("spleeter", device="cpu", precision="bf16")
    if onednn.has_bfloat16():  # its part with recurrent layers uses it
        create("fast", device="cpu", precision="bf16")


def test_bfloat16_is_refused_on_a_cpu_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "is_available", lambda: False)
    with pytest.raises(ValueError, match="this CPU has no bfloat16 arithmetic: use precision fp32"):
        check_precision("bf16", CPU)


def test_without_onednn_demucs_runs_as_a_plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = randomise(Demucs(("a", "b"), channels=4, depth=3))
    mixtures = [torch.randn(2, network.valid_length(length)) for length in (500, 500, 900)]
    assert_runs_unconverted(network, OneDnnDemucs, mixtures, monkeypatch)


def test_without_onednn_hybrid_demucs_runs_as_a_plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network = HDemucs(["a", "b"], channels=4, nfft=1024, depth=5).eval()
    assert_runs_unconverted(
        network, OneDnnHybridDemucs, [torch.randn(2, length) for length in (9000, 9000, 9999)], monkeypatch
    )


def assert_runs_unconverted(
    network: Any, converted: Any, mixtures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "is_available", lambda: False)
    estimator = waveform_estimator(network, converted, "auto", CPU)
    assert not isinstance(estimator, converted)
    for batch in (mixtures[:2], mixtures):
        for estimate, mixture in zip(estimator(batch), batch, strict=True):
            with torch.inference_mode():
                assert snr(estimate, network(mixture[None])[0]) > 100


@ONEDNN
@pytest.mark.parametrize(("precision", "least"), [pytest.param("bf16", 30, marks=BF16)])
def test_only_large_layers_are_converted(precision: str, least: float) -> None:
    network: Any = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.LSTM(4, 4)), nn.Tanh()).eval()
    x = torch.randn(5, 3)
    expected = network[1](network[0](x))[0]
    changed: Any = apply_precision(copy.deepcopy(network), precision, CPU)
    with torch.inference_mode():
        assert least < snr(changed[1](changed[0](x)[:, None])[0][:, 0], expected) < 100


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_a_batch_is_halved_until_the_memory_suffices(most: int) -> None:
    sizes: list[int] = []

    class Small(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > most:
                raise torch.OutOfMemoryError("out of memory")
            sizes.append(len(x))
            return x[:, None] * 2

    mixtures = [torch.full((2, 5), float(number)) for number in range(8)] + [torch.full((2, 3), 8.0)]
    estimates = _PlainEstimator(Small(), False, CPU)(mixtures)
    for estimate, mixture in zip(estimates, mixtures, strict=True):
        assert torch.equal(estimate, mixture[None] * 2)
    assert max(sizes) <= most
    assert sum(sizes) == 9


def test_a_single_segment_that_does_not_fit_is_an_error() -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        _PlainEstimator(Never(), False, CPU)([torch.zeros(2, 5)])
