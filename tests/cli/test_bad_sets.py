"""One bad file never spoils a set: it is named with track and stem, the others go on, and the exit code is 1."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from separation.audio.stem_mp4 import write_stem_mp4
from separation.datasets.dataset import find_tracks
from tests.cli.bad_files import (
    add_duplicate,
    cut,
    cut_mp3,
    dangling,
    empty,
    errors,
    folder_instead,
    infinite,
    mono,
    nan,
    noise,
    pipe,
    shorter,
    slower,
    text,
    write_track,
)
from tests.cli.helpers import RATE, SOURCES, Outcome, separation
from tests.training.conftest import TINY_OPEN_UNMIX, toml


class Kind(NamedTuple):
    spoil: Callable[[Path], None]
    said: str
    in_header: bool = True


KINDS = [
    Kind(empty, "cannot read 'vocals.wav': the file is empty"),
    Kind(text, "cannot read 'vocals.wav': it is not an audio file that can be decoded"),
    Kind(cut, "cannot read 'vocals.wav': the file is cut off"),
    Kind(cut_mp3, "cannot read 'vocals.mp3': the file is cut off"),
    Kind(nan, "cannot read 'vocals.wav': 1 of its samples are NaN or infinite", in_header=False),
    Kind(infinite, "cannot read 'vocals.wav': 1 of its samples are NaN or infinite", in_header=False),
    Kind(add_duplicate, "there are two files for vocals, 'Vocals.ogg' and 'vocals.wav': remove one"),
    Kind(shorter, "'vocals.wav' has 1000 samples where 'drums.wav' has 22050"),
    Kind(mono, "'vocals.wav' has 1 channel where 'drums.wav' has 2"),
    Kind(slower, "'vocals.wav' has 22050 Hz where 'drums.wav' has 44100"),
    Kind(dangling, "cannot read 'vocals.wav': no such file"),
    Kind(folder_instead, "cannot read 'vocals.wav': not a file"),
    Kind(pipe, "cannot read 'vocals.wav': not a file"),
]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=[kind.spoil.__name__ for kind in KINDS])
#: Files that are not audio, or not the user's.
LITTER = ("._vocals.wav", ".DS_Store", "Thumbs.db", ".vocals.wav", "desktop.ini", "vocals.txt")


@pytest.fixture(autouse=True)
def short_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores with filters of 16 taps instead of 512 take no time."""
    monkeypatch.setattr("separation.evaluation.projection.TAPS", 16)


@pytest.fixture
def one_bad(tmp_path: Path) -> Path:
    """A set of two tracks in test/, of which a test spoils the first."""
    for seed, name in enumerate(("A", "B")):
        write_track(tmp_path / "set" / "test" / name, seed=seed)
    return tmp_path / "set"


# -- tracks and evaluate ---------------------------------------------------------------------------


@EVERY_KIND
def test_tracks_reports_files_with_bad_headers(kind: Kind, one_bad: Path) -> None:
    kind.spoil(one_bad / "test" / "A")
    outcome = separation("tracks", "--root", one_bad, "--json")
    document = outcome.document
    if not kind.in_header:
        assert (outcome.code, errors(outcome), len(document["tracks"])) == (0, [], 2)
        return
    (line,) = errors(outcome)
    assert outcome.code == 1
    assert line.startswith(f"error: A: {kind.said}")
    assert [track["name"] for track in document["tracks"]] == ["B"]
    assert document["failed"] == [{"name": "A", "error": line.removeprefix("error: A: ")}]


@EVERY_KIND
def test_evaluate_scores_the_others(kind: Kind, one_bad: Path, tmp_path: Path) -> None:
    kind.spoil(one_bad / "test" / "A")
    outcome = separation("evaluate", "--root", one_bad, "-m", "mix", "--out", tmp_path / "out", "--json")
    (line,) = errors(outcome)
    assert outcome.code == 1
    assert line.startswith(f"error: A: {kind.said}")
    assert [track["name"] for track in outcome.document["tracks"]] == ["B"]
    assert (tmp_path / "out" / "mix" / "test" / "B.json").is_file()


@EVERY_KIND
def test_a_bad_track_of_musdb18_hq_is_named(kind: Kind, one_bad: Path, tmp_path: Path) -> None:
    for name in ("A", "B"):
        soundfile.write(one_bad / "test" / name / "mixture.wav", noise(9), RATE)
    kind.spoil(one_bad / "test" / "A")
    outcome = separation("evaluate", "--root", one_bad, "--wav", "-m", "mix", "--out", tmp_path / "out", "--json")
    (line,) = errors(outcome)
    assert outcome.code == 1
    assert line.startswith(f"error: A: {kind.said}".replace("'drums.wav'", "'mixture.wav'"))
    assert [track["name"] for track in outcome.document["tracks"]] == ["B"]


def test_a_missing_stem_of_musdb18_hq_is_named(one_bad: Path) -> None:
    for name in ("A", "B"):
        soundfile.write(one_bad / "test" / name / "mixture.wav", noise(9), RATE)
    (one_bad / "test" / "A" / "bass.wav").unlink()
    (one_bad / "test" / "A" / "mixture.wav").unlink()
    outcome = separation("tracks", "--root", one_bad, "--wav")
    assert errors(outcome) == ["error: A: no file for mixture and bass"]
    assert outcome.stdout == "test      0.5 s  B\n"


@pytest.mark.parametrize("command", ["tracks", "evaluate"])
def test_exit_code_is_2_if_all_tracks_are_bad(command: str, one_bad: Path, tmp_path: Path) -> None:
    for name in ("A", "B"):
        empty(one_bad / "test" / name)
    more = ["-m", "mix", "--out", str(tmp_path / "out")] if command == "evaluate" else []
    outcome = separation(command, "--root", one_bad, *more)
    assert (outcome.code, len(errors(outcome))) == (2, 2)


def write_mp4(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = write_track(path.parent.parent / "wav", frames=RATE)
    write_stem_mp4(path, folder / "vocals.wav", {source: folder / f"{source}.wav" for source in SOURCES})
    shutil.rmtree(folder)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda good: b"", "cannot read 'A - B.stem.mp4': the file is empty"),
        (lambda good: b"hello\n", "cannot read 'A - B.stem.mp4': it is not an audio file that can be decoded"),
        (lambda good: good[: len(good) // 2], "cannot read 'A - B.stem.mp4': the file is cut off"),
    ],
    ids=["empty", "text", "cut"],
)
def test_a_bad_stem_file_of_musdb18_is_named(content: Callable[[bytes], bytes], said: str, tmp_path: Path) -> None:
    good = write_mp4(tmp_path / "test" / "C - D.stem.mp4")
    (tmp_path / "test" / "A - B.stem.mp4").write_bytes(content(good.read_bytes()))
    (tmp_path / "test" / "._A - B.stem.mp4").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X")
    good.rename(good.with_name("C - D.STEM.MP4"))
    outcome = separation("tracks", "--root", tmp_path, "--json")
    (line,) = errors(outcome)
    assert outcome.code == 1
    assert line.startswith(f"error: A - B: {said}")
    assert [track["name"] for track in outcome.document["tracks"]] == ["C - D"]


def test_a_stem_file_of_one_stream_is_named(tmp_path: Path) -> None:
    import av

    write_mp4(tmp_path / "test" / "C - D.stem.mp4")
    with av.open(str(tmp_path / "test" / "A - B.stem.mp4"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    outcome = separation("tracks", "--root", tmp_path)
    assert outcome.code == 1
    (line,) = errors(outcome)
    assert "'A - B.stem.mp4' holds 1 streams; a stem file has 5" in line


def test_a_truncated_stem_file_is_not_scored(tmp_path: Path) -> None:
    good = write_mp4(tmp_path / "test" / "C - D.stem.mp4")
    bad = good.with_name("A - B.stem.mp4")
    bad.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    outcome = separation("evaluate", "--root", tmp_path, "-m", "mix", "--out", tmp_path / "out", "--json")
    assert outcome.code == 1
    assert "error: A - B: cannot read 'A - B.stem.mp4': the file is cut off" in outcome.stderr
    assert [track["name"] for track in outcome.document["tracks"]] == ["C - D"]


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vocals.WAV", "Vocals.wav", "VOCALS.Flac", "vocals.aiff", "vocals.ogg"])
def test_stems_are_found_in_any_case_and_format(name: str, one_bad: Path) -> None:
    (one_bad / "test" / "A" / "vocals.wav").unlink()
    kind = name.rpartition(".")[2].upper()
    soundfile.write(one_bad / "test" / "A" / name, noise(0), RATE, format=kind)
    outcome = separation("tracks", "--root", one_bad, "--json")
    assert outcome.code == 0
    assert [track["sources"] for track in outcome.document["tracks"]] == [list(SOURCES)] * 2


@pytest.mark.parametrize("names", [("Train", "Valid"), ("TRAIN", "VALID")])
def test_subset_folders_are_found_in_any_case(names: tuple[str, str], training_set: Path, tmp_path: Path) -> None:
    (training_set / "train").rename(training_set / names[0])
    (training_set / "valid").rename(training_set / names[1])
    listed = separation("tracks", "--root", training_set, "--json").document["tracks"]
    assert [track["subset"] for track in listed] == ["train", "train", "valid", "valid"]
    assert train(training_set, tmp_path).code == 0


def test_hidden_files_of_file_managers_are_ignored(one_bad: Path, tmp_path: Path) -> None:
    for folder in (one_bad / "test" / "A", one_bad / "test", one_bad):
        for name in LITTER:
            (folder / name).write_bytes(b"\0\5\26\7")
    (one_bad / "test" / ".hidden").mkdir()
    (one_bad / "test" / ".hidden" / "vocals.wav").write_bytes(b"")
    shutil.copytree(one_bad / "test" / "A", one_bad / "test" / "__MACOSX" / "A")
    for outcome in (
        separation("tracks", "--root", one_bad),
        separation("evaluate", "--root", one_bad, "-m", "mix", "--out", tmp_path / "out"),
        separation("score", one_bad / "test" / "A", one_bad / "test" / "A"),
    ):
        assert (outcome.code, errors(outcome)) == (0, [])
    assert [track.name for track in find_tracks(one_bad)] == ["A", "B"]


@pytest.mark.parametrize("command", ["tracks", "evaluate", "train"])
def test_files_not_named_after_a_source_are_noted(command: str, training_set: Path, tmp_path: Path) -> None:
    for track in ("A", "B"):
        soundfile.write(training_set / "train" / track / "Flute.wav", noise(3), RATE)
    if command == "train":
        outcome = train(training_set, tmp_path)
    else:
        more = ["-m", "mix", "--out", str(tmp_path / "out"), "--subset", "train"] if command == "evaluate" else []
        outcome = separation(command, "--root", training_set, *more)
    assert outcome.code == 0
    assert "note: audio files other than vocals, drums, bass, other are not used" in outcome.stderr
    assert "such as 'A/Flute.wav' (2 in all): stems.toml can assign them" in outcome.stderr


def test_a_plain_folder_is_listed_and_scored(tmp_path: Path) -> None:
    write_track(tmp_path / "songs" / "one")
    assert separation("tracks", "--root", tmp_path / "songs").stdout == "-         0.5 s  one\n"
    outcome = separation("evaluate", "--root", tmp_path / "songs", "-m", "mix", "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert (tmp_path / "out" / "mix" / "test" / "one.json").is_file()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--subset", "test"], ["t"]),
        (["--subset", "train"], ["a", "v"]),
        (["--subset", "train", "--split", "train"], ["a"]),
        (["--subset", "train", "--split", "valid"], ["v"]),
    ],
)
def test_subsets_of_a_plain_set(more: list[str], expected: list[str], tmp_path: Path) -> None:
    for place in ("train/a", "valid/v", "test/t"):
        write_track(tmp_path / "songs" / place)
    outcome = separation("evaluate", "--root", tmp_path / "songs", "-m", "mix", "--out", tmp_path / "out", *more)
    assert outcome.code == 0, outcome.stderr
    assert sorted(path.stem for path in (tmp_path / "out").rglob("*.json")) == expected


def test_a_missing_subset_is_refused(tmp_path: Path) -> None:
    write_track(tmp_path / "songs" / "train" / "a")
    outcome = separation("evaluate", "--root", tmp_path / "songs", "-m", "mix", "--out", tmp_path / "out")
    assert (outcome.code, outcome.stderr) == (2, "error: 'songs' holds no tracks in test\n")


# -- train -----------------------------------------------------------------------------------------


@pytest.fixture
def training_set(tmp_path: Path) -> Path:
    for seed, place in enumerate(("train/A", "train/B", "valid/V", "valid/W")):
        write_track(tmp_path / "set" / place, seed=seed, frames=RATE // 2)
    return tmp_path / "set"


def train(root: Path, tmp_path: Path) -> Outcome:
    config = tmp_path / "mine.toml"
    config.write_text(toml(TINY_OPEN_UNMIX | {"epochs": 1, "epoch_steps": 1}))
    return separation(
        "train", "open-unmix", "--root", root, "--out", tmp_path / "run", "--config", config, "--device", "cpu",
        "--target", "vocals", "--json",
    )  # fmt: skip


@EVERY_KIND
def test_train_skips_a_bad_track(kind: Kind, training_set: Path, tmp_path: Path) -> None:
    kind.spoil(training_set / "train" / "A")
    kind.spoil(training_set / "valid" / "V")
    outcome = train(training_set, tmp_path)
    assert outcome.code == 1
    first, second = errors(outcome)
    assert first.startswith(f"warning: set/A is skipped: {kind.said}")
    assert second.startswith(f"warning: set/V is skipped: {kind.said}")
    document = outcome.document
    assert [(track["data"], track["name"]) for track in document["skipped"]] == [("set", "A"), ("set", "V")]
    assert document["steps"] == 1


def test_train_skips_a_validation_track_of_a_few_samples(training_set: Path, tmp_path: Path) -> None:
    """No window of a transform would fit into it."""
    for source in SOURCES:
        soundfile.write(training_set / "valid" / "V" / f"{source}.wav", noise(0, frames=20), RATE)
    outcome = train(training_set, tmp_path)
    assert outcome.code == 1
    assert errors(outcome) == ["warning: set/V is skipped: it has 20 samples; validation needs 0.1 s"]


def test_train_skips_surround_sound(training_set: Path, tmp_path: Path) -> None:
    for place in ("train/A", "valid/V"):
        for source in SOURCES:
            soundfile.write(training_set / place / f"{source}.wav", noise(0, channels=3), RATE)
    outcome = train(training_set, tmp_path)
    assert outcome.code == 1
    assert errors(outcome) == [
        "warning: set/A is skipped: vocals has 3 channels, not 2",
        "warning: set/V is skipped: its stems have 3 channels, not 1 or 2",
    ]


@pytest.mark.parametrize(("part", "said"), [("train", "no training track"), ("valid", "no validation track")])
def test_train_is_refused_if_no_track_is_left(part: str, said: str, training_set: Path, tmp_path: Path) -> None:
    for folder in (training_set / part).iterdir():
        empty(folder)
    outcome = train(training_set, tmp_path)
    assert outcome.code == 2
    first = "A" if part == "train" else "V"
    expected = f"error: {said} can be read; the first is '{first}': cannot read 'vocals.wav': the file is empty"
    assert outcome.stderr.splitlines()[-1] == expected


def test_the_skipped_track_is_named_again_when_the_data_is_used_again(training_set: Path, tmp_path: Path) -> None:
    empty(training_set / "train" / "A")
    first = train(training_set, tmp_path)
    shutil.rmtree(tmp_path / "run")
    again = train(training_set, tmp_path)
    assert "decoding" not in again.stderr
    assert errors(again) == errors(first) != []


# -- score -----------------------------------------------------------------------------------------


def write_pair(root: Path) -> tuple[Path, Path]:
    """References and estimates that are nearly right."""
    references, estimates = (write_track(root / name) for name in ("references", "estimates"))
    for path in estimates.iterdir():
        wave, rate = soundfile.read(path)
        soundfile.write(path, 0.8 * wave + 0.01 * noise(77), rate, subtype="FLOAT")
    return references, estimates


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The SIR of each estimate of `folders`, before anything is wrong with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("separation.evaluation.projection.TAPS", 16)
        return sir(separation("score", *write_pair(tmp_path_factory.mktemp("whole")), "--json"))


def sir(outcome: Outcome) -> dict[str, float]:
    return {target: scores["SIR"] for target, scores in outcome.document["targets"].items()}


@EVERY_KIND
def test_score_skips_a_bad_estimate(kind: Kind, folders: tuple[Path, Path], whole: dict[str, float]) -> None:
    """The others' SIR stays, since the reference of the bad one is still there."""
    kind.spoil(folders[1])
    outcome = separation("score", *folders, "--json")
    if kind.spoil is shorter:
        assert (outcome.code, errors(outcome)) == (0, [])
        assert "note: 'vocals.wav' has 1000 samples where the references have 22050: it is padded" in outcome.stderr
        return
    (line,) = errors(outcome)
    assert outcome.code == 1
    said = kind.said.replace("'drums.wav' has", "the references have")
    assert line.startswith(f"error: vocals: {said}")
    assert sir(outcome) == pytest.approx({name: whole[name] for name in ("bass", "drums", "other")}, abs=1e-6)
    (failed,) = outcome.document["failed"]
    assert failed == {"target": "vocals", "error": line.removeprefix("error: vocals: ")}
    table = separation("score", *folders)
    assert table.code == 1
    assert [row.split()[0] for row in table.stdout.splitlines()[1:]] == ["bass", "drums", "other"]


@EVERY_KIND
def test_score_refuses_a_bad_reference(kind: Kind, folders: tuple[Path, Path]) -> None:
    kind.spoil(folders[0])
    outcome = separation("score", *folders, "--json")
    (line,) = outcome.stderr.splitlines()
    assert (outcome.code, outcome.stdout) == (2, "")
    assert line.startswith(f"error: {kind.said.replace('drums', 'bass')}")


def test_score_names_all_estimates_if_all_are_bad(folders: tuple[Path, Path]) -> None:
    for path in folders[1].iterdir():
        path.write_bytes(b"")
    outcome = separation("score", *folders)
    assert (outcome.code, outcome.stdout) == (2, "")
    (line,) = outcome.stderr.splitlines()
    assert all(f"cannot read '{source}.wav': the file is empty" in line for source in SOURCES)


def test_score_names_the_silent_estimate(folders: tuple[Path, Path]) -> None:
    soundfile.write(folders[1] / "vocals.wav", 0 * noise(0), RATE)
    outcome = separation("score", *folders)
    assert outcome.code == 0
    assert "note: the estimate of vocals is silent throughout" in outcome.stderr


def test_score_names_the_silent_reference(folders: tuple[Path, Path]) -> None:
    soundfile.write(folders[0] / "vocals.wav", 0 * noise(0), RATE)
    outcome = separation("score", *folders)
    assert outcome.code == 0
    assert "note: vocals is silent throughout" in outcome.stderr


def test_score_names_stems_without_a_counterpart(folders: tuple[Path, Path]) -> None:
    (folders[1] / "vocals.wav").rename(folders[1] / "voice.wav")
    outcome = separation("score", *folders, "--json")
    assert outcome.code == 0
    expected = ["the reference vocals has no estimate and is left out"]
    expected += ["the estimate voice has no reference and is left out"]
    assert outcome.document["notes"] == expected
    assert outcome.stderr.splitlines() == [f"note: {note}" for note in expected]


@pytest.mark.parametrize("name", ["Vocals.wav", "VOCALS.WAV", "vocals.flac", "vocals.Aiff"])
def test_score_reads_names_in_any_case_and_format(
    name: str, folders: tuple[Path, Path], whole: dict[str, float]
) -> None:
    wave, rate = soundfile.read(folders[1] / "vocals.wav")
    (folders[1] / "vocals.wav").unlink()
    subtype = "FLOAT" if name.lower().endswith("wav") else "PCM_24"
    soundfile.write(folders[1] / name, wave, rate, subtype=subtype, format=name.rpartition(".")[2].upper())
    outcome = separation("score", *folders, "--json")
    assert outcome.code == 0, outcome.stderr
    assert sir(outcome) == pytest.approx(whole, abs=0.01)


def test_composed_and_decomposed_accents_are_equal(folders: tuple[Path, Path]) -> None:
    """macOS stores "é" as two characters."""
    (folders[0] / "other.wav").rename(folders[0] / "caf\N{LATIN SMALL LETTER E WITH ACUTE}.wav")
    (folders[1] / "other.wav").rename(folders[1] / "cafe\N{COMBINING ACUTE ACCENT}.wav")
    outcome = separation("score", *folders, "--json")
    assert list(outcome.document["targets"]) == ["bass", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "drums", "vocals"]
    assert outcome.document["notes"] == []


def test_an_estimate_that_libsndfile_does_not_read_is_scored(folders: tuple[Path, Path]) -> None:
    import av

    wave = np.ascontiguousarray(soundfile.read(folders[1] / "vocals.wav", dtype="float32")[0].T)
    (folders[1] / "vocals.wav").unlink()
    with av.open(str(folders[1] / "vocals.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        stream.bit_rate = 256_000
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    outcome = separation("score", *folders, "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.document["targets"]["vocals"]["SI-SDR"] > 5
