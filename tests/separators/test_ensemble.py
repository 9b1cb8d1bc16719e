"""Ensembles: combination, cascades, memory and the contract of `Separator`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from separation.audio.signal import Signal, TensorSignal
from separation.models.open_unmix import OpenUnmix
from separation.pipeline.run import run
from separation.separators import create
from separation.separators.base import Separator, SpectrogramSeparator
from separation.separators.ensemble import EnsembleOptions, EnsembleSeparator
from separation.separators.lazy_stems import LazyStem, LazyStems
from separation.separators.level import levelled, master
from separation.separators.presets import Part, Preset
from separation.sources import SOURCES
from separation.spectral.stft import StftConfig, istft, stft
from separation.spectral.wiener import wiener
from tests.conftest import snr
from tests.models.helpers import randomise
from tests.separators.helpers import write_model


class Gains(Separator):
    """Every source is the mixture times a gain, in blocks of an odd size; remembers how far it has read."""

    name = "mix"

    def __init__(self, gains: dict[str, float], *, block: int = 1000, sample_rate: int = 44100) -> None:
        super().__init__()
        self.gains, self.block, self.position = gains, block, 0
        self.sources, self.sample_rate = tuple(gains), sample_rate

    def _stream(self, mixture: Signal) -> Iterator[Tensor]:
        for start in range(0, mixture.frames, self.block):
            self.position = min(start + self.block, mixture.frames)
            x = mixture.read(start, self.position)
            yield torch.stack([gain * x for gain in self.gains.values()])


def ensemble(parts: dict[str, tuple[Separator, Part]], **options: object) -> EnsembleSeparator:
    preset = Preset(name="mine", title="Mine", parts={name: part for name, (_, part) in parts.items()})
    separators = {name: separator for name, (separator, _) in parts.items()}
    return EnsembleSeparator(preset, separators, options=EnsembleOptions(**options))  # type: ignore[arg-type]


@pytest.fixture
def mixture(excerpt: dict[str, Tensor]) -> Tensor:
    """2 s of music without a DC offset, which the sources would share."""
    return excerpt["mixture"] - excerpt["mixture"].mean(1, keepdim=True)


def test_the_mean_is_weighted_per_source(mixture: Tensor) -> None:
    first = Gains({"bass": 0.5, "vocals": 1.0}), Part(method="mix", weights={"vocals": 3, "bass": 1})
    second = Gains({"vocals": 0.2}, block=777), Part(method="mix", weights={"vocals": 1})
    separator = ensemble({"a": first, "b": second}, combine="mean")
    assert separator.sources == ("vocals", "bass")
    stems = separator.separate(mixture)
    torch.testing.assert_close(stems[0], mixture * (3 * 1.0 + 0.2) / 4, rtol=0, atol=1e-6)
    torch.testing.assert_close(stems[1], mixture * 0.5, rtol=0, atol=1e-6)


def test_a_part_can_take_a_stem_of_another_as_input(mixture: Tensor) -> None:
    first = Gains({"vocals": 0.5, "accompaniment": 0.25}), Part(method="mix", weights={"vocals": 1})
    second = Gains({"drums": 0.5}, block=4321), Part(method="mix", weights={"drums": 1}, input="a.accompaniment")
    stems = ensemble({"a": first, "b": second}, combine="mean").separate(mixture)
    torch.testing.assert_close(stems, torch.stack([mixture * 0.5, mixture * 0.125]), rtol=0, atol=1e-6)


def test_the_wiener_filter_uses_the_mean_magnitudes(mixture: Tensor) -> None:
    weights = {"vocals": 1.0, "bass": 2.0}
    first = Gains({"vocals": 0.9, "bass": 0.1}), Part(method="mix", weights=weights)
    second = Gains({"vocals": 0.3, "bass": 0.7}), Part(method="mix", weights={"bass": 1.0})
    stems = ensemble({"a": first, "b": second}, window=20).separate(mixture)
    X = stft(mixture, StftConfig())
    magnitudes = torch.stack([0.9 * X.abs(), (2 * 0.1 + 0.7) / 3 * X.abs()])
    expected = istft(wiener(magnitudes, X, iterations=1, window=20), StftConfig(), length=mixture.shape[1])
    assert snr(stems, expected) > 90
    assert snr(stems.sum(0), mixture) > 40, "the stems sum to the mixture but for the noise that the filter assumes"


def test_what_no_part_claims_is_shared_out(mixture: Tensor) -> None:
    part = Part(method="mix", weights={"vocals": 1, "bass": 1})
    stems = ensemble({"a": (Gains({"vocals": 0.0, "bass": 0.0}), part)}).separate(mixture)
    assert snr(stems.sum(0), mixture) > 10  # 0 dB if it were lost
    torch.testing.assert_close(stems[0], stems[1])


@pytest.fixture(scope="module")
def tiny_preset(tiny_models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The structure of best-offline with tiny networks."""
    path = tmp_path_factory.mktemp("presets") / "tiny.toml"
    shape = {"max_bin": 700, "hidden_size": 16}
    networks = {name: randomise(OpenUnmix(n_bins=2049, **shape), seed) for seed, name in enumerate(SOURCES)}
    folder = write_model(
        path.parent / "open-unmix", "open-unmix", networks, {"n_fft": 4096, "hop_length": 1024, **shape}
    )
    spleeter, open_unmix = json.dumps(tiny_models["spleeter"]), json.dumps(str(folder))
    path.write_text(f"""
window = 20
[parts.spleeter]
method = "spleeter"
model = {spleeter}
options = {{ mask_extension = "average" }}
weights = {{ vocals = 1 }}
[parts.mixture]
method = "open-unmix"
model = {open_unmix}
options = {{ iterations = 0 }}
weights = {{ drums = 1, bass = 1, other = 1 }}
[parts.rest]
method = "open-unmix"
model = {open_unmix}
input = "spleeter.other"
options = {{ iterations = 0 }}
weights = {{ drums = 1, bass = 1, other = 1 }}
""")
    return str(path)


def test_parts_can_share_a_separator(tiny_preset: str, mixture: Tensor) -> None:
    separator = create(tiny_preset, device="cpu")
    assert isinstance(separator, EnsembleSeparator)
    assert separator.parts["mixture"] is separator.parts["rest"]
    open_unmix, spleeter = separator.parts["mixture"], separator.parts["spleeter"]
    assert isinstance(open_unmix, SpectrogramSeparator)
    mixture = levelled(TensorSignal(mixture), master(TensorSignal(mixture))).read(0, mixture.shape[1])
    stems = separator.separate(mixture)
    first_pass = spleeter.separate(mixture)
    inputs = (mixture, first_pass[spleeter.sources.index("other")])
    with torch.inference_mode():
        Y = [torch.cat(list(open_unmix.stream_spectrograms(TensorSignal(x))), dim=-1).abs() for x in inputs]
    V = (Y[0] + Y[1]) / 2
    V[0] = stft(first_pass[0], separator.stft).abs()
    X = stft(mixture, separator.stft)
    V = torch.maximum(V, 0.01 * X.abs())
    expected = istft(wiener(V, X, iterations=1, window=20), separator.stft, length=mixture.shape[1])
    assert snr(stems, expected) > 60


def test_an_ensemble_fulfils_the_separator_contract(tiny_preset: str, mixture: Tensor) -> None:
    separator = create(tiny_preset, device="cpu")
    assert (separator.name, separator.channels, separator.sources) == ("tiny", 2, ("vocals", "drums", "bass", "other"))
    assert separator.model == "spleeter + open-unmix"
    assert separator.at(sample_rate=8000, channels=1) is separator
    before = mixture.clone()
    blocks = list(separator.stream(mixture))
    assert len(blocks) == separator.segments(mixture.shape[1]) > 1
    stems = torch.cat(blocks, dim=-1)
    assert stems.shape == (4, *mixture.shape)
    assert torch.equal(mixture, before)
    assert torch.equal(separator.separate(mixture), stems)
    silence = separator.separate(torch.zeros(2, 44100))
    assert silence.abs().max() < 1e-6
    short = separator.separate(mixture[:, : separator.min_frames])
    assert short.shape[-1] == separator.min_frames
    assert short.isfinite().all()
    with pytest.raises(ValueError, match="too short: tiny needs at least"):
        separator.separate(mixture[:, : separator.min_frames - 1])


@pytest.mark.parametrize("decibels", [-80, -40, 6])
def test_stems_scale_with_the_mixture(tiny_preset: str, mixture: Tensor, decibels: float) -> None:
    separator, gain = create(tiny_preset, device="cpu"), 10 ** (decibels / 20)
    reference = mixture / mixture.square().mean().sqrt() * 2  # outside the range of levels that is kept
    assert snr(separator.separate(reference * gain) / gain, separator.separate(reference)) > 60


def test_any_sample_rate_and_number_of_channels(tiny_preset: str, mixture: Tensor) -> None:
    from separation.audio.signal import Audio

    audio = Audio(waveform=mixture[:1].clone(), sample_rate=22050)
    stems = torch.cat(list(run(create(tiny_preset, device="cpu"), audio)), dim=-1)
    assert stems.shape == (4, 1, mixture.shape[1])
    assert stems.isfinite().all()


def test_methods_of_any_sample_rate_use_that_of_the_song(tmp_path: Path) -> None:
    (tmp_path / "classical.toml").write_text(
        'combine = "mean"\n[parts.a]\nmethod = "hpss"\nweights = { drums = 1 }\n'
        '[parts.b]\nmethod = "mix"\nweights = { drums = 1 }\n'
    )
    separator = create(str(tmp_path / "classical.toml")).at(sample_rate=8000, channels=1)
    assert separator.sample_rate == 8000
    assert separator.name == "classical"
    stems = separator.separate(torch.rand(1, 8000, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert stems.shape == (1, 1, 8000)


def test_parts_of_different_sample_rates_are_refused() -> None:
    parts: dict[str, tuple[Separator, Part]] = {
        rate: (Gains({"vocals": 1.0}, sample_rate=int(rate)), Part(method="mix", weights={"vocals": 1}))
        for rate in ("8000", "44100")
    }
    with pytest.raises(ValueError, match="different sample rates: 8000, 44100"):
        ensemble(parts)


def test_a_wiener_filter_of_one_source_is_refused(mixture: Tensor) -> None:
    """It would give that source the whole mixture."""
    parts: dict[str, tuple[Separator, Part]] = {
        name: (Gains({"vocals": 0.5}), Part(method="mix", weights={"vocals": 1})) for name in ("one", "other")
    }
    with pytest.raises(ValueError, match="mine: the Wiener filter needs two sources or more"):
        ensemble(parts)
    for options in ({"combine": "mean"}, {"iterations": 0}):
        (vocals,) = ensemble(parts, **options).separate(mixture)
        torch.testing.assert_close(vocals, 0.5 * mixture, atol=1e-5, rtol=0)


def test_stems_are_computed_lazily(mixture: Tensor) -> None:
    separator = Gains({"vocals": 0.5, "bass": 2.0})
    stems = LazyStems(separator.stream(mixture), [1], channels=2, frames=mixture.shape[1])
    assert separator.position == 0
    torch.testing.assert_close(stems.read(100, 1500)[0], 2 * mixture[:, 100:1500])
    assert separator.position == 2000
    torch.testing.assert_close(LazyStem(stems, 0).read(0, 300), 2 * mixture[:, :300])
    assert separator.position == 2000, "what was computed is kept"
    stems.close()


def test_the_first_block_does_not_wait_for_the_whole_song(mixture: Tensor) -> None:
    part = Gains({"vocals": 0.5, "drums": 0.5})
    separator = ensemble({"a": (part, Part(method="mix", weights={"vocals": 1, "drums": 1}))}, window=10)
    next(separator.stream(mixture))
    assert part.position < mixture.shape[1] / 2


def test_the_model_hash_depends_on_the_weights_of_the_parts(tiny_preset: str) -> None:
    text = Path(tiny_preset).read_text()
    other = Path(tiny_preset).with_name("other.toml")
    other.write_text(text.replace("vocals = 1", "vocals = 2"))
    assert create(str(other)).model_hash != create(tiny_preset).model_hash


def test_temporary_files_are_closed_when_a_separation_is_aborted(
    mixture: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = Mock()
    monkeypatch.setattr(LazyStems, "close", closed)
    part = Part(method="mix", weights={"vocals": 1, "drums": 1})
    separator = ensemble({"a": (Gains({"vocals": 0.5, "drums": 0.5}), part)})
    blocks = separator.stream(mixture)
    next(blocks)
    assert not closed.called
    blocks.close()  # type: ignore[attr-defined]  # a generator
    assert closed.call_count == 1
