"""The oneDNN layers and networks against torch's."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import julius
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.models import HDemucs

from separation.models import onednn
from separation.models.demucs import Demucs
from separation.models.htdemucs import HTDemucs
from separation.models.onednn import LSTM, Linear, LinearGLU, Resampling, split_kernel, split_transposed
from separation.models.onednn_demucs import OneDnnDemucs
from separation.models.onednn_htdemucs import OneDnnHTDemucs
from separation.models.onednn_hybrid_demucs import OneDnnHybridDemucs
from tests.conftest import snr
from tests.models.helpers import NO_BFLOAT16, loud_lstm, with_active_branches

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="this torch has no oneDNN")


FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16
DTYPES = [FLOAT32, pytest.param(BFLOAT16, marks=pytest.mark.skipif(not onednn.has_bfloat16(), reason=NO_BFLOAT16))]
LEAST = {FLOAT32: 110, BFLOAT16: 35}  # dB; bfloat16 has 8 bits of mantissa
ROWS = [2048, 100]  # of a block; the inputs below fit into one of 2048


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
@pytest.mark.parametrize("dtype", DTYPES)
def test_matrix_products_and_fused_operations(dtype: torch.dtype) -> None:
    weight, bias, x, other = noise(6, 5), noise(6, seed=1), noise(3, 7, 5, seed=2), noise(3, 7, 6, seed=3)
    product = F.linear(x, weight, bias)
    linear, x = Linear(weight, bias, dtype), x.to(dtype)
    for activation, function in {
        "none": nn.Identity(),
        "relu": nn.ReLU(),
        "sigmoid": nn.Sigmoid(),
        "gelu": nn.GELU(),
    }.items():
        output = linear(x, activation)
        assert output.dtype == dtype
        assert snr(output, function(product)) > LEAST[dtype]
    assert snr(linear.fused_add(x, other.to(dtype)), product + other) > LEAST[dtype]
    assert snr(linear.fused_mul(x, other.to(dtype)), product * other) > LEAST[dtype]
    assert snr(LinearGLU(weight, bias, dtype)(x), F.glu(product)) > LEAST[dtype]


@torch.inference_mode()
def test_strided_convolutions_are_two_products_of_rows() -> None:
    shorten, lengthen = nn.Conv1d(3, 5, 8, 4), nn.ConvTranspose1d(3, 5, 8, 4)
    x = noise(20, 3)
    this, following = split_kernel(shorten.weight, shorten.bias, 4, FLOAT32)  # type: ignore[arg-type]
    rows = x.view(5, 12)
    assert snr(following.fused_add(rows[1:], this(rows[:-1])), shorten(x.T[None])[0].T) > 110

    this, before = split_transposed(lengthen.weight, lengthen.bias, 4, FLOAT32)  # type: ignore[arg-type]
    padded = F.pad(x, (0, 0, 1, 1))
    rows = before.fused_add(padded[:-1], this(padded[1:]))
    assert snr(rows.view(-1, 5), lengthen(x.T[None])[0].T) > 110


@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 1), (3, 2)])
def test_resampling_equals_julius(old: int, new: int) -> None:
    for length in (1, 2, 63, 64, 129, 1000, 1001):
        x = noise(2, length) + 1
        expected = julius.resample_frac(x, old, new)
        resampled = Resampling(old, new)(x)
        assert resampled.shape == expected.shape
        if expected.numel():
            assert snr(resampled, expected) > 110


@torch.inference_mode()
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("narrow", [True, False])
def test_sequences_of_different_length_are_independent_in_the_lstm(
    narrow: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LSTM, "min_wide", 1024 if narrow else 1)
    torch.manual_seed(0)
    lstm = nn.LSTM(6, 10, num_layers=2, bidirectional=True)
    for parameter in lstm.parameters():
        parameter.data *= 3  # give it a memory
    sequences = [noise(length, 6, seed=length) for length in (30, 41, 7, 41)]
    least = 100 if dtype == FLOAT32 else 25
    for output, sequence in zip(LSTM(lstm, dtype)([x.to(dtype) for x in sequences]), sequences, strict=True):
        assert output.dtype == dtype
        assert snr(output, lstm(sequence)[0]) > least


@torch.inference_mode()
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize(
    ("channels", "depth", "resample", "rows"), [(6, 3, False, 2048), (6, 3, False, 16), (5, 4, True, 100)]
)
def test_onednn_demucs_equals_demucs(
    channels: int,
    depth: int,
    resample: bool,
    rows: int,
    narrow: bool,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onednn.blocks, "__defaults__", (rows,))  # many blocks and few
    monkeypatch.setattr(LSTM, "min_wide", 1024 if narrow else 1)
    network = loud_lstm(Demucs(("a", "b", "c"), channels=channels, depth=depth, resample=resample))
    converted, least = OneDnnDemucs(network, dtype), 100 if dtype == FLOAT32 else 25
    mixtures = [noise(2, network.valid_length(length), seed=length) for length in (4001, 1, 2999)]
    mixtures.append(noise(2, network.valid_length(3000) + 3))  # not a multiple of the stride
    copies = [mixture.clone() for mixture in mixtures]
    for mixture, before, estimate in zip(mixtures, copies, converted(mixtures), strict=True):
        expected = network(mixture[None])[0]
        assert estimate.shape == expected.shape
        assert estimate.dtype == FLOAT32
        assert snr(estimate, expected) > least
        assert torch.equal(mixture, before)


@torch.inference_mode()
def test_the_lstm_of_these_tests_changes_the_output() -> None:
    network = loud_lstm(Demucs(("a", "b", "c"), channels=6, depth=3, resample=False))
    mixture = noise(1, 2, network.valid_length(2000))
    reference = network(mixture)
    for parameter in network.lstm.lstm.parameters():
        parameter.data *= 0.99
    assert snr(network(mixture), reference) < 80


def assert_equal_in_blocks(
    convert: Any, network: nn.Module, mixtures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that a converted network equals the original in all precisions and sizes of its blocks."""
    expected = [network(mixture[None])[0] for mixture in mixtures]
    dtypes = [FLOAT32, BFLOAT16] if onednn.has_bfloat16() else [FLOAT32]
    for rows, dtype in itertools.product(ROWS, dtypes):
        monkeypatch.setattr(onednn.blocks, "__defaults__", (rows,))
        monkeypatch.setattr("separation.models.onednn_hybrid_layers.ROWS", rows)
        monkeypatch.setattr("separation.models.onednn_htdemucs.QUERIES", rows // 20)
        for estimate, wanted in zip(convert(copy.deepcopy(network), dtype)(mixtures), expected, strict=True):
            assert estimate.shape == wanted.shape
            assert snr(estimate, wanted) > (100 if dtype == FLOAT32 else 30), (rows, dtype)


@torch.inference_mode()
@pytest.mark.parametrize(
    "shape",
    [
        {"nfft": 1024, "depth": 3, "dconv_mode": 3, "t_layers": 3, "t_heads": 2, "bottom_channels": 24},
        {"t_layers": 2, "t_cross_first": True, "dconv_mode": 1},
        {"nfft": 1024, "depth": 2, "dconv_mode": 2, "t_layers": 1, "freq_emb": 0.0},
    ],
    ids=["all parts", "cross first", "decoder branches only"],
)
def test_onednn_htdemucs_equals_htdemucs(shape: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = with_active_branches(
        HTDemucs(["a", "b", "c"], **{"channels": 8, "segment_length": 22050} | shape), strength=2
    )
    network.keep_source("b")
    mixtures = [0.3 * noise(2, 22050) + 0.05, 0.1 * noise(2, 17001, seed=1)]
    assert_equal_in_blocks(OneDnnHTDemucs, network, mixtures, monkeypatch)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("shape", "length"),
    [
        ({"nfft": 1024, "depth": 5}, 30001),
        ({"nfft": 4096, "depth": 6}, 40000),
        ({"nfft": 4096, "depth": 6, "freq_emb": 0.0, "channels": 12}, 10240),
        ({"nfft": 4096, "depth": 6, "norm_starts": 2}, 20000),
    ],
)
def test_onednn_hybrid_demucs_equals_torchaudios(
    shape: dict[str, int], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = with_active_branches(HDemucs(["a", "b", "c"], **({"channels": 8} | shape)), strength=2)
    mixtures = [0.3 * noise(2, length) + 0.05, 0.1 * noise(2, length - 777, seed=1)]
    assert_equal_in_blocks(OneDnnHybridDemucs, network, mixtures, monkeypatch)


@torch.inference_mode()
def test_a_large_offset_before_a_norm_costs_no_accuracy() -> None:
    """The variance of the norm is computed from covariances, which a common offset must not dominate."""
    torch.manual_seed(0)
    network = with_active_branches(HDemucs(["a", "b"], channels=8, nfft=1024, depth=5), strength=2)
    for encoder in (network.freq_encoder, network.time_encoder):
        for layer in encoder[:3]:
            for branch in layer.dconv.layers:
                branch[3].bias.data += 100
    mixture = noise(2, 20000)
    (estimate,) = OneDnnHybridDemucs(copy.deepcopy(network))([mixture])
    assert snr(estimate, network(mixture[None])[0]) > 70
