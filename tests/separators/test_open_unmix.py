"""Open-Unmix on music with random weights, against upstream's separator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openunmix.model
import openunmix.utils
import pytest
import torch
from torch import Tensor

from separation.audio.files import read
from separation.models.open_unmix import OpenUnmix
from separation.separators import create
from separation.separators.open_unmix import OpenUnmixOptions
from separation.sources import SOURCES
from separation.weights.catalogue import find_model
from separation.weights.state_dict import CheckpointError
from tests.conftest import snr
from tests.models.helpers import randomise
from tests.separators.helpers import write_model

RATE = 44100


@pytest.fixture(scope="module", params=["real song", "sample track"])
def music(request: pytest.FixtureRequest) -> Tensor:
    if request.param == "real song":
        return request.getfixturevalue("real_song").waveform
    return read(request.getfixturevalue("sample") / "mixture.flac").waveform


def networks(hidden_size: int = 16, count: int = 4, **shape: Any) -> dict[str, openunmix.model.OpenUnmix]:
    """Return upstream's networks with random weights."""
    shape = {"nb_bins": 2049, "max_bin": 1487, "nb_channels": 2} | shape
    return {
        name: randomise(openunmix.model.OpenUnmix(hidden_size=hidden_size, **shape), seed)
        for seed, name in enumerate(SOURCES[:count])
    }


@torch.inference_mode()
def upstream(targets: dict[str, openunmix.model.OpenUnmix], mixture: Tensor, **options: Any) -> Tensor:
    separator = openunmix.model.Separator(target_models=targets, **options)
    separator.freeze()
    return separator(mixture[None].clone())[0]


def ours(
    folder: Path,
    targets: dict[str, openunmix.model.OpenUnmix],
    mixture: Tensor,
    *,
    channels: int = 2,
    sample_rate: int = RATE,
    shape: dict[str, int] | None = None,
    **options: object,
) -> Tensor:
    any_target = next(iter(targets.values()))
    architecture = {"n_fft": 4096, "hop_length": 1024, "max_bin": 1487} | (shape or {})
    write_model(
        folder,
        "open-unmix",
        targets,
        architecture | {"hidden_size": any_target.hidden_size},
        sources=tuple(targets),
        channels=channels,
        sample_rate=sample_rate,
    )
    return create("open-unmix", model=str(folder), options={"segment": None, "level": "upstream"} | options).separate(
        mixture
    )


def test_stems_without_the_wiener_filter_equal_upstreams(tmp_path: Path, music: Tensor) -> None:
    targets = networks(hidden_size=64)
    mixture = music[:, RATE : 7 * RATE + 17]
    stems = ours(tmp_path, targets, mixture, iterations=0)
    expected = upstream(targets, mixture, niter=0)
    assert stems.shape == expected.shape == (4, *mixture.shape)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem, theirs) >= 80
    assert snr(stems[0], stems[1]) < 20, "all targets are alike"


@pytest.mark.parametrize(
    ("iterations", "residual", "softmask", "count"),
    [
        (1, False, False, 2),
        (1, True, False, 2),
        (1, False, True, 2),
        (1, True, True, 1),
        (2, False, False, 2),
        (2, True, True, 1),
        (0, True, False, 2),
        (0, False, True, 2),
    ],
)
def test_stems_with_the_wiener_filter_equal_upstreams(
    tmp_path: Path, song: Tensor, iterations: int, residual: bool, softmask: bool, count: int
) -> None:
    targets = networks(count=count)
    mixture = song[:, 2 * RATE : 8 * RATE]  # 259 frames
    options: dict[str, Any] = {"residual": residual, "softmask": softmask}
    stems = ours(tmp_path, targets, mixture, iterations=iterations, window=300, **options)
    expected = upstream(targets, mixture, niter=iterations, wiener_win_len=300, **options)
    assert stems.shape == expected.shape == (count + residual, *mixture.shape)
    for stem, theirs in zip(stems, expected, strict=True):
        assert snr(stem, theirs) >= 60  # 106 to 136 dB, but 70 where theirs turns bins that are exactly 0 into 1
    if iterations:  # the filter makes a difference
        assert snr(ours(tmp_path, targets, mixture, iterations=0, **options), expected) < 25


def test_windows_of_the_wiener_filter_equal_upstreams(tmp_path: Path, song: Tensor) -> None:
    targets = networks(count=2)
    mixture = song[:, RATE : 9 * RATE]  # 345 frames: one window of 300 and 45 more
    expected = upstream(targets, mixture, niter=1, wiener_win_len=300)
    for stem, theirs in zip(ours(tmp_path, targets, mixture, window=300), expected, strict=True):
        assert snr(stem, theirs) >= 60
    assert snr(ours(tmp_path, targets, mixture, window=None), expected) < 38
    assert OpenUnmixOptions().window == 300


@pytest.mark.parametrize("iterations", [0, 1])
def test_mono_at_another_rate_equals_upstreams(tmp_path: Path, music: Tensor, iterations: int) -> None:
    """The released speech enhancement models are mono, at 16 kHz."""
    targets = networks(count=2, nb_bins=513, max_bin=513, nb_channels=1)
    mixture = music[:1, RATE : 4 * RATE]
    shape = {"n_fft": 1024, "hop_length": 512, "max_bin": 513}
    stems = ours(tmp_path, targets, mixture, channels=1, sample_rate=16000, shape=shape, iterations=iterations)
    expected = upstream(targets, mixture, niter=iterations, n_fft=1024, n_hop=512, nb_channels=1, sample_rate=16000.0)
    assert snr(stems, expected) >= (60 if iterations else 80)


def test_segments_give_the_same_stems_as_one_pass(tmp_path: Path, song: Tensor) -> None:
    targets = networks(hidden_size=64, count=2)
    mixture = song[:, : 15 * RATE + 1]
    whole = ours(tmp_path, targets, mixture, iterations=0)
    chunked = ours(tmp_path, targets, mixture, iterations=0, segment=4)
    # The frames are aligned with those of the single pass (28 dB if not), and these weights forget within 3 s.
    assert snr(chunked, whole) >= 110
    for start in range(0, mixture.shape[1] - RATE // 2, RATE // 2):  # also where segments meet
        part = slice(start, start + RATE // 2)
        assert snr(chunked[..., part], whole[..., part]) >= 100, start


@pytest.mark.parametrize("seconds", [0.1, 2.0, 2.1, 3.5])
def test_signals_of_any_length_are_separated_in_segments(tmp_path: Path, song: Tensor, seconds: float) -> None:
    targets = networks(count=2)
    mixture = song[:, RATE : RATE + round(seconds * RATE)]
    stems = ours(tmp_path, targets, mixture, iterations=0, segment=2)
    separator = create("open-unmix", model=str(tmp_path), options={"segment": 2, "level": "upstream"})
    assert len(list(separator.stream(mixture))) == separator.segments(mixture.shape[1])
    assert snr(stems, ours(tmp_path, targets, mixture, iterations=0)) >= 100


def test_the_wiener_filter_refuses_a_single_source(tmp_path: Path, song: Tensor) -> None:
    targets = networks(count=1)
    mixture = song[:, RATE : 2 * RATE]
    with pytest.raises(ValueError, match="needs two sources or more: use residual=true or iterations=0"):
        ours(tmp_path, targets, mixture)
    assert ours(tmp_path, targets, mixture, iterations=0).shape == (1, *mixture.shape)
    ours(tmp_path, targets, mixture, residual=True)
    separator = create("open-unmix", model=str(tmp_path), options={"residual": True})
    assert separator.sources == ("vocals", "residual")


def test_with_the_residual_stems_sum_to_the_mixture(tmp_path: Path, song: Tensor) -> None:
    targets = networks(count=2)
    mixture = song[:, 2 * RATE : 4 * RATE]
    stems = ours(tmp_path, targets, mixture, residual=True, iterations=0)
    assert snr(stems.sum(0), mixture) > 100
    assert snr(ours(tmp_path, targets, mixture, residual=True, iterations=1).sum(0), mixture) > 40
    assert snr(ours(tmp_path, targets, mixture, iterations=0).sum(0), mixture) < 20


def write_upstream(
    folder: Path, targets: dict[str, openunmix.model.OpenUnmix], *, hashed: bool = False, rate: float = 44100.0
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    common = {"nfft": 4096, "nhop": 1024, "sample_rate": rate, "nb_channels": 2}
    (folder / "separator.json").write_text(json.dumps(common))
    for name, network in targets.items():
        state = dict(network.state_dict())
        state["sample_rate"] = torch.tensor(44100.0)
        state["stft.window"] = torch.hann_window(4096)
        state["transform.0.window"] = torch.hann_window(4096)
        torch.save(state, folder / (f"{name}-0a1b2c3d.pth" if hashed else f"{name}.pth"))
        torch.save({"epoch": 3, "state_dict": state}, folder / f"{name}.chkpnt")
        args = {"nfft": 4096, "nhop": 1024, "nb_channels": 2, "hidden_size": network.hidden_size, "bandwidth": 16000}
        (folder / f"{name}.json").write_text(json.dumps({"epochs_trained": 3, "args": args, "best_loss": 0.5}))
    return folder


@pytest.mark.parametrize("hashed", [False, True], ids=["vocals.pth", "vocals-0a1b2c3d.pth"])
def test_a_model_folder_of_upstreams_trainer_gives_upstreams_stems(tmp_path: Path, song: Tensor, hashed: bool) -> None:
    targets = networks(count=3)
    folder = write_upstream(tmp_path / "umx-run", targets, hashed=hashed)
    mixture = song[:, 2 * RATE : 5 * RATE]
    separator = create("open-unmix", model=str(folder), options={"segment": None, "level": "upstream"})
    assert separator.sources == ("vocals", "drums", "bass")
    assert separator.model == "umx-run"
    assert (separator.sample_rate, separator.channels) == (44100, 2)
    theirs = openunmix.utils.load_separator(str(folder), targets=list(targets), niter=1, pretrained=True)
    theirs.freeze()
    with torch.inference_mode():
        expected = theirs(mixture[None].clone())[0]
    for stem, other in zip(separator.separate(mixture), expected, strict=True):
        assert snr(stem, other) >= 60
    magnitudes = create(
        "open-unmix", model=str(folder), options={"segment": None, "iterations": 0, "level": "upstream"}
    )
    assert snr(magnitudes.separate(mixture), upstream(targets, mixture, niter=0)) >= 80


def test_targets_whose_names_share_a_prefix_get_their_own_files(tmp_path: Path) -> None:
    targets = dict(zip(("bass", "bass-guitar", "other"), networks(count=3).values(), strict=True))
    model = find_model(str(write_upstream(tmp_path, targets)), method="open-unmix")
    names = {file.source: file.name for file in model.files}
    assert names == {"bass": "bass.pth", "bass-guitar": "bass-guitar.pth", "other": "other.pth"}


def test_an_incomplete_upstream_folder_raises_checkpoint_error(tmp_path: Path) -> None:
    targets = networks(count=2)
    for number, (damage, message) in enumerate(
        [
            (lambda folder: (folder / "drums.pth").unlink(), r"describes the target 'drums' but holds no drums\*\.pth"),
            (lambda folder: (folder / "drums.pth").write_bytes(b""), r"drums\.pth is damaged"),
            (lambda folder: (folder / "vocals.pth").write_bytes(b"junk"), r"vocals\.pth is damaged"),
            (lambda folder: (folder / "separator.json").write_text("{"), r"separator\.json .* is not JSON"),
            (lambda folder: (folder / "separator.json").write_text("[]"), "does not hold a JSON object"),
            (lambda folder: (folder / "separator.json").write_text("{}"), "is not usable: it lacks 'sample_rate'"),
            (lambda folder: (folder / "separator.json").write_bytes(b"\xff\xfe"), "is not JSON"),
            (lambda folder: (folder / "separator.json").unlink(), "holds neither"),
            (lambda folder: (folder / "drums.json").write_text("{}"), "is not usable: it lacks 'args'"),
            (lambda folder: (folder / "drums.json").write_text('{"args": {"hidden_size": "many"}}'), "is not usable"),
            (lambda folder: (folder / "drums.json").write_text('{"args": {"hidden_size": 1e999}}'), "is not usable"),
            (lambda folder: (folder / "drums.json").write_text('{"args": {"hidden_size": 32}}'), "differ in size"),
            (lambda folder: [path.unlink() for path in folder.glob("[vd]*.json")], "holds no target"),
            (lambda folder: torch.save({}, folder / "vocals.pth"), "lacks 'input_mean'"),
            (lambda folder: torch.save({"input_mean": torch.tensor(1.0)}, folder / "vocals.pth"), "is not usable"),
            (lambda folder: torch.save({}, folder / "drums.pth"), r"drums\.pth does not fit .* lacks 'bn1\.bias'"),
        ]
    ):
        folder = write_upstream(tmp_path / str(number), targets)
        damage(folder)
        with pytest.raises(CheckpointError, match=message):
            create("open-unmix", model=str(folder))


def test_our_network_and_upstreams_have_the_same_keys() -> None:
    theirs = next(iter(networks(count=1).values())).state_dict()
    assert list(OpenUnmix(max_bin=1487, hidden_size=16).state_dict()) == list(theirs)
