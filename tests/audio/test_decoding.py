"""Files of every kind come in exactly and whole; hostile and broken ones are refused in one sentence."""

from __future__ import annotations

import errno
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch

from separation.audio.files import read
from separation.audio.signal import Audio
from separation.audio.stream import AudioError
from tests.conftest import snr

RATE = 44100
FRAMES = 12345


def chord(frames: int = FRAMES, channels: int = 2, rate: int = RATE, *, seed: int = 0) -> np.ndarray:
    """(time, channels): tones that any codec keeps, another chord in each channel, with a beginning of its own."""
    time = np.arange(frames)[:, None, None] / rate
    pitch = min(1.0, rate / 16000) * np.array([[293.0 + 71 * c, 640.0 + 97 * c] for c in range(channels)])
    phase = np.random.default_rng(seed).uniform(0, 6, pitch.shape)
    tones: np.ndarray = 0.25 * np.sin(2 * np.pi * pitch * time + phase).sum(-1)
    return tones * np.minimum(1, np.arange(frames)[:, None] / (0.02 * rate))


def quantised(waveform: np.ndarray, bits: int) -> np.ndarray:
    full = 2 ** (bits - 1)
    return np.clip(np.round(waveform * full), -full, full - 1) / full


def encode(
    path: Path | io.RawIOBase,
    waveform: np.ndarray,
    *,
    container: str,
    codec: str,
    sample_format: str = "fltp",
    rate: int = RATE,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write (time, channels) with PyAV."""
    layout = {1: "mono", 2: "stereo"}[waveform.shape[1]]
    target: Any = str(path) if isinstance(path, Path) else path
    with av.open(target, "w", format=container, options=options or {}) as output:
        output.metadata.update(metadata or {})
        stream: Any = output.add_stream(codec, rate=rate, options={"strict": "experimental"})
        stream.layout, stream.format, stream.bit_rate = layout, sample_format, 192000
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(waveform.T.astype(np.float32)), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts = rate, 0
        converter = av.AudioResampler(format=sample_format, layout=layout, rate=rate)
        for converted in [*converter.resample(frame), *converter.resample(None)]:
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))


def lag(signal: np.ndarray, reference: np.ndarray) -> int:
    """By how many samples one follows the other: where their cross-correlation peaks."""
    length = 1 << (len(signal) + len(reference)).bit_length()
    product = np.fft.rfft(signal, length) * np.conj(np.fft.rfft(reference, length))
    peak = int(np.argmax(np.fft.irfft(product, length)))
    return peak if peak < length // 2 else peak - length


def write_soundfile(path: Path, waveform: np.ndarray, format: str, subtype: str, rate: int = RATE) -> None:
    soundfile.write(path, waveform, rate, format=format, subtype=subtype)


def _by_soundfile(format: str, subtype: str) -> Callable[[Path, np.ndarray], None]:
    return lambda path, waveform: write_soundfile(path, waveform, format, subtype)


def _by_pyav(container: str, codec: str, sample_format: str = "fltp") -> Callable[[Path, np.ndarray], None]:
    return lambda path, waveform: encode(path, waveform, container=container, codec=codec, sample_format=sample_format)


def _opus(container: str) -> Callable[[Path, np.ndarray], None]:
    return lambda path, waveform: encode(
        path, waveform, container=container, codec="libopus", sample_format="flt", rate=48000
    )


#: Lossless kinds: how each is written, and with how many bits.
LOSSLESS: dict[str, tuple[Callable[[Path, np.ndarray], None], int]] = {
    "wav-16": (_by_soundfile("WAV", "PCM_16"), 16),
    "wav-24": (_by_soundfile("WAV", "PCM_24"), 24),
    "wav-float": (_by_soundfile("WAV", "FLOAT"), 24),
    "wav-extensible": (_by_soundfile("WAVEX", "PCM_24"), 24),
    "w64": (_by_soundfile("W64", "PCM_24"), 24),
    "rf64": (_by_soundfile("RF64", "PCM_24"), 24),
    "aiff-16": (_by_soundfile("AIFF", "PCM_16"), 16),
    "aiff-24": (_by_soundfile("AIFF", "PCM_24"), 24),
    "flac-16": (_by_soundfile("FLAC", "PCM_16"), 16),
    "flac-24": (_by_soundfile("FLAC", "PCM_24"), 24),
    "au-16": (_by_soundfile("AU", "PCM_16"), 16),
    "caf-16": (_by_soundfile("CAF", "PCM_16"), 16),
    "alac.m4a": (_by_pyav("ipod", "alac", "s16p"), 16),
    "pcm.mov": (_by_pyav("mov", "pcm_s16le", "s16"), 16),
    "flac.mkv": (_by_pyav("matroska", "flac", "s16"), 16),
}

#: Lossy kinds: how each is written, and what comes out of a file of FRAMES samples: at least
#: these, at most so many more (a last, half empty packet), after a delay that the file does not tell.
LOSSY: dict[str, tuple[Callable[[Path, np.ndarray], None], int, int]] = {
    "ogg": (_by_soundfile("OGG", "VORBIS"), 0, 0),
    "mp3": (_by_soundfile("MP3", "MPEG_LAYER_III"), 0, 0),
    "m4a": (_by_pyav("ipod", "aac"), 1024, 0),
    "mp4": (_by_pyav("mp4", "aac"), 1024, 0),
    "aac": (_by_pyav("adts", "aac"), 1024, 1024),
    "vorbis.webm": (_by_pyav("webm", "vorbis"), 1024, 0),
    "opus": (_opus("opus"), 0, 0),
    "opus.ogg": (lambda path, waveform: write_soundfile(path, waveform, "OGG", "OPUS", 48000), 0, 0),
    "opus.webm": (_opus("webm"), 0, 0),
}

EVERY = {kind: made[0] for kind, made in LOSSLESS.items()} | {kind: made[0] for kind, made in LOSSY.items()}


def refused(path: Path, **excerpt: Any) -> str:
    """The message with which a file is refused: one line with its name and nothing of where it lies."""
    with pytest.raises(AudioError) as caught:
        read(path, **excerpt)
    message = str(caught.value)
    assert repr(path.name) in message
    assert str(path.parent) not in message
    assert "\n" not in message
    return message


# -- what comes in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_files_come_in_exactly(kind: str, tmp_path: Path) -> None:
    write, bits = LOSSLESS[kind]
    waveform = quantised(chord(), bits)
    write(tmp_path / kind, waveform)
    audio = read(tmp_path / kind)
    assert (audio.sample_rate, audio.channels, audio.frames) == (RATE, 2, FRAMES)
    assert audio.waveform.dtype == torch.float32
    assert audio.duration == FRAMES / RATE
    np.testing.assert_array_equal(audio.waveform.numpy().T, waveform.astype(np.float32))


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_files_come_in_whole_and_in_time(kind: str, tmp_path: Path) -> None:
    write, surplus, delay = LOSSY[kind]
    rate = 48000 if "opus" in kind else RATE
    waveform = chord(rate=rate)
    write(tmp_path / kind, waveform)
    audio = read(tmp_path / kind)
    assert (audio.sample_rate, audio.channels) == (rate, 2)
    assert delay + FRAMES <= audio.frames <= delay + FRAMES + surplus
    assert lag(audio.waveform[0].numpy(), waveform[:, 0]) == delay
    assert (
        snr(audio.waveform[:, delay : delay + FRAMES], torch.from_numpy(waveform.T.copy())) > 4
    )  # FFmpeg's Vorbis is that coarse


@pytest.mark.parametrize("rate", [8000, 192000])
@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF", "OGG"])
def test_extreme_rates(rate: int, format: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song", chord(rate=rate), rate, format=format)
    audio = read(tmp_path / "song")
    assert (audio.sample_rate, audio.frames) == (rate, FRAMES)


def test_aac_at_8_kilohertz(tmp_path: Path) -> None:
    encode(tmp_path / "song.m4a", chord(rate=8000), container="ipod", codec="aac", rate=8000)
    assert read(tmp_path / "song.m4a").sample_rate == 8000


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_one_to_eight_channels_stay_in_their_order(channels: int, format: str, tmp_path: Path) -> None:
    waveform = quantised(chord(500, channels), 16)
    soundfile.write(tmp_path / "song", waveform, RATE, format=format, subtype="PCM_16")
    np.testing.assert_array_equal(read(tmp_path / "song").waveform.numpy().T, waveform.astype(np.float32))


def test_mono_aac(tmp_path: Path) -> None:
    encode(tmp_path / "song.m4a", chord(channels=1), container="ipod", codec="aac")
    assert read(tmp_path / "song.m4a").channels == 1


def test_float_beyond_full_scale_is_kept(tmp_path: Path) -> None:
    waveform = (6 * chord()).astype(np.float32)
    write_soundfile(tmp_path / "loud.wav", waveform, "WAV", "FLOAT")
    audio = read(tmp_path / "loud.wav")
    assert audio.waveform.abs().max() > 1.5
    np.testing.assert_array_equal(audio.waveform.numpy().T, waveform)


def test_video_beside_the_sound_is_ignored(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as output:
        video: Any = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound: Any = output.add_stream("aac", rate=RATE)
        sound.layout = "stereo"
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for _ in range(5):
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(chord(2048).T.astype(np.float32).copy(), format="fltp", layout="stereo")
        frame.sample_rate = RATE
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    assert read(tmp_path / "clip.mp4").frames >= 2048


# -- excerpts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
def test_an_excerpt_is_that_part_of_the_whole(kind: str, tmp_path: Path) -> None:
    EVERY[kind](tmp_path / kind, chord() + 0.1 * np.random.default_rng(0).standard_normal((FRAMES, 2)))
    whole = read(tmp_path / kind)
    for start, duration in ((0.0, 0.1), (0.05, 0.123), (0.0333, None), (0.1, 9.0)):
        first = round(start * whole.sample_rate)
        last = whole.frames if duration is None else first + round(duration * whole.sample_rate)
        excerpt = read(tmp_path / kind, start=start, duration=duration)
        assert torch.equal(excerpt.waveform, whole.waveform[:, first:last])


@pytest.mark.parametrize("kind", ["wav-16", "flac-16", "mp3", "ogg", "m4a", "opus.webm"])
def test_an_excerpt_beyond_the_end_is_refused(kind: str, tmp_path: Path) -> None:
    EVERY[kind](tmp_path / kind, chord())
    for start in (0.5, 1e9, 1e308):
        assert "the sound ends at 0." in refused(tmp_path / kind, start=start)


def test_the_last_sample_is_an_excerpt_and_the_one_after_it_is_not(tmp_path: Path) -> None:
    waveform = quantised(chord(100), 16)
    write_soundfile(tmp_path / "song.wav", waveform, "WAV", "PCM_16", 1000)
    last = read(tmp_path / "song.wav", start=0.099, duration=1e308)
    np.testing.assert_array_equal(last.waveform.numpy().T, waveform[99:].astype(np.float32))
    refused(tmp_path / "song.wav", start=0.1)


def test_an_excerpt_has_at_least_one_sample(tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "PCM_16")
    assert read(tmp_path / "song.wav", duration=1e-9).frames == 1


@pytest.mark.parametrize("excerpt", [{"start": -0.1}, {"start": float("nan")}, {"duration": 0.0}, {"duration": -1.0}])
def test_impossible_excerpts_are_refused(excerpt: dict[str, Any], tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "PCM_16")
    with pytest.raises(AudioError, match="the excerpt must"):
        read(tmp_path / "song.wav", **excerpt)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["song", "song.mp3", "song.m4a", "song.txt", "song.raw", "song.sd2", "song.m3u8", ".wav", "...wav", "%03d.wav"],
)
@pytest.mark.parametrize("kind", ["wav-16", "pcm.mov", "flac.mkv"])
def test_the_suffix_is_ignored(name: str, kind: str, tmp_path: Path) -> None:
    EVERY[kind](tmp_path / "made", chord())
    (tmp_path / "made").rename(tmp_path / name)
    assert read(tmp_path / name).frames == FRAMES


@pytest.mark.parametrize("kind", ["mp3", "ogg", "flac-16", "m4a", "aac", "opus.webm"])
def test_anything_called_wav_is_read_as_what_it_is(kind: str, tmp_path: Path) -> None:
    EVERY[kind](tmp_path / "song.wav", chord())
    assert read(tmp_path / "song.wav").frames >= FRAMES


@pytest.mark.parametrize("kind", ["wav-16", "m4a"])
@pytest.mark.parametrize(
    "name",
    [
        "Sigur Rós, ágætis 夢の中 🎹.song",
        'it\'s "quoted".song',
        "a" * 250 + ".song",
        "new\nline.song",
        os.fsdecode(b"latin-1 \xe9.song"),
    ],
    ids=["unicode", "quotes", "255 bytes", "line break", "not unicode"],
)
def test_names_of_any_letters_and_length(name: str, kind: str, tmp_path: Path) -> None:
    EVERY[kind](tmp_path / "made", chord())
    (tmp_path / "made").rename(tmp_path / name)
    assert read(tmp_path / name).frames >= FRAMES
    (tmp_path / name).write_text("not sound")
    refused(tmp_path / name)


# -- what is not sound -----------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "song.wav")


def test_a_name_longer_than_the_file_system_has(tmp_path: Path) -> None:
    assert "name" in refused(tmp_path / ("a" * 300 + ".wav"))


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "song.wav").mkdir()
    assert "not a file" in refused(tmp_path / "song.wav")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "song.wav")
    assert "not a file" in refused(tmp_path / "song.wav")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "song.wav").touch()
    assert "empty" in refused(tmp_path / "song.wav")


@pytest.mark.parametrize("name", ["song.wav", "song.mp3", "song.m4a", "song.raw"])
def test_a_text(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("Dear diary, today I made no music.\n" * 99)
    refused(tmp_path / name)


def test_a_picture_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mkv"), "w") as output:
        video: Any = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        output.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        output.mux(video.encode(None))
    assert "no sound" in refused(tmp_path / "clip.mkv")


def test_an_error_of_the_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "PCM_16")

    def fail(self: Path, *mode: Any, **more: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", fail)
    assert "Permission denied" in refused(tmp_path / "song.wav")


MAGIC = [
    b"",
    b"RIFF\xff\xff\0\0WAVEfmt ",
    b"FORM\0\0\xff\xffAIFFCOMM",
    b"fLaC\0\0\0\x22",
    b"OggS\0\x02",
    b"ID3\x04\0\0\0\0\0\x10",
    b"\xff\xfb\x90\x64",  # MP3
    b"\xff\xf1\x50\x80",  # ADTS
    b"\x1aE\xdf\xa3\x84",  # Matroska
    b"\0\0\0\x18ftypM4A ",
    b"caff\0\1\0\0",
]


@pytest.mark.parametrize("magic", MAGIC, ids=repr)
def test_random_bytes_end_in_an_error_or_in_sound(magic: bytes, tmp_path: Path) -> None:
    for seed in range(8):
        for size in (1, 7, 100, 3000, 40000):
            content = magic + np.random.default_rng(seed).bytes(size)
            assert_read_or_refused(tmp_path / "noise.mp3", content)


@pytest.mark.parametrize("kind", EVERY)
def test_damaged_files_end_in_an_error_or_in_sound(kind: str, tmp_path: Path) -> None:
    EVERY[kind](tmp_path / kind, chord(4000))
    whole = (tmp_path / kind).read_bytes()
    generator = np.random.default_rng(3)
    for where in (100, 1000, len(whole)):  # headers most of all
        for _ in range(8):
            damaged = bytearray(whole)
            for place in generator.integers(0, min(where, len(whole)), 6):
                damaged[place] = int(generator.integers(0, 256))
            assert_read_or_refused(tmp_path / kind, bytes(damaged))


def assert_read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        audio = read(path)
    except AudioError as error:
        assert str(path.parent) not in str(error)
    else:
        assert isinstance(audio, Audio)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("format", ["WAV", "AIFF"])
def test_samples_that_are_no_numbers_are_counted(wrong: float, format: str, tmp_path: Path) -> None:
    waveform = chord()
    waveform[[5, 77, 300], 1] = wrong
    write_soundfile(tmp_path / "song", waveform, format, "FLOAT")
    assert "3 of its samples are NaN or infinite" in refused(tmp_path / "song")
    assert read(tmp_path / "song", start=0.01).frames == FRAMES - 441  # the excerpt after them is sound


@pytest.mark.parametrize("format", ["WAV", "AIFF", "OGG"])
def test_a_file_of_no_samples(format: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song", np.zeros((0, 2)), RATE, format=format)
    assert "0 samples" in refused(tmp_path / "song")


def test_nine_channels(tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", np.zeros((100, 9)), "WAV", "PCM_16")
    assert "9 channels" in refused(tmp_path / "song.wav")


def test_libsndfile_formats_off_the_list_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", chord(), RATE, format="MAT5", subtype="DOUBLE")
    assert "MAT5 files are not supported" in refused(tmp_path / "song.wav")


def test_a_codec_nobody_knows(tmp_path: Path) -> None:
    encode(tmp_path / "song.mkv", chord(), container="matroska", codec="flac", sample_format="s16")
    content = (tmp_path / "song.mkv").read_bytes()
    assert content.count(b"A_FLAC") == 1
    (tmp_path / "song.mkv").write_bytes(content.replace(b"A_FLAC", b"A_WHAT"))
    assert "coded in a way that is not known" in refused(tmp_path / "song.mkv")


def test_tags_that_are_not_unicode_are_no_obstacle(tmp_path: Path) -> None:
    encode(tmp_path / "song.m4a", chord(), container="ipod", codec="aac", metadata={"title": "Beyonc#"})
    content = (tmp_path / "song.m4a").read_bytes()
    assert content.count(b"Beyonc#") == 1
    (tmp_path / "song.m4a").write_bytes(content.replace(b"Beyonc#", b"Beyonc\xe9"))
    assert read(tmp_path / "song.m4a").frames >= FRAMES


# -- playlists: files that name other files --------------------------------------------------------


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
        assert "files are not supported" not in refused(path)
        with pytest.raises(AudioError):
            read(path.name)  # as the command line names it, from the same folder
    assert calls == []


def test_the_playlists_above_are_real(
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
def test_a_name_that_is_an_address_is_only_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for other in ("a.wav", "b.wav"):
        write_soundfile(tmp_path / other, chord(), "WAV", "PCM_16")
    with pytest.raises(AudioError, match="no such file"):
        read(name)
    Path(name).write_text("nothing to be heard")
    with pytest.raises(AudioError):
        read(name)


# -- files that end too early ----------------------------------------------------------------------

#: Raw streams of frames, such as recorded broadcasts, do not tell how long they are.
RAW = {"aac"}


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind not in RAW])
def test_a_file_that_was_cut_off_says_so(kind: str, fraction: float, tmp_path: Path) -> None:
    noise = 0.2 * np.random.default_rng(0).standard_normal((60000, 2))
    EVERY[kind](tmp_path / kind, noise)
    whole = (tmp_path / kind).read_bytes()
    assert read(tmp_path / kind).frames >= 60000
    (tmp_path / kind).write_bytes(whole[: int(fraction * len(whole))])
    assert "cut off" in refused(tmp_path / kind)


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov", "default_base_moof+frag_every_frame"])
def test_other_orders_of_an_mp4_file(movflags: str, tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    encode(path, chord(60000), container="mp4", codec="aac", options={"movflags": movflags})
    assert read(path).frames >= 60000
    path.write_bytes(path.read_bytes()[:-5])
    assert "cut off" in refused(path)


def test_something_after_the_end_of_an_mp4_file_is_no_cut(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    encode(path, chord(), container="ipod", codec="aac")
    path.write_bytes(path.read_bytes() + b"TAG" + b"x" * 125)  # as some programs tag whatever they see
    assert read(path).frames >= FRAMES


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.9, 1.0])
def test_a_raw_stream_is_read_as_far_as_it_goes(fraction: float, tmp_path: Path) -> None:
    frames = 60000
    path = tmp_path / "radio.aac"
    encode(path, 0.2 * np.random.default_rng(0).standard_normal((frames, 2)), container="adts", codec="aac")
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    assert read(path).frames == pytest.approx(fraction * frames, abs=6000)


def quiet_then_loud(seconds: float) -> np.ndarray:
    """Noise after silence: the first frames tell nothing about the average bit rate."""
    frames = int(seconds * RATE)
    noise: np.ndarray = 0.3 * np.random.default_rng(0).standard_normal((frames, 2))
    noise[: frames // 2] *= 1e-4
    return noise


@pytest.mark.parametrize("loud_first", [False, True])
def test_a_raw_stream_of_changing_bit_rate_is_whole(loud_first: bool, tmp_path: Path) -> None:
    waveform = quiet_then_loud(3)
    encode(tmp_path / "radio.aac", waveform[::-1] if loud_first else waveform, container="adts", codec="aac")
    assert len(waveform) <= read(tmp_path / "radio.aac").frames <= len(waveform) + 3 * 1024


def without_index(content: bytes) -> bytes:
    """An MP3 as encoders wrote it before there were indexes: without the first frame, which holds it."""
    place = max(content.find(b"Xing"), content.find(b"Info"))
    assert place > 0
    return content[content.index(content[:2], place) :]


@pytest.mark.parametrize("loud_first", [False, True])
@pytest.mark.parametrize("fraction", [1.0, 0.6])
def test_an_mp3_without_an_index_is_read_as_far_as_it_goes(fraction: float, loud_first: bool, tmp_path: Path) -> None:
    """Its length can only be guessed from the first frames, by libsndfile as by FFmpeg, and the guess is no limit."""
    waveform = quiet_then_loud(3)
    path = tmp_path / "old.mp3"
    write_soundfile(path, waveform[::-1] if loud_first else waveform, "MP3", "MPEG_LAYER_III")
    content = without_index(path.read_bytes())
    path.write_bytes(content)
    whole = read(path).frames
    assert len(waveform) <= whole <= len(waveform) + 3 * 1152
    path.write_bytes(content[: int(fraction * len(content))])
    assert fraction < 1 or read(path).frames == whole
    assert 0.1 * whole < read(path).frames <= whole


@pytest.mark.parametrize("count", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_mp3_index_that_lies(count: int, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    write_soundfile(path, chord(), "MP3", "MPEG_LAYER_III")
    content = bytearray(path.read_bytes())
    place = max(content.find(b"Xing"), content.find(b"Info"))
    content[place + 8 : place + 12] = struct.pack(">I", count)
    path.write_bytes(content)
    if count == 0:  # an encoder that could not go back
        assert FRAMES <= read(path).frames <= FRAMES + 3 * 1152
    else:  # hundreds of gigabytes, if it were believed
        assert "cut off" in refused(path)


def test_an_mp3_with_a_large_picture_in_its_tag(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    write_soundfile(path, chord(), "MP3", "MPEG_LAYER_III")
    plain = read(path)
    image = b"\0image/png\0\x03\0" + bytes(300_000)
    picture = b"APIC" + struct.pack(">I", len(image)) + b"\0\0" + image
    length = bytes((len(picture) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + length + picture + path.read_bytes())
    assert torch.equal(read(path).waveform, plain.waveform)
    path.write_bytes(path.read_bytes()[:-1500])
    assert "cut off" in refused(path)


def set_flac_length(content: bytes, frames: int) -> bytes:
    """Change the number of samples in a FLAC's header: 36 bits."""
    changed = bytearray(content)
    changed[21] = changed[21] & 0xF0 | frames >> 32
    changed[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(changed)


def test_a_flac_from_a_pipe_does_not_tell_its_length(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    waveform = quantised(chord(), 16)
    write_soundfile(path, waveform, "FLAC", "PCM_16")
    path.write_bytes(set_flac_length(path.read_bytes(), 0))
    np.testing.assert_array_equal(read(path).waveform.numpy().T, waveform.astype(np.float32))
    excerpt = read(path, start=0.1, duration=0.05)
    np.testing.assert_array_equal(excerpt.waveform.numpy().T, waveform[4410 : 4410 + 2205].astype(np.float32))
    refused(path, start=1.0)


@pytest.mark.parametrize("frames", [FRAMES + 5000, 2**36 - 1])
def test_a_flac_that_announces_more_than_it_holds(frames: int, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    write_soundfile(path, chord(), "FLAC", "PCM_16")
    path.write_bytes(set_flac_length(path.read_bytes(), frames))
    assert "cut off" in refused(path)


@pytest.mark.parametrize("claim", [0x7FFFF000, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_wav_from_a_pipe_claims_the_largest_size(claim: int, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_soundfile(path, chord(), "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, claim)
    path.write_bytes(content)
    assert read(path).frames == FRAMES


@pytest.mark.parametrize("claim", [60000, 1_500_000_000, 3_000_000_000])
def test_a_wav_that_announces_more_than_it_holds(claim: int, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_soundfile(path, chord(), "WAV", "PCM_16")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, claim)
    path.write_bytes(content)
    assert f"announces {claim} bytes" in refused(path)


def test_chunks_after_the_sound_of_a_wav_are_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_soundfile(path, chord(), "WAV", "PCM_16")
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4000) + bytes(4000))
    assert read(path).frames == FRAMES
    path.write_bytes(path.read_bytes()[:-2000])  # a cut that takes none of the sound
    assert read(path).frames == FRAMES


class Pipe(io.RawIOBase):
    """Takes bytes and cannot go back."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self.content += bytes(data)
        return len(data)


def test_webm_from_a_browser_does_not_tell_its_length(tmp_path: Path) -> None:
    pipe = Pipe()
    encode(
        pipe,
        chord(60000, rate=48000),
        container="webm",
        codec="libopus",
        sample_format="flt",
        rate=48000,
        options={"live": "1"},
    )
    path = tmp_path / "recording.webm"
    path.write_bytes(pipe.content)
    assert read(path).frames == pytest.approx(60000, abs=1000)
