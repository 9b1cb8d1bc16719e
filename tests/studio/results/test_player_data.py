"""The player's data: audio that joins without a seam, spectrograms, and one document."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from separation.plots import spectrogram
from separation.studio.results.player_data import CHUNK, MARGIN, RATE, Player, TrackWriter
from tests.audio.helpers import resample


def music(seconds: float, rate: int, channels: int = 2, seed: int = 0) -> torch.Tensor:
    """Something with tones, noise and onsets."""
    time = torch.arange(round(seconds * rate)) / rate
    noise = torch.randn(channels, len(time), generator=torch.Generator().manual_seed(seed))
    tones = torch.stack([torch.sin(2 * torch.pi * (220 + 110 * c) * time) for c in range(channels)])
    return 0.2 * tones + 0.05 * noise * (torch.sin(2 * torch.pi * 2 * time) > 0)


def write(folder: Path, sound: torch.Tensor, rate: int, block: int = 10_007) -> TrackWriter:
    writer = TrackWriter(folder, "0", rate=rate, frames=sound.shape[1])
    for part in sound.split(block, dim=1):
        writer.write(part)
    return writer


def decode(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data), "r") as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def listen(writer: TrackWriter) -> np.ndarray:
    """Return the audio as a page plays it: each chunk decoded separately, trimmed, and concatenated."""
    data = writer.path.read_bytes()
    pieces = [
        decode(data[first:last])[:, MARGIN : MARGIN + CHUNK]
        for first, last in zip(writer.offsets[:-1], writer.offsets[1:], strict=True)
    ]
    return np.concatenate(pieces, axis=1)[:, : writer.total]


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_decoded_chunks_equal_the_signal(tmp_path: Path, rate: int, channels: int) -> None:
    sound = music(5.3, rate, channels)
    writer = write(tmp_path, sound, rate)
    heard, wanted = listen(writer), resample(sound, rate, RATE).numpy()
    assert heard.shape == wanted.shape
    error = np.square(heard - wanted).mean() / np.square(wanted).mean()
    assert 10 * np.log10(error) < -12  # Opus keeps what is heard, not the waveform: noise comes back as other noise
    correlation = np.correlate(wanted[0, 96_000:97_000], heard[0, 95_900:97_100], "valid")
    assert int(correlation.argmax()) == 100  # to the sample


def test_chunk_boundaries_are_inaudible(tmp_path: Path) -> None:
    time = torch.arange(13 * RATE) / RATE
    sine = 0.5 * torch.sin(2 * torch.pi * 440 * time)[None]
    heard = listen(write(tmp_path, sine, RATE))
    error = np.square(heard - sine.numpy())[0]
    at_joins = np.concatenate([error[join - 480 : join + 480] for join in (CHUNK, 2 * CHUNK, 3 * CHUNK)])
    assert at_joins.mean() < 2 * error.mean() + 1e-9


def test_surround_sound_is_played_in_stereo(tmp_path: Path) -> None:
    assert listen(write(tmp_path, music(1, 44100, 6), 44100)).shape[0] == 2


@pytest.mark.parametrize("frames", [1, 2, 479, 48_000 * 4, 48_000 * 4 + 1])
def test_signals_of_any_length_are_written(tmp_path: Path, frames: int) -> None:
    writer = write(tmp_path, music(5, RATE)[:, :frames], RATE)
    assert writer.ready == writer.total == frames
    assert listen(writer).shape[1] == frames
    writer.draw(loudest=1.0)
    assert writer.path.with_suffix(".png").exists()


def test_the_output_does_not_depend_on_block_sizes(tmp_path: Path) -> None:
    sound = music(6, 44100)
    one = write(tmp_path / "one", sound, 44100, block=sound.shape[1])
    many = write(tmp_path / "many", sound, 44100, block=997)
    assert one.offsets == many.offsets
    np.testing.assert_array_equal(listen(one), listen(many))
    assert one.picture is not None
    assert many.picture is not None
    np.testing.assert_allclose(one.picture.power, many.picture.power, rtol=1e-4, atol=1e-9)
    np.testing.assert_array_equal(one.picture.peaks, many.picture.peaks)
    assert one.power == pytest.approx(many.power)


def test_the_streaming_spectrogram_equals_that_of_the_whole(tmp_path: Path) -> None:
    sound = music(6, RATE)
    writer = write(tmp_path, sound, RATE)
    whole = spectrogram(sound, RATE, columns=1000, frames_per_column=1)
    assert writer.picture is not None
    np.testing.assert_allclose(writer.picture.power, whole.power, rtol=1e-4, atol=1e-9)


def test_peaks_are_quantised_to_one_byte(tmp_path: Path) -> None:
    sound = music(3, RATE)
    data = np.frombuffer(write(tmp_path, sound, RATE).path.with_suffix(".peaks").read_bytes(), np.int8)
    low, high = (np.sign(data) * (data / 127.0) ** 2 * 4).reshape(2, 1000)
    assert high.max() == pytest.approx(float(sound.max()), rel=0.03)
    assert low.min() == pytest.approx(float(sound.min()), rel=0.03)


def test_the_player_document_grows_until_the_end(tmp_path: Path) -> None:
    sound = music(9, 44100)
    player = Player(tmp_path, "<song>.wav", rate=44100, frames=sound.shape[1])
    group = player.group("mix", "Mixture")
    player.write(group, {"vocals": sound[:, : 6 * 44100]})
    player.publish()
    document = json.loads((tmp_path / "player.json").read_text())
    track = document["groups"][0]["tracks"][0]
    assert document["working"] is document["groups"][0]["working"] is True
    assert track["ready"] == CHUNK
    assert track["picture"] is None
    player.write(group, {"vocals": sound[:, 6 * 44100 :]})
    player.finish(group)
    player.publish()
    track = json.loads((tmp_path / "player.json").read_text())["groups"][0]["tracks"][0]
    assert track["ready"] == 9 * RATE
    assert track["picture"] is not None
    assert track["level"] == pytest.approx(10 * np.log10(float(sound.square().mean())), abs=0.1)


@pytest.mark.parametrize("level", [0.0, 1e-6])
def test_a_silent_song_has_dark_pictures(tmp_path: Path, level: float) -> None:
    player = Player(tmp_path, "nothing", rate=44100, frames=44100)
    noise = level * torch.randn(2, 44100, generator=torch.Generator().manual_seed(0))
    for name, track in (("song", "mixture"), ("mix", "vocals")):
        group = player.group(name, name)
        player.write(group, {track: noise})
        player.finish(group)
        picture = imread(tmp_path / "listen" / name / "0.png")
        assert picture[..., :3].max() < 0.03


def test_the_level_of_silence_is_null(tmp_path: Path) -> None:
    player = Player(tmp_path, "nothing", rate=44100, frames=44100)
    group = player.group("mix", "Mixture")
    player.write(group, {"vocals": torch.zeros(2, 44100)})
    player.finish(group)
    assert player.document()["groups"][0]["tracks"][0]["level"] is None
