"""Playlists dressed up as audio open no other file."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from separation.audio.files import read
from separation.audio.stream import AudioError
from tests.audio.helpers import (
    FRAMES,
    PLAYLISTS,
    chord,
    encode,
    refusal_message,
    write_soundfile,
)


@pytest.mark.parametrize("suffix", [".mp3", ".wav", ".m4a", ".m3u8"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_never_opens_another_file(
    kind: str,
    suffix: str,
    tmp_path: Path,
    listener: tuple[int, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, calls = listener
    monkeypatch.chdir(tmp_path)
    write_soundfile(tmp_path / "other.wav", chord(), "WAV", "PCM_16")
    encode(tmp_path / "other.ts", chord(), container="mpegts", codec="aac")
    places = ["other.wav", "other.ts", str(tmp_path / "other.wav"), f"file://{tmp_path / 'other.ts'}"]
    places += [f"http://127.0.0.1:{port}/other.{kind}" for kind in ("wav", "ts", "m3u8")]
    for place in places:
        path = tmp_path / f"song{suffix}"
        path.write_text(PLAYLISTS[kind].format(target=place, port=port))
        # Not even its demuxer may be tried: it opens the other files before it can be asked what it is.
        assert "files are not supported" not in refusal_message(path)
        with pytest.raises(AudioError):
            read(path.name)  # as the command line names it, from the same folder
    assert calls == []


def test_the_playlists_open_other_files_without_protection(
    tmp_path: Path, listener: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the protections they do what they must not: otherwise the test above proves nothing."""
    port, calls = listener
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "other.ts", chord(), container="mpegts", codec="aac")
    for kind, name in (("ffconcat", "song.mp3"), ("hls", "song.m3u8")):
        Path(name).write_text(PLAYLISTS[kind].format(target="other.ts"))
        with Path(name).open("rb") as file, av.open(file, "r") as container:
            assert sum(block.samples for block in container.decode(audio=0)) > FRAMES
    Path("song.m3u8").write_text(PLAYLISTS["hls"].format(target=f"http://127.0.0.1:{port}/other.ts"))
    with Path("song.m3u8").open("rb") as file, pytest.raises(av.FFmpegError):
        av.open(file, timeout=5)
    assert calls


@pytest.mark.parametrize("name", ["concat:a.wav|b.wav", "subfile,,start,0,end,0,,:a.wav", "crypto:a.wav"])
def test_a_file_name_that_looks_like_a_url_is_a_file_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for other in ("a.wav", "b.wav"):
        write_soundfile(tmp_path / other, chord(), "WAV", "PCM_16")
    with pytest.raises(AudioError, match="no such file"):
        read(name)
    Path(name).write_text("nothing to be heard")
    with pytest.raises(AudioError):
        read(name)
