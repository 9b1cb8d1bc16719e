"""Read and separate five hundred damaged files: the outcome is audio, or one clear sentence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from separation.audio.files import Recording
from separation.audio.limits import Limits
from separation.audio.stream import AudioError
from separation.pipeline.run import run
from separation.separators import create
from tests.audio.helpers import EVERY, chord
from tests.studio.server import Server
from tests.trust.conftest import RecordAttack, assert_reveals_nothing, refusal_message
from tests.trust.visitor import Visitor

KINDS = ("wav-16", "wav-float", "flac-16", "ogg", "mp3", "m4a", "opus.webm", "vorbis.webm", "opus.ogg", "aac")
LIMITS = Limits(seconds=60, decoded_bytes=50e6)


@pytest.fixture(scope="module")
def intact_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A third of a second of music in every kind of file."""
    folder = tmp_path_factory.mktemp("whole")
    for kind in KINDS:
        EVERY[kind](folder / kind, chord(14000, rate=48000 if "opus" in kind else 44100))
    return {kind: (folder / kind).read_bytes() for kind in KINDS}


def damaged(intact_files: dict[str, bytes], number: int) -> tuple[str, bytes]:
    """Return the kind of damage and the damaged file of a number, the same for every call."""
    random = np.random.default_rng(number)
    kind, other = random.choice(KINDS, 2, replace=False)
    data = bytearray(intact_files[kind])
    match number % 5:
        case 0:  # anywhere
            for place in random.integers(0, len(data), int(random.integers(1, 40))):
                data[place] ^= 1 << int(random.integers(8))
            what = "bits flipped"
        case 1:  # in the header
            for place in random.integers(0, min(len(data), 200), int(random.integers(1, 8))):
                data[place] = int(random.integers(256))
            what = "header overwritten"
        case 2:
            del data[int(random.integers(len(data))) :]
            what = "truncated"
        case 3:
            size = int(random.integers(4, 300))
            data[:size] = intact_files[other][:size]
            what = "another's header"
        case _:
            first, last = sorted(random.integers(0, len(data), 2).tolist())
            place = int(random.integers(len(data)))
            data[place:place] = data[first:last]
            what = "a part repeated"
    return what, bytes(data)


def outcome(path: Path, folder: Path) -> str:
    """Separate a file; return "sound" or, if it is refused, "a sentence"."""
    separator = create("mix")
    try:
        with Recording(path, folder, limits=LIMITS) as recording:
            stems = torch.cat(list(run(separator, recording)), dim=-1)
            assert stems.shape == (4, recording.channels, recording.frames)
            assert bool(torch.isfinite(stems).all())
    except AudioError as error:
        assert "\n" not in str(error)
        assert_reveals_nothing(str(error), folder)
        return "a sentence"
    return "sound"


def test_damaged_files_give_audio_or_an_audio_error(
    intact_files: dict[str, bytes], tmp_path: Path, record_attack: RecordAttack
) -> None:
    counts: dict[str, Counter[str]] = {}
    (tmp_path / "work").mkdir()
    for number in range(500):
        what, content = damaged(intact_files, number)
        path = tmp_path / "song.mp3"
        path.write_bytes(content)
        counts.setdefault(what, Counter())[outcome(path, tmp_path / "work")] += 1
    for what, count in counts.items():
        record_attack(f"{sum(count.values())} files, {what}", ", ".join(f"{n} x {came}" for came, n in count.items()))
    assert sum(sum(count.values()) for count in counts.values()) == 500
    assert not list((tmp_path / "work").iterdir())
    total = sum(counts.values(), Counter())
    assert min(total["sound"], total["a sentence"]) > 50, "damage that never, or always, shows proves little"


def test_damaged_files_through_the_studio(
    intact_files: dict[str, bytes], studio: Server, visitor: Visitor, record_attack: RecordAttack
) -> None:
    came: Counter[str] = Counter()
    for number in range(1000, 1015):
        given = visitor.upload("song.mp3", damaged(intact_files, number)[1])
        answer = visitor.ask("separate", given, ["mix"], 0, None)
        if answer.error is None:
            came["a result" if answer.output[0]["results"] else "a sentence"] += 1
            assert_reveals_nothing(str(answer.output[0]["failed"]), studio.folder)
        else:
            refusal_message(answer, studio.folder)
            came["a sentence"] += 1
    record_attack("15 more through the studio", ", ".join(f"{n} x {what}" for what, n in came.items()))
    assert sum(came.values()) == 15
