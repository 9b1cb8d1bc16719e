"""BS-RoFormer and Mel-Band RoFormer, against upstream's package and librosa's mel filter bank."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any
from unittest.mock import patch

import bs_roformer
import librosa
import numpy as np
import pytest
import torch
from bs_roformer import bs_roformer as upstream
from bs_roformer import mel_band_roformer as upstream_mel
from torch import Tensor, nn

from separation.models import onednn
from separation.models.onednn_roformer import OneDnnRoformer
from separation.models.roformer import BANDS, Roformer, mel_bands, split_bands
from separation.weights.catalogue import list_models
from tests.conftest import snr
from tests.models.helpers import randomise

SMALL: dict[str, Any] = {"dim": 32, "depth": 2, "heads": 2, "dim_head": 16}
SPLIT = split_bands(BANDS)
MEL = mel_bands(60, n_fft=2048, sample_rate=44100)


def upstream_network(kind: str, shape: dict[str, Any], *, n_channels: int, n_stems: int) -> nn.Module:
    """Upstream's network; the pinned version has no argument for the width of its mask estimators, but a default."""
    shape = dict(shape)
    expansion = shape.pop("mask_expansion", 4)
    constructor = bs_roformer.MelBandRoformer if kind == "mel" else bs_roformer.BSRoformer
    more = {"num_bands": 60} if kind == "mel" else {}
    torch.manual_seed(0)
    module = upstream_mel if kind == "mel" else upstream
    with patch.object(module, "MaskEstimator", partial(module.MaskEstimator, mlp_expansion_factor=expansion)):
        network = constructor(
            **shape,
            **more,
            stereo=n_channels == 2,
            num_stems=n_stems,
            time_transformer_depth=1,
            freq_transformer_depth=1,
            stft_hop_length=441,
            mask_estimator_depth=2,
        )
    with torch.no_grad():  # so that no norm, bias or rotary frequency keeps its initial value
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network.eval()


def own_network(kind: str, shape: dict[str, Any], *, n_channels: int, n_stems: int) -> Roformer:
    mel = kind == "mel"
    layers = 2 if mel else 1  # upstream's band-split variant counts one layer more
    bands = MEL if mel else SPLIT
    return Roformer(bands, **shape, mask_layers=layers, norm_each=mel, n_channels=n_channels, n_stems=n_stems).eval()


@torch.inference_mode()
def agreement(kind: str, shape: dict[str, Any], mixture: Tensor, n_stems: int) -> float:
    theirs = upstream_network(kind, shape, n_channels=mixture.shape[0], n_stems=n_stems)
    network = own_network(kind, shape, n_channels=mixture.shape[0], n_stems=n_stems)
    network.load_state_dict(theirs.state_dict())
    expected = theirs(mixture[None]).reshape(n_stems, *mixture.shape)
    plain = network(mixture[None])[0]
    return min(snr(expected, plain), snr(expected, OneDnnRoformer(network)([mixture])[0]))


@pytest.mark.parametrize("kind", ["split", "mel"])
@pytest.mark.parametrize(("n_channels", "n_stems"), [(2, 3), (2, 1), (1, 2)])
def test_the_networks_equal_upstreams(kind: str, n_channels: int, n_stems: int) -> None:
    mixture = 0.1 * torch.randn(n_channels, 441 * 50, generator=torch.Generator().manual_seed(1))
    assert agreement(kind, SMALL, mixture, n_stems) > 100


@pytest.mark.skipif(not onednn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("kind", ["split", "mel"])
@pytest.mark.parametrize(
    "shape",
    [{}, {"time_depth": 2, "band_depth": 3}, {"heads": 1, "dim_head": 6, "mask_layers": 0}, {"mask_expansion": 1}],
    ids=["usual", "deep", "one head", "narrow"],
)
def test_onednn_roformer_equals_roformer(kind: str, shape: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("separation.models.onednn_roformer.ROWS", 700)  # several blocks of frames
    mel = kind == "mel"
    network = randomise(Roformer(MEL if mel else SPLIT, **(SMALL | shape), norm_each=mel, n_stems=2))
    mixture = 0.1 * torch.randn(2, 441 * 50, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(mixture[None])[0]
    dtypes = [torch.float32, torch.bfloat16] if onednn.has_bfloat16() else [torch.float32]
    for dtype in dtypes:
        original = copy.deepcopy(network)
        for stems in OneDnnRoformer(original, dtype)([mixture, mixture]):  # type: ignore[arg-type]
            assert stems.dtype == torch.float32
            assert snr(expected, stems) > (100 if dtype == torch.float32 else 25), dtype
        assert not list(original.parameters()), "the weights are freed"


@pytest.mark.parametrize("kind", ["split", "mel"])
def test_narrow_mask_estimators_equal_upstreams(kind: str) -> None:
    mixture = 0.1 * torch.randn(2, 441 * 50, generator=torch.Generator().manual_seed(1))
    assert agreement(kind, SMALL | {"mask_expansion": 2}, mixture, 2) > 100


# Slow: networks of 500 and 600 MB, and their copies. The tests above compare small ones.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["roformer-4stems", "roformer-vocals"])
def test_the_models_of_the_catalogue_equal_upstreams(name: str) -> None:
    (model,) = (model for model in list_models() if model.name == name)
    shape = {"heads": 8, "dim_head": 64} | model.architecture
    n_stems = shape.pop("n_stems", 1)
    network = own_network("split", shape, n_channels=2, n_stems=n_stems)
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == model.parameters
    mixture = 0.1 * torch.randn(2, 441 * 60, generator=torch.Generator().manual_seed(1))
    assert agreement("split", shape, mixture, n_stems) > 100


@pytest.mark.slow  # a network of 400 MB and its copies
def test_the_published_shape_of_mel_band_roformer_equals_upstreams() -> None:
    mixture = 0.1 * torch.randn(2, 441 * 200, generator=torch.Generator().manual_seed(1))
    assert agreement("mel", {"dim": 384, "depth": 6, "heads": 8, "dim_head": 64}, mixture, 1) > 100


@pytest.mark.parametrize("n_bands", [40, 60])
@pytest.mark.parametrize("sample_rate", [44100, 48000])
def test_mel_bands_are_where_librosas_filters_are_positive(n_bands: int, sample_rate: int) -> None:
    filters = librosa.filters.mel(sr=sample_rate, n_fft=2048, n_mels=n_bands)
    filters[0, 0] = filters[-1, -1] = 1
    expected = [np.flatnonzero(row > 0).tolist() for row in filters]
    assert mel_bands(n_bands, n_fft=2048, sample_rate=sample_rate) == expected


def test_too_many_mel_bands_for_the_resolution_are_refused() -> None:
    with pytest.raises(ValueError, match="do not cover"):
        mel_bands(400, n_fft=2048, sample_rate=44100)


@pytest.mark.parametrize("bands", [SPLIT[:-1], [*SPLIT, [1025]]], ids=["a bin missing", "a bin too many"])
def test_bands_that_do_not_fit_the_bins_are_refused(bands: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="do not cover"):
        Roformer(bands, **SMALL)


def test_the_output_has_the_length_of_the_input() -> None:
    network = own_network("split", SMALL, n_channels=2, n_stems=2)
    with torch.inference_mode():
        assert network(torch.zeros(1, 2, 5001)).shape == (1, 2, 2, 5001)
