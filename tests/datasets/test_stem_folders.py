"""References next to a mixture: how they are found and checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from separation.audio.files import read
from separation.audio.stream import AudioError
from separation.datasets.stem_files import find_stems
from separation.datasets.stem_folders import read_references, references_beside


def write(path: Path, *, frames: int = 1000, level: float = 0.25) -> Path:
    soundfile.write(path, np.full((frames, 2), level), 1000, subtype="PCM_16" if path.suffix != ".ogg" else "VORBIS")
    return path


def test_sources_next_to_a_mixture_are_found(tmp_path: Path) -> None:
    mixture = write(tmp_path / "mixture.wav")
    for name in ("vocals.wav", "drums.flac", "bass.aiff", "mixture.flac", "flute.wav", "other.txt.wav"):
        write(tmp_path / name)
    found = references_beside(mixture)
    assert found is not None
    names = [(source, path.name) for source, (path,) in found.targets.items()]
    assert names == [("vocals", "vocals.wav"), ("drums", "drums.flac"), ("bass", "bass.aiff")]
    assert {path.parent for path in found.files} == {tmp_path}


def test_two_files_for_one_source_are_refused(tmp_path: Path) -> None:
    for name in ("mixture.wav", "vocals.flac", "Vocals.wav"):
        write(tmp_path / "mixture.wav").rename(tmp_path / name)
    with pytest.raises(ValueError, match=r"two files for vocals, 'Vocals\.wav' and 'vocals\.flac'"):
        references_beside(tmp_path / "mixture.wav")


def test_a_file_of_another_name_has_no_references(tmp_path: Path) -> None:
    write(tmp_path / "vocals.wav")
    assert references_beside(write(tmp_path / "song.wav")) is None


def test_a_folder_in_the_place_of_a_reference_is_named(tmp_path: Path) -> None:
    (tmp_path / "vocals.wav").mkdir()
    stems = references_beside(write(tmp_path / "mixture.wav"))
    assert stems is not None
    with pytest.raises(ValueError, match=r"cannot read 'vocals\.wav': not a file"):
        read_references(stems, frames=1000)


def test_the_sample_tracks_have_all_references_and_they_sum_to_the_mixture(sample: Path) -> None:
    mixture = read(sample / "mixture.flac", start=2.0, duration=1.0)
    stems = references_beside(sample / "mixture.flac")
    assert stems is not None
    assert list(stems.targets) == ["vocals", "drums", "bass", "other"]
    references = read_references(stems, frames=mixture.frames, start=2.0, duration=1.0)
    assert list(references) == list(stems.targets)
    left = mixture.waveform - torch.stack(list(references.values())).sum(0)
    assert left.square().sum() < 0.02 * mixture.waveform.square().sum()


def test_references_are_read_for_the_excerpt(tmp_path: Path) -> None:
    ramp = np.arange(-500, 500)[:, None] / 1000
    soundfile.write(tmp_path / "vocals.wav", ramp, 1000, subtype="FLOAT")
    (reference,) = read_references(find_stems(tmp_path), frames=20, start=0.1, duration=0.02).values()
    assert torch.allclose(reference, torch.arange(-400, -380)[None] / 1000)


def test_a_reference_of_another_length_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "vocals.wav")
    with pytest.raises(ValueError, match=r"vocals\.wav has 1000 samples, but the mixture has 1001"):
        read_references(find_stems(tmp_path), frames=1001)
    write(tmp_path / "drums.wav", frames=999)
    with pytest.raises(ValueError, match=r"'drums\.wav' has 999 samples where 'vocals\.wav' has 1000"):
        read_references(find_stems(tmp_path), frames=1000)


def test_a_reference_that_is_not_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocals.wav").write_text("la la la")
    with pytest.raises(AudioError, match=r"vocals\.wav"):
        read_references(find_stems(tmp_path), frames=1000)
