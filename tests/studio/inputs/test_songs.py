"""Songs, and the visitor's references and estimates."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.audio.limits import Limits
from separation.studio.inputs import songs, uploads
from tests.conftest import SAMPLES
from tests.studio.conftest import short_song

pytestmark = pytest.mark.usefixtures("own_results")
RATE = 44100


def test_a_sample_has_its_true_sources() -> None:
    song = short_song()
    assert song.references is not None
    assert song.audio.frames == 88200
    assert float(abs(song.audio.read(0, song.audio.frames) - sum(song.references.values())).max()) < 2 / 32768


@pytest.mark.parametrize(
    ("kind", "choice", "words"),
    [
        ("upload", None, "Choose a song"),
        ("sample", "no such", "This sample does not exist"),
        ("musdb", "no such", "This MUSDB18 track does not exist"),
        ("upload", "/nowhere/song.wav", "no such file"),
    ],
)
def test_unreadable_songs_are_refused_in_one_sentence(kind: str, choice: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        songs.open_song(kind, choice)
    assert "/nowhere" not in str(caught.value)


def test_an_excerpt_beyond_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="ends at"):
        songs.open_song("sample", next(iter(songs.samples())), start=500)


def test_musdb_tracks_are_listed_if_musdb_root_is_set(musdb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert songs.musdb_tracks() == {}
    songs.musdb_tracks.cache_clear()
    monkeypatch.setenv("MUSDB_ROOT", str(musdb_root))
    names = list(songs.musdb_tracks())
    assert len(names) == 114
    song = songs.open_song("musdb", names[0], start=1, duration=2)
    assert song.audio.frames == 88200
    assert song.references is not None
    assert set(song.references) == {"vocals", "drums", "bass", "other"}


@pytest.mark.parametrize("name", ["nowhere", pytest.param("q" * 300, id="too long a name")])
def test_a_wrong_musdb_root_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MUSDB_ROOT", str(tmp_path / name))
    assert songs.musdb_tracks() == {}


# -- own stems -------------------------------------------------------------------------------------


def stems(folder: Path, *names: str, frames: int = RATE, channels: int = 2, rate: int = RATE) -> list[Path]:
    random = np.random.default_rng(len(names))
    folder.mkdir(exist_ok=True)
    paths = []
    for name in names:
        paths.append(folder / f"{name}.wav")
        soundfile.write(paths[-1], 0.1 * random.standard_normal((frames, channels)), rate, subtype="FLOAT")
    return paths


def zipped(path: Path, members: dict[str, Path]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in members.items():
            archive.write(file, name)
    return str(path)


def test_references_without_a_song_are_summed(tmp_path: Path) -> None:
    files = stems(tmp_path / "own", "vocals", "drums", "mixture")
    song = songs.with_references(None, [str(file) for file in files])
    assert song.references is not None
    assert set(song.references) == {"vocals", "drums"}
    np.testing.assert_array_equal(
        song.audio.read(0, song.audio.frames), song.references["vocals"] + song.references["drums"]
    )


def test_a_zip_equals_its_files_and_excerpts_are_cut(tmp_path: Path) -> None:
    folder = SAMPLES / "night-drive"
    files = {path.stem: path for path in folder.iterdir() if path.suffix in (".flac", ".ogg", ".wav")}
    archive = zipped(tmp_path / "stems.zip", {f"Album/Übung/{path.name}": path for path in files.values()})
    song = songs.open_song("upload", str(files["mixture"]), start=1, duration=2)
    brought = songs.with_references(song, [archive], start=1, duration=2)
    assert brought.references is not None
    assert set(brought.references) == {"vocals", "drums", "bass", "other"}
    assert float(abs(song.audio.read(0, song.audio.frames) - sum(brought.references.values())).max()) < 2 / 32768


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frames": RATE - 1}, "are 0.000023 s shorter than the song"),
        ({"frames": 2 * RATE}, "are 1.00 s longer than the song"),
        ({"channels": 1}, "have 1 channels, but the song has 2"),
        ({"rate": 48000}, "have a sample rate of 48000 Hz, but the song has 44100"),
    ],
)
def test_stems_that_do_not_fit_the_song_are_refused(tmp_path: Path, changes: dict[str, int], words: str) -> None:
    song = songs.with_references(None, [str(path) for path in stems(tmp_path / "song", "vocals", "other")])
    files = [str(path) for path in stems(tmp_path / "own", "vocals", **changes)]
    with pytest.raises(songs.StudioError, match=words):
        songs.with_estimates(song, files)
    with pytest.raises(songs.StudioError, match=words):
        songs.with_references(song, files)


def test_stems_of_different_formats_are_refused(tmp_path: Path) -> None:
    files = stems(tmp_path / "a", "vocals") + stems(tmp_path / "b", "drums", frames=RATE - 7)
    with pytest.raises(ValueError, match=r"'drums' is 0\.000159 s shorter than 'vocals'"):
        uploads.read_stems(files, tmp_path / "x")


def test_source_names_are_case_insensitive(tmp_path: Path) -> None:
    files = stems(tmp_path / "own", "Vocals", "DRUMS", "Mixture")
    (tmp_path / "own" / "._Vocals.wav").write_bytes(b"Mac OS X")
    song = songs.with_references(None, [str(path) for path in (*files, tmp_path / "own" / "._Vocals.wav")])
    assert song.references is not None
    assert set(song.references) == {"vocals", "drums"}
    with pytest.raises(ValueError, match="two files are called 'vocals'"):
        songs.with_references(None, [str(path) for path in (*files, *stems(tmp_path / "more", "vocals"))])


# -- hostile archives ------------------------------------------------------------------------------


def test_names_in_a_zip_never_become_paths(tmp_path: Path) -> None:
    file = stems(tmp_path / "own", "vocals")[0]
    names = {"../../../escaped.wav": file, "/etc/absolute.wav": file, "a\\..\\windows.wav": file}
    found = uploads.unpack([zipped(tmp_path / "evil.zip", names)], tmp_path / "place")
    assert {path.parent for path in found.values()} == {tmp_path / "place"}
    assert not list(tmp_path.rglob("escaped.wav"))
    assert not Path("/etc/absolute.wav").exists()


def test_links_in_a_zip_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "link.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("vocals.wav")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="contains no file that ends in"):
        uploads.unpack([path], tmp_path / "place")


def test_zip_bombs_are_stopped_during_extraction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LIMITS", Limits(decoded_bytes=10_000_000))
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vocals.wav", bytes(30_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match="together the files unpack to more than 10 MB"):
        uploads.unpack([path], tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_many_archives_share_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LIMITS", Limits(decoded_bytes=10_000_000))
    paths = [tmp_path / f"{name}.zip" for name in ("vocals", "drums", "bass")]
    for path in paths:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{path.stem}.wav", bytes(4_000_000))
    assert set(uploads.unpack(paths[:2], tmp_path / "two")) == {"vocals", "drums"}
    with pytest.raises(ValueError, match="together the files unpack to more than 10 MB"):
        uploads.unpack(paths, tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_a_zip_with_thousands_of_entries_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number}.wav", b"")
    with pytest.raises(ValueError, match="more than 64 files"):
        uploads.unpack([path], tmp_path / "place")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"RIFF nonsense"])
def test_a_file_that_is_not_a_zip_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stems.zip"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="contains no file"):
        uploads.unpack([path], tmp_path / "place")


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_leaves_no_files(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "stems.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.write(stems(tmp_path / "own", "vocals")[0], "vocals.wav")
    data = bytearray(path.read_bytes())
    data[1000:2000] = bytes(1000)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"'stems\.zip' is not a ZIP file that can be read"):
        uploads.unpack([path], tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_two_files_of_one_source_are_refused(tmp_path: Path) -> None:
    file = stems(tmp_path / "own", "vocals")[0]
    archive = zipped(tmp_path / "two.zip", {"a/vocals.wav": file, "b/vocals.wav": file})
    with pytest.raises(ValueError, match="two files are called 'vocals'"):
        uploads.unpack([archive], tmp_path / "place")
