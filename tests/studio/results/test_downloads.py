"""Files for download."""

from __future__ import annotations

import errno
import json
import math
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch

from separation.audio.signal import Audio
from separation.studio.results import downloads
from separation.studio.results.downloads import export
from tests.studio.conftest import run_session, short_song


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("separation.studio.results.storage.RESULTS", tmp_path_factory.mktemp("results"))
        return run_session(replace(short_song(), references=None), "hpss", "ica").folder


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float64", always_2d=True)[0]


def stems(result: Path) -> dict[str, np.ndarray]:
    return {path.stem: read(path) for path in (result / "hpss").glob("*.wav")}


@pytest.mark.parametrize(
    ("format", "subtype", "tolerance"),
    [("wav16", "PCM_16", 2**-15), ("wav24", "PCM_24", 2**-22), ("wav32", "FLOAT", 1e-6), ("flac", "PCM_24", 2**-22)],
)
def test_the_mix_is_the_sum_of_the_stems_times_their_gains(
    result: Path, format: str, subtype: str, tolerance: float
) -> None:
    gains = {"vocals": 0.5, "drums": 1.0, "bass": 0.0}
    path = export(result, what="mix", method="hpss", format=format, gains=gains)
    assert soundfile.info(path).subtype == subtype
    parts = stems(result)
    np.testing.assert_allclose(read(path), 0.5 * parts["vocals"] + parts["drums"], atol=tolerance)


def test_mixture_and_residual_can_be_downloaded(result: Path) -> None:
    song = read(result / "song" / "mixture.wav")
    whole = export(result, what="mix", method="hpss", format="wav32", gains={"mixture": 1.0})
    np.testing.assert_allclose(read(whole), song, atol=1e-7)
    rest = export(result, what="mix", method="hpss", format="wav32", gains={"residual": 1.0})
    np.testing.assert_allclose(read(rest), song - sum(stems(result).values()), atol=1e-6)
    same = export(result, what="stem:residual", method="hpss", format="wav32")
    np.testing.assert_allclose(read(same), read(rest), atol=1e-6)


def test_a_clipping_mix_is_lowered_as_a_whole(result: Path) -> None:
    loud = dict.fromkeys(stems(result), 4.0)
    limited = read(export(result, what="mix", method="hpss", format="wav24", gains=loud))
    free = read(export(result, what="mix", method="hpss", format="wav32", gains=loud))
    assert np.abs(free).max() > 1
    assert np.abs(limited).max() <= 1
    np.testing.assert_allclose(limited * np.abs(free).max(), free * (1 - 2**-15), atol=1e-5)


def test_one_stem_as_mp3(result: Path) -> None:
    path = export(result, what="stem:drums", method="hpss", format="mp3")
    assert path.suffix == ".mp3"
    heard, wanted = read(path), stems(result)["drums"]
    assert len(heard) == pytest.approx(len(wanted), abs=3000)
    assert np.square(heard).sum() == pytest.approx(np.square(wanted).sum(), rel=0.1)


def test_all_stems_as_zip(result: Path) -> None:
    with zipfile.ZipFile(export(result, what="all", method="hpss", format="flac")) as archive:
        assert set(archive.namelist()) == {"vocals.flac", "drums.flac", "bass.flac", "other.flac", "result.json"}
        assert json.loads(archive.read("result.json"))["method"] == "hpss"


def test_clipping_stems_are_lowered_by_a_common_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("separation.studio.results.storage.RESULTS", tmp_path / "results")
    song = short_song()
    quiet = song.audio.read(0, song.audio.frames) / song.audio.read(0, song.audio.frames).abs().max() / 2
    folder = run_session(replace(song, estimates={"vocals": 4 * quiet, "drums": quiet}), "mix").folder
    with zipfile.ZipFile(export(folder, what="all", method="yours", format="wav24")) as archive:
        archive.extractall(tmp_path)
    loud, soft = (read(tmp_path / f"{name}.wav") for name in ("vocals", "drums"))
    assert np.abs(loud).max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(loud, 4 * soft, atol=1e-6)


def boxes(data: bytes) -> dict[bytes, bytes]:
    found, place = {}, 0
    while place < len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", data[place + 8 : place + 16])[0], 16
        assert name not in found or name == b"trak"
        found[name] = data[place + head : place + size]
        place += size
    return found


def test_a_stem_file_contains_five_named_tracks(result: Path) -> None:
    path = export(result, what="all", method="hpss", format="stem")
    assert path.name.endswith(".stem.mp4")
    names = json.loads(boxes(boxes(boxes(path.read_bytes())[b"moov"])[b"udta"])[b"stem"])
    assert [stem["name"] for stem in names["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    wanted = [read(result / "song" / "mixture.wav")]
    wanted += [stems(result)[name] for name in ("drums", "bass", "other", "vocals")]
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 5
    for number, sound in enumerate(wanted):
        with av.open(str(path)) as container:
            heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=number)], axis=1)
        assert heard.shape[1] == pytest.approx(len(sound), abs=3000)
        assert np.square(heard).sum() == pytest.approx(np.square(sound).sum(), rel=0.1)


def test_a_song_of_six_channels_is_mixed_down_to_its_stereo_stems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The residual is that of the stereo down-mix, in which the rear channels enter at -3 dB."""
    monkeypatch.setattr("separation.studio.results.storage.RESULTS", tmp_path)
    song = short_song()
    stereo = song.audio.read(0, song.audio.frames)
    rear = 0.1 * stereo[:1].roll(100, 1)
    surround = torch.cat([stereo, torch.zeros_like(stereo), rear, rear])
    speakers = ("FL", "FR", "FC", "LFE", "BL", "BR")
    audio = Audio(waveform=surround, sample_rate=song.audio.sample_rate, speakers=speakers)
    folder = run_session(replace(song, audio=audio, references=None), "open-unmix").folder
    rest = read(export(folder, what="stem:residual", method="open-unmix", format="wav32"))
    total = sum(read(path) for path in (folder / "open-unmix").glob("*.wav"))
    np.testing.assert_allclose(rest, (stereo + math.sqrt(0.5) * rear).numpy().T - total, atol=1e-6)
    heard = export(folder, what="mix", method="open-unmix", format="mp3", gains={"mixture": 1.0, "vocals": 1.0})
    assert soundfile.info(heard).channels == 2
    whole = export(folder, what="mix", method="open-unmix", format="wav16", gains={"mixture": 1.0})
    assert soundfile.info(whole).channels == 6


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"what": "mix", "method": "no", "format": "wav16"}, "no finished stems"),
        ({"what": "mix", "method": "hpss", "format": "exe"}, "no format 'exe'"),
        ({"what": "mix", "method": "hpss", "format": "wav16", "gains": {}}, "the mix is silent"),
        ({"what": "mix", "method": "hpss", "format": "wav16", "gains": {"vocals": 9.0}}, "a gain is in 0..4"),
        ({"what": "mix", "method": "hpss", "format": "wav16", "gains": {"vocals": float("nan")}}, "a gain is in 0..4"),
        ({"what": "stem:../../x", "method": "hpss", "format": "wav16"}, "no such stem"),
        ({"what": "everything", "method": "hpss", "format": "wav16"}, "the content must be"),
        ({"what": "all", "method": "ica", "format": "stem"}, "a stem file holds"),
    ],
)
def test_invalid_requests_are_refused(result: Path, order: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        export(result, **order)  # type: ignore[arg-type]


def test_only_the_latest_downloads_are_kept(result: Path) -> None:
    for number in range(downloads.MOST_KEPT + 3):
        last = export(result, what="mix", method="hpss", format="flac", gains={"vocals": 1 + number / 10})
    assert last.is_file()
    assert len(list((result / "kept").iterdir())) == downloads.MOST_KEPT


def test_a_download_that_another_removes_meanwhile_does_not_count(
    result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(result, what="mix", method="hpss", format="flac", gains={"vocals": 1.0})
    stat = Path.stat

    def vanish(path: Path, **more: Any) -> Any:
        if path.parent.name == "kept":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", vanish)
    assert export(result, what="mix", method="hpss", format="flac", gains={"vocals": 1.0}).name.endswith(".flac")


def test_names_of_three_bytes_a_character_are_cut_to_what_a_disk_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("separation.studio.results.storage.RESULTS", tmp_path / "results")
    song = replace(short_song(), name="\u6b4c" * 120 + ".wav", file="\u6b4c" * 120 + ".wav")
    stem = "\u58f0" * 60
    quiet = song.audio.read(0, song.audio.frames) / 4
    folder = run_session(replace(song, estimates={stem: quiet}), "mix").folder
    path = export(folder, what=f"stem:{stem}", method="yours", format="flac")
    assert path.name.startswith("\u6b4c" * 40)
    assert "\u58f0" * 20 in path.name


def test_a_full_disk_leaves_no_partial_files(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set((result / "kept").rglob("*"))

    def full(*_: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(OSError, match="the disk is full"):
        export(result, what="all", method="hpss", format="wav16")
    assert set((result / "kept").rglob("*")) <= before
