"""Helpers shared by the tests in this folder."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from torch import Tensor

from separation.audio.files import read
from separation.audio.resampling import Resampler
from separation.audio.stream import AudioError

RATE = 44100
RATES = [(8000, 44100), (44100, 8000), (22050, 44100), (44100, 48000), (48000, 44100), (192000, 44100)]


FRAMES = 12345


def chord(frames: int = FRAMES, channels: int = 2, rate: int = RATE, *, seed: int = 0) -> np.ndarray:
    """(time, channels): tones that any codec keeps, another chord in each channel, with a beginning of its own."""
    time = np.arange(frames)[:, None, None] / rate
    pitch = min(1.0, rate / 16000) * np.array([[293.0 + 71 * c, 640.0 + 97 * c] for c in range(channels)])
    phase = np.random.default_rng(seed).uniform(0, 6, pitch.shape)
    tones: np.ndarray = 0.25 * np.sin(2 * np.pi * pitch * time + phase).sum(-1)
    return tones * np.minimum(1, np.arange(frames)[:, None] / (0.02 * rate))


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resample the whole of (channels, time) to (channels, ceil(time * to_rate / from_rate))."""
    channels, frames = waveform.shape
    return Resampler(channels, from_rate, to_rate, frames=-(-frames * to_rate // from_rate))(waveform, last=True)


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


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run the ffmpeg program and return its standard output."""
    return subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, capture_output=True).stdout


def ffmpeg_all(folder: Path, *arguments: object) -> None:
    """Write many files of a folder in one run of ffmpeg: each run takes 75 ms to start.

    If it fails, none is left, so that a test can write its own: one encoder that is missing fails no other's test.
    """
    try:
        ffmpeg(*map(str, arguments))
    except subprocess.CalledProcessError:
        for path in folder.iterdir():
            path.unlink()


def noise(frames: int, channels: int = 2, *, seed: int = 0) -> np.ndarray:
    """(time, channels): where two pieces of it begin cannot be mistaken."""
    return 0.2 * np.random.default_rng(seed).standard_normal((frames, channels))


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


#: Format -> how ffmpeg is told to write it.
BY_FFMPEG = {
    "wav-24": "-c:a pcm_s24le -f wav",
    "wav-float": "-c:a pcm_f32le -f wav",
    "wav-8": "-c:a pcm_u8 -f wav",
    "wav-alaw": "-c:a pcm_alaw -f wav",
    "wav-adpcm": "-c:a adpcm_ms -f wav",
    "wav-mp3": "-c:a libmp3lame -f wav",
    "wav-ac3": "-c:a ac3 -f wav",
    "rf64": "-rf64 always -f wav",
    "w64": "-f w64",
    "aiff": "-f aiff",
    "caf": "-f caf",
    "caf-alac": "-c:a alac -f caf",
    "au": "-f au",
    "flac": "-f flac",
    "ogg-vorbis": "-c:a libvorbis -f ogg",
    "ogg-opus": "-c:a libopus -f ogg",
    "ogg-flac": "-c:a flac -f ogg",
    "ogg-speex": "-c:a libspeex -ar 32000 -f ogg",
    "mp3": "-f mp3",
    "mp3-vbr": "-c:a libmp3lame -q:a 2 -f mp3",
    "mp3-without-index": "-write_xing 0 -f mp3",
    "mp2": "-f mp2",
    "aac": "-f adts",
    "latm": "-c:a aac -f latm",
    "m4a": "-c:a aac -f ipod",
    "m4a-alac": "-c:a alac -f ipod",
    "mp4-fragments": "-c:a aac -movflags frag_keyframe+empty_moov -f mp4",
    "mp4-ac3": "-c:a ac3 -f mp4",
    "mp4-mp3": "-c:a libmp3lame -f mp4",
    "mp4-opus": "-c:a libopus -f mp4",
    "mov": "-c:a pcm_s16le -f mov",
    "matroska-vorbis": "-c:a libvorbis -f matroska",
    "matroska-aac": "-c:a aac -f matroska",
    "matroska-flac": "-c:a flac -f matroska",
    "webm-opus": "-c:a libopus -f webm",
    "ac3": "-f ac3",
    "eac3": "-f eac3",
    "dts": "-c:a dca -strict -2 -f dts",
    "truehd": "-c:a truehd -strict -2 -f truehd",
    "mlp": "-c:a mlp -strict -2 -f mlp",
    "wma-1": "-c:a wmav1 -f asf",
    "wma-2": "-c:a wmav2 -f asf",
    "wavpack": "-f wv",
    "tta": "-f tta",
    "avi": "-c:a libmp3lame -f avi",
    "flv": "-c:a aac -f flv",
    "mpeg-ts": "-c:a aac -f mpegts",
}


def refusal_message(path: Path, **excerpt: Any) -> str:
    """The message with which a file is refused: one line with its name and nothing of where it lies."""
    with pytest.raises(AudioError) as caught:
        read(path, **excerpt)
    message = str(caught.value)
    assert repr(path.name) in message
    assert str(path.parent) not in message
    assert "\n" not in message
    return message


# IMPORTS


#: Playlists that name another file, `target`, or listen at `port`.
PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
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


def delay_of(signal: np.ndarray, reference: np.ndarray) -> int:
    """By how many samples one follows the other: where their cross-correlation peaks."""
    length = 1 << (len(signal) + len(reference)).bit_length()
    product = np.fft.rfft(signal, length) * np.conj(np.fft.rfft(reference, length))
    peak = int(np.argmax(np.fft.irfft(product, length)))
    return peak if peak < length // 2 else peak - length
