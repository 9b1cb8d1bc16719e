"""Which channel is which speaker comes from the file, and the mix-down goes by it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from separation.audio.channels import downmix
from separation.audio.files import read
from separation.audio.ogg import _checksum
from separation.audio.speakers import GAINS
from tests.audio.helpers import ffmpeg, ffmpeg_all, noise
from tests.conftest import snr

#: Layout of ffmpeg -> its speakers, in the order of WAVE files.
LAYOUTS = {
    "2.1": "FL FR LFE",
    "3.0": "FL FR FC",
    "4.0": "FL FR FC BC",
    "quad": "FL FR BL BR",
    "4.1": "FL FR FC LFE BC",
    "5.0": "FL FR FC BL BR",
    "5.1": "FL FR FC LFE BL BR",
    "5.1(side)": "FL FR FC LFE SL SR",
    "6.1": "FL FR FC LFE BC SL SR",
    "7.1": "FL FR FC LFE BL BR SL SR",
}

#: Format -> how ffmpeg is told to write it, and the layouts that it has.
FORMATS = {
    "wav": ("-c:a pcm_s16le -f wav", LAYOUTS),
    "flac": ("-f flac", {"3.0", "quad", "5.0", "5.1", "5.1(side)", "6.1", "7.1"}),
    "ogg": ("-c:a libvorbis -b:a 512k -f ogg", {"3.0", "quad", "5.0", "5.1", "6.1", "7.1"}),
    "opus": ("-c:a libopus -b:a 512k -f ogg", {"3.0", "quad", "5.0", "5.1", "6.1", "7.1"}),
    "aac": ("-c:a aac -b:a 512k -f adts", {"3.0", "4.0", "5.0", "5.1", "7.1"}),
    "m4a": ("-c:a aac -b:a 512k -f ipod", {"3.0", "4.0", "5.0", "5.1", "7.1"}),
    "ac3": ("-b:a 640k -f ac3", {"2.1", "3.0", "4.0", "4.1", "5.1(side)"}),
    "eac3": ("-b:a 640k -f eac3", {"2.1", "3.0", "4.0", "4.1", "5.1(side)"}),
    "wavpack": ("-f wv", LAYOUTS),
    "mov": ("-c:a pcm_s16le -f mov", LAYOUTS),
    "caf": ("-f caf", {"2.1", "3.0", "4.0", "4.1", "5.1(side)"}),
    "aiff": ("-f aiff", {"2.1", "3.0", "4.0", "4.1", "5.1(side)"}),
    "matroska": ("-c:a flac -f matroska", {"3.0", "quad", "5.0", "5.1", "7.1"}),
}

CASES = [(name, layout) for name, (_, layouts) in FORMATS.items() for layout in LAYOUTS if layout in layouts]


def tones(speakers: str) -> str:
    """A tone of its own for each speaker, low enough for the LFE."""
    return "|".join(f"0.2*sin(2*PI*{40 + 10 * number}*t)" for number in range(len(speakers.split())))


def source_of(layout: str) -> list[str]:
    return ["-f", "lavfi", "-i", f"aevalsrc={tones(LAYOUTS[layout])}:s=48000:d=0.4:c={layout}"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """For a layout, the folder of a file of every format that has it, and that of what ffmpeg decodes from them."""

    @cache
    def write(layout: str) -> tuple[Path, Path]:
        names = [name for name, one in CASES if one == layout]
        files, decoded = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("decoded")
        outputs = [word for name in names for word in (*FORMATS[name][0].split(), files / name)]
        ffmpeg_all(files, *source_of(layout), *outputs)
        inputs = [word for name in names for word in ("-i", files / name)]
        raw = [word for n, name in enumerate(names) for word in ("-map", f"{n}:a", "-f", "f32le", decoded / name)]
        ffmpeg_all(decoded, *inputs, *raw)
        return files, decoded

    return write


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_channel_layouts_equal_ffmpegs(name: str, layout: str, written: Callable[[str], tuple[Path, Path]]) -> None:
    file, decoded = (folder / name for folder in written(layout))
    if not file.exists():
        ffmpeg(*source_of(layout), *FORMATS[name][0].split(), file)
    if not decoded.exists():
        ffmpeg("-i", file, "-f", "f32le", decoded)
    audio = read(file)
    expected = torch.from_numpy(np.fromfile(decoded, dtype=np.float32).reshape(-1, audio.channels).T.copy())
    assert audio.speakers is not None
    gains = [GAINS[speaker] for speaker in audio.speakers]
    if (name, layout) != ("mov", "6.1"):  # which QuickTime stores in another order
        assert gains == [GAINS[speaker] for speaker in LAYOUTS[layout].split()]
    assert sorted(gains) == sorted(GAINS[speaker] for speaker in LAYOUTS[layout].split())
    head = 19000  # ffmpeg 5 is wrong about the length of Vorbis in a single page
    assert snr(audio.waveform[:, :head], expected[:, :head]) > 40


def one_speaker(path: Path, layout: str, speaker: str) -> torch.Tensor:
    """The stereo mix-down of a file in which one speaker sounds."""
    sounds = "|".join("0.3*sin(400*t)" if name == speaker else "0" for name in LAYOUTS[layout].split())
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc={sounds}:s=44100:d=0.3:c={layout}", path)
    audio = read(path)
    return downmix(audio.waveform, audio.speakers)


@pytest.mark.parametrize("suffix", ["wav", "ogg", "mov"])
@pytest.mark.parametrize("layout", ["3.0", "5.1"])
def test_the_centre_is_mixed_into_both_channels(layout: str, suffix: str, tmp_path: Path) -> None:
    left, right = one_speaker(tmp_path / f"song.{suffix}", layout, "FC")
    assert torch.allclose(left, right, atol=0.01)
    assert left.square().mean().sqrt() > 0.01


@pytest.mark.parametrize("speaker", ["FC", "BC"])
def test_lcrs_is_distinguished_from_quad(speaker: str, tmp_path: Path) -> None:
    left, right = one_speaker(tmp_path / "song.wav", "4.0", speaker)
    assert torch.equal(left, right)
    assert left.square().mean().sqrt() > 0.01


def test_the_lfe_of_2_1_is_discarded(tmp_path: Path) -> None:
    assert not one_speaker(tmp_path / "song.wav", "2.1", "LFE").any()


@pytest.mark.parametrize(
    ("tag", "speakers"),
    [
        (107, "W X Y Z"),
        (114, "FC FL FR"),
        (120, "FC FL FR SL SR"),
        (124, "FC FL FR SL SR LFE"),
        (125, "FL FR FC LFE SL SR BC"),
        (127, "FC FLC FRC FL FR SL SR LFE"),
    ],
)
def test_quicktime_channel_orders(tag: int, speakers: str, tmp_path: Path) -> None:
    """PyAV 18 frees such a layout twice: more often than not, the process ends within a few reads."""
    count = len(speakers.split())
    layout = next(name for name, names in LAYOUTS.items() if len(names.split()) == count)
    path, source = tmp_path / "film.mov", f"aevalsrc={tones(speakers)}:s=48000:d=0.1:c={layout}"
    ffmpeg("-f", "lavfi", "-i", source, "-c:a", "pcm_s16le", "-f", "mov", path)
    plain = read(path).waveform
    content = bytearray(path.read_bytes())
    struct.pack_into(">I", content, content.index(b"chan") + 8, tag << 16 | count)
    path.write_bytes(content)
    for _ in range(10):
        audio = read(path)
        assert audio.speakers == tuple(speakers.split())
        assert torch.equal(audio.waveform, plain)


def test_quicktime_channel_descriptions(tmp_path: Path) -> None:
    path = tmp_path / "film.mov"
    ffmpeg("-f", "lavfi", "-i", "aevalsrc=0|0|0:s=48000:d=0.1:c=3.0", "-c:a", "pcm_s16le", "-f", "mov", path)
    content = bytearray(path.read_bytes())
    labels = struct.pack(">III", 0, 0, 3) + b"".join(struct.pack(">I16x", label) for label in (3, 2, 1))
    place = content.index(b"chan") + 8
    content[place : place + 12] = labels  # runs into what follows: only the layout is looked at
    path.write_bytes(content)
    from separation.audio.core_audio import stored_speakers

    with path.open("rb", buffering=0) as file:
        assert stored_speakers(file, 3) == ("FC", "FR", "FL")


def ambisonic_wav(path: Path, waveform: np.ndarray) -> None:
    """Write (time, 4) as Microsoft's WAV extensible with the subtype of Ambisonic B-format."""
    samples = (waveform * 32767).astype("<i2")
    subtype = bytes.fromhex("010000002107d3118644c8c1ca000000")
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 4, 44100, 8 * 44100, 8, 16, 22, 16, 0) + subtype
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", samples.nbytes)
    path.write_bytes(
        b"RIFF" + struct.pack("<I", 4 + len(chunks) + samples.nbytes) + b"WAVE" + chunks + samples.tobytes()
    )


def test_ambisonics_in_wav(tmp_path: Path) -> None:
    """Furse-Malham: a source on the left is in W at -3 dB and in Y."""
    sound = noise(1000, 1)
    ambisonic_wav(tmp_path / "field.wav", sound * [0.5**0.5, 0, 1, 0])
    audio = read(tmp_path / "field.wav")
    assert audio.speakers == ("W", "X", "Y", "Z")
    left, right = downmix(audio.waveform, audio.speakers)
    assert torch.allclose(left, torch.from_numpy(sound[:, 0]).float(), atol=1e-4)
    assert right.abs().max() < 1e-4


def test_ambisonics_in_opus(tmp_path: Path) -> None:
    path = tmp_path / "field.opus"
    source = "aevalsrc=0.2*sin(400*t)|0.2*sin(400*t)|0|0:s=48000:d=0.3"
    ffmpeg("-f", "lavfi", "-i", source, "-c:a", "libopus", "-mapping_family", "255", "-f", "ogg", path)
    content = bytearray(path.read_bytes())
    content[content.index(b"OpusHead") + 18] = 2  # channel mapping family 2: Ambisonics
    end = 27 + content[26] + sum(content[27 : 27 + content[26]])
    content[22:26] = _checksum(bytes(content[:end])).to_bytes(4, "little")
    path.write_bytes(content)
    audio = read(path)
    assert audio.speakers == ("AMBI0", "AMBI1", "AMBI2", "AMBI3")
    left, right = downmix(audio.waveform, audio.speakers)
    assert left.square().sum() > 1000 * right.square().sum()  # W and Y alike: all on the left


@pytest.mark.parametrize("kind", ["au", "wav", "tta"])
def test_a_file_without_a_layout_has_no_speakers(kind: str, tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / kind
    if kind == "tta":
        ffmpeg("-f", "lavfi", "-i", "aevalsrc=0|0|0:s=48000:d=0.1:c=3.0", "-f", "tta", path)
    else:
        soundfile.write(path, noise(100, 3), 44100, format=kind.upper(), subtype="PCM_16")
    assert read(path).speakers is None
