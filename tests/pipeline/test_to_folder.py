"""Stems on disk: the folder, result.json, and nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from separation.audio.signal import Audio
from separation.pipeline.result import SeparationProgress
from separation.pipeline.to_folder import separate_to_folder
from separation.separators import create
from tests.conftest import snr
from tests.pipeline.helpers import GAINS, Copies, noise, read_stem, separate, sound


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, hidden or not: files with their content, folders with None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_progress_steps_end_with_the_result(tmp_path: Path) -> None:
    steps = list(separate_to_folder(sound(96000), Copies(), tmp_path / "song", name="song.wav"))
    stages = [step.stage for step in steps]
    blocks = 5  # 22,053 frames at 44.1 kHz
    assert stages == ["separating"] * (blocks + 1) + ["writing", "done"]
    assert [step.segment for step in steps] == [0, 1, 2, 3, 4, 5, 5, 5]
    assert {step.segments for step in steps} == {blocks}
    assert steps[0].seconds_left is None
    assert all(step.seconds_left is not None and step.seconds_left >= 0 for step in steps[1:])
    assert [step.result is None for step in steps] == [True] * (len(steps) - 1) + [False]


def test_result_json_has_all_fields(tmp_path: Path) -> None:
    audio = sound(48000)
    folder = tmp_path / "song" / "copies"
    result = separate(audio, Copies(note="I only copy."), folder, origin={"command": "python", "start": 1.5})
    card = json.loads((folder / "result.json").read_text())
    seconds = card["seconds"]
    assert 0 < seconds < 60
    assert card == {
        "input": "song.wav",
        "method": "copies",
        "model": "copies-1",
        "stems": {source: f"{source}.wav" for source in Copies.sources},
        "sample_rate": 48000,
        "channels": 2,
        "frames": audio.frames,
        "residual_db": result.residual_db,
        "gain_db": 0.0,
        "seconds": seconds,
        "real_time_factor": pytest.approx(seconds / audio.duration, abs=1e-2),
        "device": "cpu",
        "warnings": ["I only copy."],
        "input_sha256": hashlib.sha256(audio.waveform.T.numpy().tobytes()).hexdigest(),
        "duration": pytest.approx(audio.duration, abs=1e-6),
        "model_sha256": "0123456789abcdef",
        "options": {},
        "versions": card["versions"],
        "sum_to_mixture": False,
        "command": "python",
        "start": 1.5,
    }
    assert {"python", "torch", "numpy", "soundfile"} <= card["versions"].keys()
    assert result.card == folder / "result.json"
    document = json.loads(json.dumps(result.document(), allow_nan=False))
    assert document["stems"] == {source: str(folder / f"{source}.wav") for source in Copies.sources}
    assert document["card"] == str(folder / "result.json")
    for key in document.keys() - {"stems", "card"}:
        assert document[key] == card[key]


def test_result_json_records_the_options_of_the_method(tmp_path: Path) -> None:
    separate(noise(), create("ica", options={"seed": "3", "contrast": "cube"}), tmp_path / "ica")
    options = json.loads((tmp_path / "ica" / "result.json").read_text())["options"]
    assert options == {"components": None, "contrast": "cube", "seed": 3, "tolerance": 1e-4, "max_iterations": 200}


FORMATS: list[tuple[str, bool, str, str]] = [
    ("wav", False, "WAV", "PCM_24"),
    ("wav", True, "WAV", "FLOAT"),
    ("flac", False, "FLAC", "PCM_24"),
    ("ogg", False, "OGG", "VORBIS"),
    ("mp3", False, "MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize(("format", "float32", "container", "subtype"), FORMATS)
def test_the_residual_is_computed_from_the_written_files(
    format: str, float32: bool, container: str, subtype: str, rate: int, tmp_path: Path
) -> None:
    """Whatever a lossy format adds counts: the sum is taken over what others will read."""
    audio = sound(rate)
    gains = (0.4, 0.3, 0.2, 0.09) if format in ("wav", "flac") else GAINS  # lossless: leave 1 % of the amplitude
    result = separate(audio, Copies(gains=gains), tmp_path / "stems", format=format, float32=float32)
    stems = {source: read_stem(path) for source, path in result.stems.items()}
    for source, stem in stems.items():
        path = tmp_path / "stems" / f"{source}.{format}"
        assert result.stems[source] == path
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.samplerate) == (container, subtype, rate)
        assert stem.shape == audio.waveform.shape
    left = audio.waveform.double() - sum(stems.values())
    expected = 10 * math.log10(float(left.square().sum() / audio.waveform.double().square().sum()))
    assert result.residual_db == pytest.approx(expected, abs=0.01)
    if format in ("wav", "flac"):
        assert result.residual_db == pytest.approx(-40, abs=0.1)
    else:
        assert -60 < expected < -10


def test_the_residual_covers_the_whole_signal(tmp_path: Path) -> None:
    """Files are read back 65,536 frames at a time, and the mixture must go along."""
    result = separate(noise(150_000), Copies(gains=(0.4, 0.3, 0.2, 0.09), block=40_000), tmp_path / "stems")
    assert result.residual_db == pytest.approx(-40, abs=0.1)


def test_the_residual_of_surround_sound_uses_its_downmix(tmp_path: Path) -> None:
    result = separate(sound(channels=6, peak=0.2), Copies(), tmp_path / "stems")
    assert result.channels == 2
    assert result.residual_db is not None and result.residual_db < -90


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_clipping_stems_are_lowered_by_a_common_gain(format: str, tmp_path: Path) -> None:
    audio = sound(peak=3.0)
    gains = (0.9, 0.45, 0.3, 0.15)
    result = separate(audio, Copies(gains=gains), tmp_path / "stems", format=format)
    stems = torch.stack([read_stem(path) for path in result.stems.values()])
    assert 0.9999 < stems.abs().max() < 1
    gain = 10 ** (result.gain_db / 20)
    assert result.gain_db == pytest.approx(20 * math.log10(1 / (0.9 * 3)), abs=0.001)
    for own, stem in zip(gains, stems, strict=True):
        assert snr(stem, gain * own * audio.waveform) > 80  # and so the ratios between them are kept
    left = audio.waveform.double() - stems.sum(0)  # as written
    expected = 10 * math.log10(float(left.square().sum() / audio.waveform.double().square().sum()))
    assert result.residual_db == pytest.approx(expected, abs=0.01)


def test_the_common_gain_follows_the_loudest_stem(tmp_path: Path) -> None:
    """Also when the peak comes in the last block, after the others have been taken."""
    audio = noise()
    audio.waveform[1, -1] = 5.0
    result = separate(audio, Copies(gains=(0.1, 0.2, 0.3, 0.4)), tmp_path / "stems")
    assert result.gain_db == pytest.approx(-20 * math.log10(2), abs=0.001)
    assert read_stem(result.stems["other"])[1, -1] == pytest.approx(1, abs=1e-4)


def test_float_files_are_never_scaled(tmp_path: Path) -> None:
    audio = sound(peak=3.0)
    result = separate(audio, Copies(), tmp_path / "stems", float32=True)
    assert result.gain_db == 0
    for gain, path in zip(GAINS, result.stems.values(), strict=True):
        assert torch.equal(read_stem(path).float(), gain * audio.waveform)


def test_only_the_chosen_stems_are_written(tmp_path: Path) -> None:
    audio = sound()
    result = separate(audio, Copies(), tmp_path / "stems", stems=["other", "vocals", "other"])
    assert list(result.stems) == ["vocals", "other"]  # in the method's order
    assert sorted(contents(tmp_path / "stems")) == ["other.wav", "result.json", "vocals.wav"]
    assert snr(read_stem(result.stems["other"]), 0.1 * audio.waveform) > 80
    assert result.residual_db == pytest.approx(20 * math.log10(0.5), abs=0.01)  # the others are missing in the sum


def test_the_common_gain_follows_the_chosen_stems_only(tmp_path: Path) -> None:
    result = separate(sound(peak=3.0), Copies(gains=(0.9, 0.1, 0.1, 0.1)), tmp_path / "stems", stems=["bass"])
    assert result.gain_db == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"stems": ["vocals", "flute"]}, "unknown stem 'flute'; this method gives vocals, drums, bass, other"),
        ({"stems": []}, "no stems chosen"),
        ({"format": "aac"}, "not as 'aac'"),
        ({"format": "flac", "float32": True}, "needs WAV"),
    ],
)
def test_invalid_options_are_refused_before_any_work(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    steps = separate_to_folder(sound(), Copies(failure=AssertionError()), tmp_path / "a" / "b", name="song", **more)
    with pytest.raises(ValueError, match=message):
        next(steps)
    assert contents(tmp_path) == {}


def test_unknown_layouts_give_a_warning_if_they_affect_the_result(tmp_path: Path) -> None:
    told = "does not name the speakers of its 4 channels"
    with pytest.warns(UserWarning, match=told):
        result = separate(noise(channels=4), Copies(), tmp_path / "mixed")
    assert told in result.warnings[0]
    assert separate(noise(channels=4), create("mix"), tmp_path / "as it is").warnings == []
    known = replace(noise(channels=4), speakers=("FL", "FR", "FC", "BC"))
    assert separate(known, Copies(), tmp_path / "known").warnings == []


@pytest.mark.filterwarnings("ignore:.*does not name the speakers")
def test_mp3_cannot_hold_six_channels(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose wav or flac"):
        separate(noise(channels=6), create("mix"), tmp_path / "stems", format="mp3")
    separate(noise(channels=6), Copies(), tmp_path / "stems", format="mp3")  # mixed down to two before


@pytest.mark.parametrize("steps", range(7))
def test_stopping_after_any_step_leaves_nothing(steps: int, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    work = separate_to_folder(sound(), Copies(), tmp_path / "out" / "song" / "copies", name="song.wav")
    for _ in range(steps):
        assert next(work).stage != "done"
    work.close()
    assert contents(tmp_path) == {"out": None}


@pytest.mark.parametrize(
    "failure", [ValueError("bad"), OSError(errno.EIO, "bad"), RuntimeError("bad"), KeyboardInterrupt(), SystemExit(143)]
)
def test_an_error_leaves_nothing(failure: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(failure)):
        separate(sound(), Copies(failure=failure), tmp_path / "song" / "copies")
    assert contents(tmp_path) == {}


def test_an_error_keeps_an_earlier_result(tmp_path: Path) -> None:
    folder = tmp_path / "song" / "copies"
    separate(sound(), Copies(), folder)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="bad"):
        separate(sound(), Copies(failure=ValueError("bad")), folder, format="flac")
    work = separate_to_folder(sound(), Copies(), folder, name="song.wav")
    next(work)
    next(work)
    work.close()
    assert contents(tmp_path) == before


def test_an_error_keeps_files_created_meanwhile(tmp_path: Path) -> None:
    work = separate_to_folder(sound(), Copies(), tmp_path / "song" / "copies", name="song.wav")
    next(work)
    separate(sound(), create("mix"), tmp_path / "song" / "mix")
    work.close()
    assert [path.name for path in (tmp_path / "song").iterdir()] == ["mix"]


def test_success_replaces_an_earlier_result_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "song" / "copies"
    separate(sound(), Copies(), folder)
    before = contents(folder)
    work = separate_to_folder(sound(), Copies(), folder, name="song.wav", format="flac")
    while next(work).stage != "writing":
        assert contents(folder) == before  # until everything is there
    next(work)
    stems = [f"song/copies/{source}.flac" for source in Copies.sources]
    assert sorted(contents(tmp_path)) == sorted(["song", "song/copies", *stems, "song/copies/result.json"])


def test_a_folder_that_cannot_be_created_leaves_no_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.mkdir

    def fail(self: Path, *arguments: Any, **more: Any) -> None:
        if self.name.startswith(".copies"):
            raise OSError(errno.ENOSPC, "no space")
        real(self, *arguments, **more)

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(OSError, match="no space"):
        separate(sound(), Copies(), tmp_path / "a" / "b" / "copies")
    assert contents(tmp_path) == {}


def test_a_file_in_the_place_of_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "copies").write_text("mine")
    with pytest.raises(OSError, match="would replace a file"):
        separate(sound(), Copies(), tmp_path / "copies")
    with pytest.raises(OSError):
        separate(sound(), Copies(), tmp_path / "copies" / "below")
    assert contents(tmp_path) == {"copies": b"mine"}


def test_folders_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    separate(sound(), Copies(), tmp_path / "song")
    assert (tmp_path / "song").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("method", ["write", "close"])
def test_a_full_disk_leaves_nothing(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = getattr(soundfile.SoundFile, method)

    def fail(self: soundfile.SoundFile, *arguments: Any) -> None:
        calls.append(method)
        real(self, *arguments)
        if len(calls) == 6:
            raise soundfile.LibsndfileError(2, "")

    monkeypatch.setattr(soundfile.SoundFile, method, fail)
    with pytest.raises(OSError) as caught:
        separate(sound(), Copies(), tmp_path / "song" / "copies")
    assert caught.value.errno == errno.ENOSPC
    assert contents(tmp_path) == {}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """Makes file systems of so many kilobytes."""
    place = tmp_path / "disk"
    place.mkdir()

    def unmount() -> None:
        subprocess.run(["umount", str(place)], check=True, capture_output=True)

    def mount(kilobytes: int) -> Path:
        if place.is_mount():
            unmount()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip("only root can make a small disk")
        return place

    try:
        yield mount
    finally:
        if place.is_mount():
            unmount()


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_a_full_disk_leaves_a_complete_result_or_none(format: str, small_disk: Any, tmp_path: Path) -> None:
    """libsndfile reports a full disk in several ways, and for the end of a FLAC not at all."""
    audio = noise(11025)
    whole = separate(audio, Copies(), tmp_path / "song", format=format)
    expected = {path.name: path.stat().st_size for path in whole.stems.values()}
    drafts = 4 * 2 * 4 * audio.frames // 1024
    everything = drafts + sum(expected.values()) // 1024
    sizes = [4, 8, 40, drafts - 20, *range(everything * 3 // 4, everything + 60, 12)]
    outcomes = set()
    for kilobytes in sizes:
        disk = small_disk(kilobytes)
        try:
            result = separate(audio, Copies(), disk / "a" / "song", format=format)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            assert contents(disk) == {}
            outcomes.add("nothing")
        else:
            assert {path.name: path.stat().st_size for path in result.stems.values()} == expected
            assert result.residual_db == whole.residual_db
            outcomes.add("all")
    assert outcomes == {"nothing", "all"}


@pytest.mark.parametrize("method", ["mix", "hpss", "ica"])
@pytest.mark.parametrize("channels", [1, 2])
def test_silence_stays_silence(method: str, channels: int, tmp_path: Path) -> None:
    silence = Audio(waveform=torch.zeros(channels, 20000), sample_rate=44100)
    result = separate(silence, create(method), tmp_path / "stems")
    for path in result.stems.values():
        stem = read_stem(path)
        assert stem.shape == (channels, 20000)
        assert not stem.any()
    assert (result.residual_db, result.gain_db) == (None, 0.0)
    assert '"residual_db": null' in result.card.read_text()


def test_a_single_sample_is_accepted_by_mix_and_refused_by_others(tmp_path: Path) -> None:
    tick = Audio(waveform=torch.tensor([[0.5], [-0.25]]), sample_rate=44100)
    result = separate(tick, create("mix"), tmp_path / "mix")
    assert torch.equal(read_stem(result.stems["bass"]), torch.tensor([[0.125], [-0.0625]], dtype=torch.float64))
    for method in ("hpss", "ica"):
        with pytest.raises(ValueError, match=f"too short: {method} needs at least"):
            separate(tick, create(method), tmp_path / method)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mix"]


def test_result_json_keeps_names_that_are_not_unicode(tmp_path: Path) -> None:
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    *_, last = separate_to_folder(sound(), Copies(), tmp_path / "song", name=name)
    assert isinstance(last, SeparationProgress)
    assert json.loads((tmp_path / "song" / "result.json").read_text(encoding="utf-8"))["input"] == name


def test_the_hash_covers_the_audio_and_not_the_file(tmp_path: Path) -> None:
    hashes = set()
    for audio in (sound(), sound(), noise()):
        result = separate(audio, Copies(), tmp_path / "song")
        hashes.add(json.loads(result.card.read_text())["input_sha256"])
    assert len(hashes) == 2


def test_a_warning_of_the_method_reaches_the_result(tmp_path: Path) -> None:
    result = separate(noise(channels=1), create("ica"), tmp_path / "ica")
    assert result.warnings == ["One channel has only one component: there is nothing to separate."]
    assert np.isfinite(read_stem(result.stems["component 1"]).numpy()).all()
