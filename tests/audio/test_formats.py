"""Every format is read whole and from the right sample."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from separation.audio.files import read
from tests.audio.helpers import FRAMES, RATE, chord, encode, write_soundfile
from tests.conftest import snr


def test_excerpts_of_ogg_start_at_the_right_sample(tmp_path: Path) -> None:
    noise = 0.2 * np.random.default_rng(0).standard_normal((5 * RATE, 2))
    write_soundfile(tmp_path / "song.ogg", noise, "OGG", "VORBIS")
    whole = read(tmp_path / "song.ogg").waveform
    for start in (0.5, 2.5, 4.2, 4.9, 4.99):
        excerpt = read(tmp_path / "song.ogg", start=start).waveform
        assert torch.equal(excerpt, whole[:, round(start * RATE) :])


def test_chained_ogg_is_read_to_the_end_of_the_last_stream(tmp_path: Path) -> None:
    """FFmpeg does not trim the padding of every stream: the length is exact to one packet a stream only."""
    write_soundfile(tmp_path / "one.ogg", chord(), "OGG", "VORBIS")
    (tmp_path / "two.ogg").write_bytes(2 * (tmp_path / "one.ogg").read_bytes())
    assert abs(read(tmp_path / "two.ogg").frames - 2 * FRAMES) <= 2 * 2048


@pytest.mark.parametrize(
    ("container", "codec", "sample_format"),
    [
        ("ac3", "ac3", "fltp"),
        ("eac3", "eac3", "fltp"),
        ("asf", "wmav2", "fltp"),
        ("wv", "wavpack", "s16p"),
        ("tta", "tta", "s16"),
        ("wav", "libmp3lame", "fltp"),
    ],
)
def test_more_formats_are_read(container: str, codec: str, sample_format: str, tmp_path: Path) -> None:
    encode(tmp_path / "song", chord(), container=container, codec=codec, sample_format=sample_format)
    audio = read(tmp_path / "song")
    assert (audio.sample_rate, audio.channels) == (RATE, 2)
    assert FRAMES - 2048 <= audio.frames <= FRAMES + 2 * 2048


@pytest.mark.parametrize("layout", ["3.0", "quad", "5.0", "5.1", "6.1", "7.1"])
@pytest.mark.parametrize("codec", ["libvorbis", "libopus"])
def test_channels_of_ogg_are_in_wave_order(tmp_path: Path, layout: str, codec: str) -> None:
    """Each speaker plays a tone of its own; the ffmpeg program knows which channel of the file it is."""
    channels = {"3.0": 3, "quad": 4, "5.0": 5, "5.1": 6, "6.1": 7, "7.1": 8}[layout]
    tones = [f"0.3*sin(2*PI*{40 + 10 * number}*t)" for number in range(channels)]  # low enough for the LFE
    source = f"aevalsrc={'|'.join(tones)}:s=48000:d=0.5:c={layout}"
    ogg, wav = tmp_path / "surround.ogg", tmp_path / "surround.wav"
    encode_ogg = ["-f", "lavfi", "-i", source, "-c:a", codec, "-b:a", "512k", str(ogg)]
    for command in (encode_ogg, ["-i", str(ogg), "-c:a", "pcm_f32le", str(wav)]):
        subprocess.run(["ffmpeg", "-v", "error", *command], check=True)
    ours, ffmpegs = read(ogg).waveform[:, :20000], read(wav).waveform[:, :20000]
    assert snr(ffmpegs, ours) > 40
