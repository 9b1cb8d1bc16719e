"""BSSEval v4 against museval itself, with the cases that wrong implementations fail."""

from __future__ import annotations

from pathlib import Path

import museval.metrics
import numpy as np
import pytest
import scipy.linalg
import soundfile
import torch
from torch import Tensor

from separation.audio.files import read
from separation.evaluation.bss_eval import Scores, bss_eval
from separation.evaluation.file_signals import FileSignals
from separation.evaluation.projection import TAPS
from separation.evaluation.signals import ArraySignals

NAMES = ("SDR", "ISR", "SIR", "SAR")


def score(references: Tensor, estimates: Tensor, **options: object) -> Scores:
    return bss_eval(ArraySignals(references), ArraySignals(estimates), **options)  # type: ignore[arg-type]


def oracle(
    references: Tensor, estimates: Tensor, window: int = 44100, hop: int = 44100, permute: bool = False
) -> dict[str, np.ndarray]:
    arrays = (signals.double().permute(0, 2, 1).numpy() for signals in (references, estimates))
    *values, order = museval.metrics.bss_eval(*arrays, window=window, hop=hop, compute_permutation=permute)
    return {**dict(zip(NAMES, values, strict=True)), "order": order[:, 0]}


def largest_difference(ours: Scores, theirs: dict[str, np.ndarray]) -> float:
    """In dB, over all frames below 100 dB; the NaNs must be the same."""
    largest = 0.0
    for name in NAMES:
        mine, his = getattr(ours, name).numpy(), theirs[name]
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(his), err_msg=name)
        usual = np.isfinite(his) & (his < 100)
        assert usual.any() or np.isnan(his).all()
        if usual.any():
            largest = max(largest, float(np.abs(mine - his)[usual].max()))
    return largest


def noise(generator: torch.Generator, sources: int = 2, channels: int = 2, time: int = 60000) -> Tensor:
    return torch.randn(sources, channels, time, generator=generator, dtype=torch.float64)


def leaky(references: Tensor, generator: torch.Generator) -> Tensor:
    """Estimates as separators give them: filtered, with others bleeding in and something of their own."""
    smeared = 0.8 * references + 0.15 * references.roll(40, -1)
    hiss = 0.01 * references.std() * noise(generator, *references.shape)
    return smeared + 0.2 * references.sum(0) + hiss


@pytest.fixture(scope="module")
def music() -> Tensor:
    """Two stereo stems, 3 s, rounded to 16 bits as musdb reads: the rounding gives them full rank above 16 kHz."""
    folder = Path(__file__).resolve().parents[2] / "assets" / "samples" / "night-drive"
    stems = [read(folder / f"{name}.ogg", start=4, duration=3).waveform for name in ("vocals", "drums")]
    return torch.round(torch.stack(stems).double() * 32768) / 32768


@pytest.mark.parametrize(("sources", "channels"), [(3, 1), (2, 2)])
def test_scores_of_noise_equal_musevals(generator: torch.Generator, sources: int, channels: int) -> None:
    references = noise(generator, sources, channels, 100000)
    estimates = leaky(references, generator)
    assert largest_difference(score(references, estimates), oracle(references, estimates)) <= 1e-9


@pytest.mark.parametrize("time", [20000, 44100, 44101, 88201, 132300])
def test_scores_of_music_of_any_length_equal_musevals(music: Tensor, generator: torch.Generator, time: int) -> None:
    """Tail of the filters, frames without history, lags across blocks, the last partial second in the fit."""
    references = music[..., :time]
    estimates = leaky(references, generator)
    assert largest_difference(score(references, estimates), oracle(references, estimates)) <= 1e-5


@pytest.mark.slow  # museval takes 8 s for four sources; the tests above compare two and three with it
def test_scores_of_musdb_clips_equal_musevals(musdb_root: Path, generator: torch.Generator) -> None:
    from separation.datasets.musdb18 import tracks
    from separation.separators import create

    track = next(track for track in tracks(musdb_root) if track.subset == "test")
    mixture, stems, _ = track.read()
    references = {name: torch.from_numpy(wave[:, :90000].copy()) for name, wave in stems.items()}
    estimates = create("irm", references=references).separate(torch.from_numpy(mixture[:, :90000].copy()))
    stacked = torch.stack(list(references.values()))
    assert largest_difference(score(stacked, estimates), oracle(stacked, estimates)) <= 1e-5


@pytest.mark.parametrize(("window", "hop"), [(22050, 11025), (30000, 44100), (10**9, 10**9)])
def test_scores_with_other_windows_and_hops_equal_musevals(
    music: Tensor, generator: torch.Generator, window: int, hop: int
) -> None:
    estimates = leaky(music, generator)
    ours = score(music, estimates, window=window, hop=hop)
    assert largest_difference(ours, oracle(music, estimates, window, hop)) <= 1e-5


def spoil_with_antiphase(references: Tensor) -> Tensor:
    references[0, 1, 44100:88200] = -references[0, 0, 44100:88200]
    return references


def spoil_with_silence(references: Tensor) -> Tensor:
    references[1, :, 40000:90000] = 0
    return references


def spoil_with_one_click(references: Tensor) -> Tensor:
    references[1] = 0
    references[1, :, 50000] = torch.tensor([0.7, -0.2])
    return references


def spoil_with_a_dead_channel(references: Tensor) -> Tensor:
    references[1, 0] = 0
    return references


def spoil_with_level(references: Tensor) -> Tensor:
    return references * 1e-6


@pytest.mark.parametrize(
    "spoil",
    [spoil_with_antiphase, spoil_with_silence, spoil_with_one_click, spoil_with_a_dead_channel, spoil_with_level],
)
def test_scores_of_unusual_references_equal_musevals(music: Tensor, generator: torch.Generator, spoil) -> None:  # type: ignore[no-untyped-def]
    references = spoil(music.clone())
    estimates = leaky(references, generator) + 1e-9 * noise(generator, *references.shape)
    assert largest_difference(score(references, estimates), oracle(references, estimates)) <= 1e-5


def test_an_antiphase_frame_is_nan_for_all_sources(music: Tensor, generator: torch.Generator) -> None:
    scores = score(spoil_with_antiphase(music.clone()), leaky(music, generator))
    assert torch.isnan(scores.SIR).tolist() == [[False, True, False]] * 2


def test_a_wholly_silent_source_gives_nan_instead_of_an_error(music: Tensor, generator: torch.Generator) -> None:
    references = music.clone()
    references[1] = 0
    scores = score(references, leaky(music, generator))
    assert all(bool(torch.isnan(getattr(scores, name)).all()) for name in NAMES)


@pytest.mark.parametrize("case", ["mono", "twice the same"])
def test_singular_references_give_the_least_squares_projection(
    music: Tensor, generator: torch.Generator, case: str
) -> None:
    """There museval's filters are undefined; the projection, and with it SAR, is not."""
    excerpt = music[..., 60000:76000]
    references = excerpt[:1, :1].expand(1, 2, -1) if case == "mono" else excerpt[:1, :1].expand(2, 1, -1)
    estimates = leaky(references, generator)
    ours = score(references, estimates)
    delayed = torch.stack(
        [torch.nn.functional.pad(row, (lag, TAPS - 1 - lag)) for row in references.flatten(0, 1) for lag in range(TAPS)]
    )
    gram = (delayed @ delayed.T).numpy()
    padded = torch.nn.functional.pad(estimates, (0, TAPS - 1))
    right = (delayed @ padded[0].T).numpy()
    filters = scipy.linalg.lstsq(gram, right, cond=1e-13, lapack_driver="gelsy")[0]  # five times faster than the SVD
    projected = torch.from_numpy(filters).T @ delayed
    expected = 10 * torch.log10(projected.square().sum() / (padded[0] - projected).square().sum())
    assert abs(float(ours.SAR[0, 0] - expected)) <= 1e-3


def test_unnamed_estimates_are_matched_in_the_best_order(music: Tensor, generator: torch.Generator) -> None:
    references = torch.cat([music[:, :1], noise(generator, 1, 1, music.shape[-1]) * 0.05])
    estimates = leaky(references, generator)[[2, 0, 1]]
    ours, theirs = score(references, estimates, permute=True), oracle(references, estimates, permute=True)
    assert ours.permutation == tuple(theirs["order"]) == (1, 2, 0)
    assert largest_difference(ours, theirs) <= 1e-5


def test_fewer_estimates_than_sources_are_matched(music: Tensor, generator: torch.Generator) -> None:
    references = torch.cat([music[:, :1], noise(generator, 1, 1, music.shape[-1]) * 0.05])
    estimates = leaky(references, generator)
    every = score(references, estimates)
    some = score(references, estimates[[2, 0]], permute=True)
    assert some.permutation == (1, None, 0)
    for name in NAMES:
        assert bool(torch.isnan(getattr(some, name)[1]).all())
        for source in (0, 2):
            torch.testing.assert_close(getattr(some, name)[source], getattr(every, name)[source], rtol=0, atol=1e-7)
    with pytest.raises(ValueError, match="one shape"):
        score(references[:1], estimates[:2])


def test_fewer_named_estimates_belong_to_the_first_sources(music: Tensor, generator: torch.Generator) -> None:
    """The other references are interference all the same."""
    references = torch.cat([music, noise(generator, 1, 2, music.shape[-1]) * 0.05])
    estimates = leaky(references, generator)
    every, some = score(references, estimates), score(references, estimates[:2])
    assert some.permutation == (0, 1, None)
    for name in NAMES:
        assert bool(torch.isnan(getattr(some, name)[2]).all())
        torch.testing.assert_close(getattr(some, name)[:2], getattr(every, name)[:2], rtol=0, atol=1e-7)


def test_scores_of_files_equal_scores_of_arrays(music: Tensor, generator: torch.Generator, tmp_path: Path) -> None:
    estimates = leaky(music, generator).float()
    paths = []
    for name, signals in (("reference", music), ("estimate", estimates)):
        for number, signal in enumerate(signals):
            paths.append(tmp_path / f"{name}{number}.wav")
            soundfile.write(paths[-1], signal.T.numpy(), 44100, subtype="DOUBLE")
    time = music.shape[-1]
    from_files = bss_eval(FileSignals(paths[:2], time=time), FileSignals(paths[2:], time=time))
    from_arrays = score(music, estimates)
    for name in NAMES:
        torch.testing.assert_close(getattr(from_files, name), getattr(from_arrays, name), rtol=0, atol=1e-9)


def test_different_shapes_are_refused(music: Tensor) -> None:
    with pytest.raises(ValueError, match="one shape"):
        score(music, music[..., :-1])
