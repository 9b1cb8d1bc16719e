"""`separate`: documents on standard output, exit codes, one line for each problem."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.cli.helpers import RATE, SOURCES, error_line, python_m_separation, separation, write_song
from tests.unreadable_folder import deny_reading

#: What design.md promises of a result; more fields may come, none may go.
RESULT_FIELDS = {
    "input",
    "method",
    "model",
    "stems",
    "sample_rate",
    "channels",
    "frames",
    "residual_db",
    "gain_db",
    "seconds",
    "real_time_factor",
    "device",
    "card",
}


def test_one_good_and_one_bad_file_give_exit_code_1(song: Path, out: Path) -> None:
    bad = song.with_name("bad.mp3")
    bad.write_text("no music")
    outcome = python_m_separation("separate", bad, song, "--method", "mix", "--out", out, "--json")
    assert outcome.code == 1
    document = outcome.document
    assert document.keys() >= {"results", "failed"}
    (failed,) = document["failed"]
    assert failed["input"] == str(bad)
    assert "'bad.mp3'" in failed["error"]
    (result,) = document["results"]
    assert result.keys() >= RESULT_FIELDS
    folder = out / "My Song" / "mix"
    assert sorted(path.name for path in out.rglob("*")) == sorted(
        ["My Song", "mix", "result.json", *(f"{source}.wav" for source in SOURCES)]
    )
    assert result["stems"] == {source: str(folder / f"{source}.wav") for source in SOURCES}
    assert result["card"] == str(folder / "result.json")
    assert (result["input"], result["method"], result["model"]) == (str(song), "mix", None)
    assert (result["sample_rate"], result["channels"], result["frames"]) == (RATE, 2, 22050)
    assert (result["gain_db"], result["device"]) == (0, "cpu")
    assert result["real_time_factor"] == pytest.approx(result["seconds"] / 0.5, abs=0.01)
    card = json.loads((folder / "result.json").read_text())
    assert card["command"].startswith("python -m separation separate ")
    assert card["command"].endswith(f"'{song}' --method mix --out {out} --json")
    assert "error: cannot read 'bad.mp3'" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_exit_code_is_0_for_good_files_and_2_for_bad_ones(song: Path, out: Path) -> None:
    assert separation("separate", song, "--method", "mix", "--out", out).code == 0
    bad = song.with_name("bad.wav")
    bad.write_text("no music")
    assert "cannot read 'bad.wav'" in error_line(separation("separate", bad, "-m", "mix", "--out", out / "bad"))
    assert not (out / "bad").exists()
    outcome = separation("separate", bad, bad.with_name("gone.wav"), "-m", "mix", "--out", out / "bad", "--json")
    assert outcome.code == 2
    assert outcome.document["results"] == []
    assert [failed["input"] for failed in outcome.document["failed"]] == [str(bad), str(bad.with_name("gone.wav"))]
    assert not (out / "bad").exists()


def test_a_truncated_file_is_separated_with_a_warning_or_refused(song: Path, out: Path) -> None:
    song.write_bytes(song.read_bytes()[:44044])
    outcome = separation("separate", song, "-m", "mix", "--out", out, "--json")
    assert outcome.code == 0
    assert "warning: My Song.wav: the file is cut off: it announces 88200 bytes and holds 44000" in outcome.stderr
    (result,) = outcome.document["results"]
    assert result["frames"] == 11000
    assert result["warnings"] == ["the file is cut off: it announces 88200 bytes and holds 44000"]
    line = error_line(separation("separate", song, "-m", "mix", "--out", out, "--strict"))
    assert line == "error: cannot read 'My Song.wav': the file is cut off: it announces 88200 bytes and holds 44000"


def test_without_json_standard_output_is_empty(song: Path, out: Path) -> None:
    outcome = separation("separate", song, "--method", "mix", "--out", out)
    assert outcome.stdout == ""
    assert str(out / "My Song" / "mix" / "drums.wav") in outcome.stderr


def test_by_default_stems_go_to_a_folder_called_separated(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(song.parent)
    (result,) = separation("separate", song.name, "-m", "mix", "--json").document["results"]
    assert result["stems"]["bass"] == "separated/My Song/mix/bass.wav"
    assert Path(result["stems"]["bass"]).is_file()


def test_each_song_and_method_has_its_own_folder(song: Path, out: Path) -> None:
    second = song.with_name("Second.flac")
    write_song(second, seed=1)
    separation("separate", song, second, "-m", "mix", "--out", out)
    separation("separate", song, "-m", "ica", "--out", out)
    assert sorted(str(path.parent.relative_to(out)) for path in out.rglob("result.json")) == [
        "My Song/ica",
        "My Song/mix",
        "Second/mix",
    ]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (["--method", "nope"], "unknown method 'nope'; the methods are best, best-offline, fast, mix, hpss, ica"),
        (["--method", "open-unmix", "--model", "nope"], "no model or folder 'nope'"),
        (["--method", "mix", "--model", "umx"], "mix has no models"),
        (
            ["--method", "hpss", "--option", "speed=3"],
            "unknown option 'speed'; the options of this method are: crossover",
        ),
        (["--method", "hpss", "--option", "kernel=4"], "kernel must be odd"),
        (["--method", "hpss", "--option", "crossover"], "--option takes NAME=VALUE, got 'crossover'"),
        (["--method", "ica", "--option", "components=3"], "3 components need at least 3 channels, but the audio has 2"),
        (["--method", "mix", "--format", "aac"], "not as 'aac'"),
        (["--method", "mix", "--format", "flac", "--float32"], "--float32 needs WAV"),
        (["--method", "mix", "--device", "tpu"], "device must be auto, cpu, cuda or mps, got 'tpu'"),
        (["--method", "mix", "--stems", "vocals,flute"], "unknown stem 'flute'"),
        (["--method", "mix", "--two-stems", "flute"], "mix has no stem 'flute' to separate from the rest"),
        (["--method", "mix", "--stems", ""], "no stems chosen"),
        (["--method", "mix", "--start", "0.5"], "the audio ends at 0.50 s"),
        (["--method", "mix", "--start", "-1"], "must start at 0 s or later"),
        (["--method", "mix", "--start", "1e308"], "the audio ends at 0.50 s"),
        (["--method", "mix", "--duration", "0"], "must last longer than 0 s"),
        (["--method", "mix", "--duration", "nan"], "must last longer than 0 s"),
        (["--method", "irm"], "irm is an oracle: it needs the true sources"),
    ],
    ids=" ".join,
)
def test_invalid_options_are_reported_in_one_line_with_exit_code_2(
    wrong: list[str], expected: str, song: Path, out: Path
) -> None:
    assert expected in error_line(separation("separate", song, *wrong, "--out", out))
    assert not out.exists()


def test_a_song_too_short_for_the_method_is_refused(song: Path, out: Path) -> None:
    outcome = separation("separate", song, "-m", "hpss", "--duration", "0.01", "--out", out)
    assert outcome.code == 2
    assert "error: the audio is too short: hpss needs at least 0.093 s (4096 samples" in outcome.stderr
    assert not out.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_refused(song: Path, out: Path) -> None:
    assert "no CUDA device" in error_line(separation("separate", song, "-m", "mix", "--device", "cuda", "--out", out))


@pytest.mark.parametrize("arguments", [[], ["-m", "mix"], ["song.wav", "-m", "mix", "--start", "soon"]])
def test_wrong_usage_gives_exit_code_2_and_no_standard_output(arguments: list[str]) -> None:
    outcome = separation("separate", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "Usage" in outcome.stderr


def test_files_of_the_same_name_are_refused_before_any_work(song: Path, out: Path) -> None:
    write_song(song.parent / "more" / "My Song.flac")
    outcome = separation("separate", song, song.parent / "more" / "My Song.flac", "-m", "mix", "--out", out)
    assert "several files are called 'My Song'" in error_line(outcome)
    assert not out.exists()


def test_start_and_duration_select_an_excerpt(song: Path, out: Path) -> None:
    whole = write_song(song)
    outcome = separation(
        "separate", song, "-m", "mix", "--start", "0.1", "--duration", "0.2", "--float32", "--out", out, "--json"
    )
    (result,) = outcome.document["results"]
    assert result["frames"] == 8820
    stem, _ = soundfile.read(result["stems"]["other"], dtype="float32")
    np.testing.assert_array_equal(stem, (whole[4410 : 4410 + 8820] / 4).astype(np.float32))
    assert json.loads(Path(result["card"]).read_text())["start"] == 0.1


@pytest.mark.parametrize(
    ("wishes", "format", "subtype"),
    [
        ([], "WAV", "PCM_24"),
        (["--float32"], "WAV", "FLOAT"),
        (["--format", "flac"], "FLAC", "PCM_24"),
        (["--format", "ogg"], "OGG", "VORBIS"),
        (["--format", "mp3"], "MP3", "MPEG_LAYER_III"),
    ],
)
def test_stems_and_format_options_select_the_output(
    wishes: list[str], format: str, subtype: str, song: Path, out: Path
) -> None:
    outcome = separation("separate", song, "-m", "mix", "--stems", " drums, bass", *wishes, "--out", out, "--json")
    (result,) = outcome.document["results"]
    assert list(result["stems"]) == ["drums", "bass"]
    assert sorted(path.stem for path in (out / "My Song" / "mix").iterdir()) == ["bass", "drums", "result"]
    for path in result["stems"].values():
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.frames) == (format, subtype, 22050)
        assert path.endswith(f".{format.lower()}")


def test_four_microphones_give_four_components(tmp_path: Path, out: Path) -> None:
    write_song(tmp_path / "room.wav", channels=4)
    (result,) = separation("separate", tmp_path / "room.wav", "-m", "ica", "--out", out, "--json").document["results"]
    assert list(result["stems"]) == [f"component {number}" for number in range(1, 5)]
    assert result["channels"] == 4
    assert all(soundfile.info(path).channels == 4 for path in result["stems"].values())
    assert result["residual_db"] < -80


def test_options_reach_the_method(tmp_path: Path, out: Path) -> None:
    write_song(tmp_path / "room.wav", channels=4)
    outcome = separation(
        "separate", tmp_path / "room.wav", "-m", "ica", "--option", "components=3", "--option", "seed = 4", "--json",
        "--out", out,
    )  # fmt: skip
    (result,) = outcome.document["results"]
    assert len(result["stems"]) == 3
    options = json.loads(Path(result["card"]).read_text())["options"]
    assert (options["components"], options["seed"]) == (3, 4)


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_notes_of_the_method_are_printed_for_every_song(tmp_path: Path, out: Path) -> None:
    for name in ("first.wav", "second.wav"):
        write_song(tmp_path / name, channels=3)
    outcome = separation(
        "separate", tmp_path / "first.wav", tmp_path / "second.wav", "-m", "ica", "--option", "max_iterations=1",
        "--out", out, "--json",
    )  # fmt: skip
    assert outcome.code == 0
    assert outcome.stderr.count("warning: ICA did not converge within 1 iterations") == 2
    for result in outcome.document["results"]:
        assert "did not converge" in result["warnings"][0]
        assert "did not converge" in json.loads(Path(result["card"]).read_text())["warnings"][0]


def test_the_common_gain_of_a_loud_song_is_printed(tmp_path: Path, out: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", np.full((1000, 2), 8.0), RATE, subtype="FLOAT")
    outcome = separation("separate", tmp_path / "loud.wav", "-m", "mix", "--out", out, "--json")
    assert outcome.document["results"][0]["gain_db"] == pytest.approx(-20 * math.log10(2), abs=0.001)
    assert "all lowered by 6.0 dB so that none clips" in outcome.stderr


def test_silence_gives_null_instead_of_nan_in_json(tmp_path: Path, out: Path) -> None:
    write_song(tmp_path / "silence.wav", level=0.0)
    for method in ("mix", "ica"):
        outcome = separation("separate", tmp_path / "silence.wav", "-m", method, "--out", out, "--json")
        (result,) = outcome.document["results"]
        assert result["residual_db"] is None


@pytest.mark.parametrize("name", ["...wav", "..wav", ".wav", "-x.wav"])
def test_song_names_cannot_leave_the_output_folder(
    name: str, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_song(tmp_path / "in" / "song.wav")
    (tmp_path / "in" / "song.wav").rename(tmp_path / "in" / name)
    monkeypatch.chdir(tmp_path / "in")
    outcome = separation("separate", "-m", "mix", "--out", out, "--json", "--", name)
    assert outcome.code == 0
    (card,) = tmp_path.rglob("result.json")
    assert card.parent.parent.parent == out


def test_control_characters_in_file_names_are_printed_as_escapes(tmp_path: Path, out: Path) -> None:
    name = "a\nb\x1b[31m\u202ec.wav"
    write_song(tmp_path / name)
    outcome = separation("separate", tmp_path / name, "-m", "mix", "--out", out)
    assert outcome.code == 0
    assert "\x1b" not in outcome.stderr and "\u202e" not in outcome.stderr
    assert all(line.startswith(("a\\nb\\x1b[31m\\u202ec.wav: ", "  ")) for line in outcome.stderr.splitlines())
    assert (out / name.removesuffix(".wav") / "mix" / "vocals.wav").is_file()


def test_a_file_name_that_is_not_unicode_is_accepted(tmp_path: Path, out: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    write_song(tmp_path / "song.wav")
    (tmp_path / "song.wav").rename(tmp_path / name)
    outcome = python_m_separation(
        "separate", tmp_path / name, "-m", "mix", "--out", out, "--json", environment={"PYTHONIOENCODING": "utf-8"}
    )
    assert outcome.code == 0
    (result,) = outcome.document["results"]
    assert result["input"] == str(tmp_path / name)
    assert soundfile.info(result["stems"]["vocals"]).frames == 22050
    assert (out / "caf\N{REPLACEMENT CHARACTER}" / "mix").is_dir()


def test_a_subfolder_that_cannot_be_read_is_one_line(song: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (song.parent / "private").mkdir()
    deny_reading(monkeypatch, song.parent / "private")
    outcome = separation("separate", song.parent, "--out", out, "-m", "mix")
    assert outcome.code == 0
    assert outcome.stderr.splitlines()[0] == "warning: private was skipped: Permission denied"


def test_an_existing_output_file_is_reported_in_one_line(song: Path, out: Path) -> None:
    out.write_text("mine")
    assert "Not a directory" in error_line(separation("separate", song, "-m", "mix", "--out", out))
    assert out.read_text() == "mine"


def test_a_full_disk_is_reported_in_one_line(song: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: soundfile.SoundFile, data: np.ndarray) -> None:
        raise AssertionError  # what soundfile says if fewer frames were written than given

    monkeypatch.setattr(soundfile.SoundFile, "write", fail)
    outcome = separation("separate", song, "-m", "mix", "--out", out)
    assert outcome.code == 2
    assert outcome.stderr.splitlines()[-1].startswith(
        "error: My Song.wav: the stems cannot be written: the disk is full"
    )
    assert not out.exists()


#: The command line with a method that never ends.
ENDLESS = """
import time
from separation.__main__ import main
from separation.separators.mixture import Mix

def stream(self, mixture):
    sound = mixture.read(0, mixture.frames).expand(4, -1, -1)
    yield sound
    while True:
        yield sound[..., :0]
        time.sleep(0.05)

Mix._stream = stream
main()
"""


def test_sigterm_leaves_no_partial_result(song: Path, out: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, "separate", str(song), "-m", "mix", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 240
        while not any(draft.stat().st_size > 100_000 for draft in out.rglob("*.draft")):  # in the middle of it
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=240)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert not out.exists()


# -- oracles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["irm", "ibm", "mwf"])
def test_oracles_use_the_sources_next_to_the_mixture(method: str, sample: Path, out: Path) -> None:
    outcome = separation(
        "separate", sample / "mixture.flac", "-m", method, "--start", "3", "--duration", "1.5", "--out", out, "--json"
    )
    assert outcome.code == 0
    (result,) = outcome.document["results"]
    assert list(result["stems"]) == list(SOURCES)
    assert result["frames"] == round(1.5 * RATE)
    for source in SOURCES:
        reference, _ = soundfile.read(sample / f"{source}.ogg", start=3 * RATE, frames=round(1.5 * RATE))
        estimate, _ = soundfile.read(result["stems"][source])
        assert 10 * math.log10(np.sum(reference**2) / np.sum((reference - estimate) ** 2)) > 3


def test_an_oracle_without_its_sources_is_refused(sample: Path, tmp_path: Path, out: Path) -> None:
    mixture = shutil.copy(sample / "mixture.flac", tmp_path / "mixture.flac")
    assert "needs the true sources" in error_line(separation("separate", mixture, "-m", "mwf", "--out", out))
    shutil.copy(sample / "vocals.ogg", tmp_path / "vocals.ogg")
    outcome = separation("separate", mixture, "-m", "mwf", "--duration", "1", "--out", out)
    assert "at least two" in error_line(outcome)
    write_song(tmp_path / "drums.wav", frames=1000)
    outcome = separation("separate", mixture, "-m", "mwf", "--duration", "1", "--out", out)
    assert "'drums.wav' has 1000 samples where 'vocals.ogg' has 44100" in error_line(outcome)
    assert not out.exists()
