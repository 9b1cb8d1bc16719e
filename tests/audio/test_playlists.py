"""Playlists dressed up as audio open no other file."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from separation.audio.files import read
from separation.audio.stream import AudioError
from tests.audio.helpers import (
    FRAMES,
    chord,
    encode,
    refusal_message,
    write_soundfile,
)

HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n"


PLAYLISTS = {
    "hls": HLS,
    "hls master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=99999\n{target}\n",
    "m3u": "#EXTM3U\n#EXTINF:9,Song\n{target}\n",
    "ffconcat": "ffconcat version 1.0\nfile {target}\n",
    "xspf": '<?xml version="1.0"?><playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track>'
    "<location>{target}</location></track></trackList></playlist>",
    "pls": "[playlist]\nFile1={target}\nNumberOfEntries=1\nVersion=2\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="audio/wav"><Representation id="1" '
    'bandwidth="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
}


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
