"""Two folders of stems as scores see them: which files belong together, and what is said about the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.evaluation.file_signals import FileSignals
from separation.evaluation.folder_scores import open_folders, score_folders

RATE = 8000
MAP = '[targets]\nvocals = ["lead", "choir"]\ndrums = ["kit"]\n'


@pytest.fixture(autouse=True)
def short_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores with filters of 16 taps instead of 512 take no time."""
    monkeypatch.setattr("separation.evaluation.projection.TAPS", 16)


def noise(seed: int, *, frames: int = RATE, channels: int = 2) -> np.ndarray:
    wave: np.ndarray = np.random.default_rng(seed).uniform(-0.2, 0.2, (frames, channels)).astype(np.float32)
    return wave


def write(folder: Path, **stems: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, stem in stems.items():
        soundfile.write(folder / f"{name}.wav", stem, RATE, subtype="FLOAT")
    return folder


def sdr(references: Path, estimates: Path) -> dict[str, float]:
    return {name: scores["SDR"] for name, scores in score_folders(references, estimates)["targets"].items()}


@pytest.mark.parametrize("place", ["track", "set", "root"])
def test_mapped_references_are_sums(place: str, tmp_path: Path) -> None:
    lead, choir, kit = noise(1), noise(2, channels=1), noise(3)
    folder = write(tmp_path / "set" / "test" / "song" / "deep", lead=lead, choir=choir[: RATE // 2], kit=kit).parent
    {"track": folder, "set": folder.parent, "root": folder.parent.parent}[place].joinpath("stems.toml").write_text(MAP)
    vocals = lead.copy()
    vocals[: RATE // 2] += choir[: RATE // 2]
    summed = write(tmp_path / "summed", vocals=vocals, drums=kit)
    estimates = write(tmp_path / "estimates", vocals=0.5 * vocals, drums=0.7 * kit)
    assert sdr(folder, estimates) == pytest.approx(sdr(summed, estimates), abs=1e-3)


def test_files_that_libsndfile_reads_in_part_are_scored_in_full(tmp_path: Path) -> None:
    """Two FLAC files joined to one, and one without a length in its header, as written to a pipe."""
    vocals, drums = noise(1), noise(2)
    references = write(tmp_path / "references", vocals=np.concatenate([vocals, vocals]), drums=np.tile(drums, (2, 1)))
    estimates = write(tmp_path / "estimates")
    for stem, name in ((vocals, "half"), (np.tile(drums, (2, 1)), "drums")):
        soundfile.write(estimates / f"{name}.flac", 0.5 * stem, RATE, subtype="PCM_24")
    half = estimates / "half.flac"
    (estimates / "vocals.flac").write_bytes(2 * half.read_bytes())
    half.unlink()
    piped = bytearray((estimates / "drums.flac").read_bytes())
    piped[21] &= 0xF0  # the number of samples takes 36 bits
    piped[22:26] = bytes(4)
    (estimates / "drums.flac").write_bytes(piped)
    assert sdr(references, estimates) == pytest.approx({"vocals": 6.02, "drums": 6.02}, abs=0.01)


def test_estimates_have_a_map_of_their_own(tmp_path: Path) -> None:
    lead, choir, kit = noise(1), noise(2), noise(3)
    references = write(tmp_path / "references", vocals=lead + choir, drums=kit)
    estimates = write(tmp_path / "song" / "estimates", lead=0.5 * lead, choir=0.5 * choir, kit=0.7 * kit)
    (estimates.parent / "stems.toml").write_text(MAP)
    with pytest.raises(ValueError, match="no target in common"):
        score_folders(references, estimates)
    (estimates / "stems.toml").write_text(MAP)
    assert sdr(references, estimates) == pytest.approx({"drums": 10.46, "vocals": 6.02}, abs=0.01)


def test_a_bad_file_affects_only_its_target(tmp_path: Path) -> None:
    references = write(tmp_path / "references", vocals=noise(1), other=noise(2))
    estimates = write(tmp_path / "estimates", vocals=noise(1), other=noise(2), piano=noise(3))
    (estimates / "piano.wav").write_bytes(b"")
    document = score_folders(references, estimates)
    assert list(document["targets"]) == ["vocals"]
    assert document["failed"] == [{"target": "other", "error": "cannot read 'piano.wav': the file is empty"}]


@pytest.mark.parametrize(("frames", "done"), [(RATE - 5, "padded with silence"), (RATE + 5, "cut")])
def test_estimates_of_another_length_are_noted(frames: int, done: str, tmp_path: Path) -> None:
    references = write(tmp_path / "references", vocals=noise(1))
    estimates = write(tmp_path / "estimates", vocals=noise(1, frames=frames))
    expected = f"'vocals.wav' has {frames} samples where the references have {RATE}: it is {done}"
    assert score_folders(references, estimates)["notes"] == [expected]


def test_references_without_an_estimate_are_part_of_the_accompaniment(tmp_path: Path) -> None:
    references = write(tmp_path / "references", vocals=noise(1), drums=noise(2), bass=noise(3))
    estimates = write(tmp_path / "estimates", vocals=noise(1), accompaniment=noise(2), residual=noise(4))
    document = score_folders(references, estimates)
    assert list(document["targets"]) == ["vocals", "accompaniment"]
    assert document["notes"] == ["the estimate residual has no reference and is left out"]


def test_targets_with_an_estimate_come_first(tmp_path: Path) -> None:
    stems = {"bass": noise(1), "drums": noise(2), "vocals": noise(3)}
    references, estimates = write(tmp_path / "references", **stems), write(tmp_path / "estimates", **stems)
    (estimates / "bass.wav").write_bytes(b"")
    with open_folders(references, estimates) as opened:
        assert opened.targets == ["drums", "vocals", "bass"]
        assert (opened.references.shape, opened.estimates.shape) == ((3, 2, RATE), (2, 2, RATE))
        np.testing.assert_array_equal(opened.estimates.read(5, 9).numpy()[0], stems["drums"][5:9].T)


def test_a_file_that_libsndfile_decodes_with_loss_is_rounded_to_16_bits(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", noise(1), RATE)
    with FileSignals([tmp_path / "a.ogg"], time=RATE + 10) as signals:
        found = signals.read(0, RATE + 10).numpy()[0]
    np.testing.assert_array_equal(found, np.rint(found * 32768) / 32768)
    np.testing.assert_allclose(found[:, :RATE], soundfile.read(tmp_path / "a.ogg")[0].T, atol=2**-15)
    assert not found[:, RATE:].any()


def test_files_of_two_and_three_channels_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "here", a=noise(1), b=noise(1, channels=3))
    with pytest.raises(ValueError, match=r"the files in 'here' differ in channels: \[2, 3\]"):
        FileSignals([folder / "a.wav", folder / "b.wav"], time=RATE)
