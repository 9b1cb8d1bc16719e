"""Audio files are decoded to the sample, and everything else is refused in one sentence."""

from __future__ import annotations

import errno
import os
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
from tests.audio.helpers import (
    EVERY,
    FRAMES,
    LOSSLESS,
    LOSSY,
    RATE,
    chord,
    delay_of,
    encode,
    ffmpeg,
    quantised,
    refusal_message,
    write_soundfile,
)
from tests.conftest import snr


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_files_are_decoded_exactly(kind: str, tmp_path: Path) -> None:
    write, bits = LOSSLESS[kind]
    waveform = quantised(chord(), bits)
    write(tmp_path / kind, waveform)
    audio = read(tmp_path / kind)
    assert (audio.sample_rate, audio.channels, audio.frames) == (RATE, 2, FRAMES)
    assert audio.waveform.dtype == torch.float32
    assert audio.duration == FRAMES / RATE
    np.testing.assert_array_equal(audio.waveform.numpy().T, waveform.astype(np.float32))


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_files_are_decoded_completely_and_aligned(kind: str, tmp_path: Path) -> None:
    write, surplus, delay = LOSSY[kind]
    rate = 48000 if "opus" in kind else RATE
    waveform = chord(rate=rate)
    write(tmp_path / kind, waveform)
    audio = read(tmp_path / kind)
    assert (audio.sample_rate, audio.channels) == (rate, 2)
    assert delay + FRAMES <= audio.frames <= delay + FRAMES + surplus
    assert delay_of(audio.waveform[0].numpy(), waveform[:, 0]) == delay
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
def test_channels_keep_their_order(channels: int, format: str, tmp_path: Path) -> None:
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


def test_video_tracks_are_ignored(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("container", ["matroska", "mp4"])
@pytest.mark.parametrize("default", [0, 1])
def test_the_default_audio_track_is_read(default: int, container: str, tmp_path: Path) -> None:
    tones = ["-f", "lavfi", "-i", "sine=d=0.1", "-f", "lavfi", "-i", "sine=d=0.1,aformat=channel_layouts=stereo"]
    marks = ["-disposition:0", "0", "-disposition:1", "0", f"-disposition:{default}", "default"]
    ffmpeg(*tones, "-map", "0", "-map", "1", "-c", "aac", *marks, "-f", container, tmp_path / "clip")
    assert read(tmp_path / "clip").channels == default + 1


@pytest.mark.parametrize("kind", EVERY)
def test_an_excerpt_equals_a_slice_of_the_whole(kind: str, tmp_path: Path) -> None:
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
        assert "the audio ends at 0." in refusal_message(tmp_path / kind, start=start)


def test_an_excerpt_may_start_at_the_last_sample_but_not_after_it(tmp_path: Path) -> None:
    waveform = quantised(chord(100), 16)
    write_soundfile(tmp_path / "song.wav", waveform, "WAV", "PCM_16", 1000)
    last = read(tmp_path / "song.wav", start=0.099, duration=1e308)
    np.testing.assert_array_equal(last.waveform.numpy().T, waveform[99:].astype(np.float32))
    refusal_message(tmp_path / "song.wav", start=0.1)


def test_an_excerpt_has_at_least_one_sample(tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "PCM_16")
    assert read(tmp_path / "song.wav", duration=1e-9).frames == 1


@pytest.mark.parametrize("excerpt", [{"start": -0.1}, {"start": float("nan")}, {"duration": 0.0}, {"duration": -1.0}])
def test_impossible_excerpts_are_refused(excerpt: dict[str, Any], tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "PCM_16")
    with pytest.raises(AudioError, match="the excerpt must"):
        read(tmp_path / "song.wav", **excerpt)


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
def test_formats_are_detected_by_content(kind: str, tmp_path: Path) -> None:
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
def test_file_names_of_any_characters_and_length(name: str, kind: str, tmp_path: Path) -> None:
    EVERY[kind](tmp_path / "made", chord())
    (tmp_path / "made").rename(tmp_path / name)
    assert read(tmp_path / name).frames >= FRAMES
    (tmp_path / name).write_text("not sound")
    refusal_message(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal_message(tmp_path / "song.wav")


def test_a_name_too_long_for_the_file_system_is_refused(tmp_path: Path) -> None:
    assert "name" in refusal_message(tmp_path / ("a" * 300 + ".wav"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "song.wav").mkdir()
    assert "not a file" in refusal_message(tmp_path / "song.wav")


def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "song.wav")
    assert "not a file" in refusal_message(tmp_path / "song.wav")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "song.wav").touch()
    assert "empty" in refusal_message(tmp_path / "song.wav")


@pytest.mark.parametrize("name", ["song.wav", "song.mp3", "song.m4a", "song.raw"])
def test_a_text_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("Dear diary, today I made no music.\n" * 99)
    refusal_message(tmp_path / name)


def test_a_picture_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "clip.mkv"), "w") as output:
        video: Any = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        output.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        output.mux(video.encode(None))
    assert "no audio" in refusal_message(tmp_path / "clip.mkv")


def test_disk_errors_are_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_soundfile(tmp_path / "song.wav", chord(), "WAV", "PCM_16")

    def fail(self: Path, *mode: Any, **more: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", fail)
    assert "Permission denied" in refusal_message(tmp_path / "song.wav")


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
def test_random_bytes_give_audio_or_an_audio_error(magic: bytes, tmp_path: Path) -> None:
    for seed in range(8):
        for size in (1, 7, 100, 3000, 40000):
            content = magic + np.random.default_rng(seed).bytes(size)
            assert_read_or_refused(tmp_path / "noise.mp3", content)


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
def test_samples_that_are_not_finite_are_counted(wrong: float, format: str, tmp_path: Path) -> None:
    waveform = chord()
    waveform[[5, 77, 300], 1] = wrong
    write_soundfile(tmp_path / "song", waveform, format, "FLOAT")
    assert "3 of its samples are NaN or infinite" in refusal_message(tmp_path / "song")
    assert read(tmp_path / "song", start=0.01).frames == FRAMES - 441  # the excerpt after them is sound


@pytest.mark.parametrize("format", ["WAV", "AIFF", "OGG"])
def test_a_file_without_samples_is_refused(format: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song", np.zeros((0, 2)), RATE, format=format)
    assert "0 samples" in refusal_message(tmp_path / "song")


def test_nine_channels_are_refused(tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song.wav", np.zeros((100, 9)), "WAV", "PCM_16")
    assert "9 channels" in refusal_message(tmp_path / "song.wav")


def test_libsndfile_formats_off_the_list_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", chord(), RATE, format="MAT5", subtype="DOUBLE")
    refusal_message(tmp_path / "song.wav")
    soundfile.write(tmp_path / "song.wav", chord(channels=1), RATE, format="SVX", subtype="PCM_16")
    assert "SVX files are not supported" in refusal_message(tmp_path / "song.wav")


@pytest.mark.parametrize("format", ["VOC", "NIST"])
def test_other_formats_are_refused_with_examples_of_what_is_read(format: str, tmp_path: Path) -> None:
    write_soundfile(tmp_path / "song", chord(), format, "PCM_16")
    assert "FLAC, MP3, M4A and Ogg are among the formats" in refusal_message(tmp_path / "song")


def test_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    encode(tmp_path / "song.mkv", chord(), container="matroska", codec="flac", sample_format="s16")
    content = (tmp_path / "song.mkv").read_bytes()
    assert content.count(b"A_FLAC") == 1
    (tmp_path / "song.mkv").write_bytes(content.replace(b"A_FLAC", b"A_WHAT"))
    assert "audio codec is not supported" in refusal_message(tmp_path / "song.mkv")


def test_tags_that_are_not_unicode_are_accepted(tmp_path: Path) -> None:
    encode(tmp_path / "song.m4a", chord(), container="ipod", codec="aac", metadata={"title": "Beyonc#"})
    content = (tmp_path / "song.m4a").read_bytes()
    assert content.count(b"Beyonc#") == 1
    (tmp_path / "song.m4a").write_bytes(content.replace(b"Beyonc#", b"Beyonc\xe9"))
    assert read(tmp_path / "song.m4a").frames >= FRAMES
