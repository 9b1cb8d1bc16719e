"""Scores of whole tracks, and the document that `score` prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from separation.__main__ import app
from separation.evaluation.folder_scores import match_sources, open_folders, score_folders

RATE = 8000


def write(folder: Path, **stems: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    for name, stem in stems.items():
        soundfile.write(folder / f"{name}.wav", stem, RATE, subtype="DOUBLE")
    return folder


@pytest.fixture
def stems() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: 0.1 * random.standard_normal((2 * RATE + 100, 2)) for name in ("vocals", "drums")}


@pytest.fixture
def folders(tmp_path: Path, stems: dict[str, np.ndarray]) -> tuple[Path, Path]:
    estimates = {name: 0.9 * stem + 0.1 * sum(stems.values()) for name, stem in stems.items()}
    return write(tmp_path / "references", **stems), write(tmp_path / "estimates", **estimates)


def test_the_json_document_has_all_fields(folders: tuple[Path, Path]) -> None:
    document = score_folders(*folders)
    assert "median over 1 s frames" in document["aggregation"]
    assert set(document["targets"]) == {"vocals", "drums"}
    for scores in document["targets"].values():
        assert set(scores) == {"SDR", "ISR", "SIR", "SAR", "uSDR", "SI-SDR", "frames", "masks"}
        assert [frame["time"] for frame in scores["frames"]] == [0.0, 1.0]
        assert {"time", "duration", "SDR", "ISR", "SIR", "SAR"} == set(scores["frames"][0])
        assert scores["SDR"] == pytest.approx(np.median([frame["SDR"] for frame in scores["frames"]]))


def test_a_silent_source_gives_null_and_a_note(folders: tuple[Path, Path], stems: dict[str, np.ndarray]) -> None:
    references, estimates = folders
    write(references, drums=np.zeros_like(stems["drums"]))
    document = json.loads(json.dumps(score_folders(references, estimates), allow_nan=False))
    assert document["notes"] == ["drums is silent throughout"]
    assert document["targets"]["vocals"]["SDR"] is None
    assert document["targets"]["vocals"]["uSDR"] is not None
    assert document["targets"]["drums"]["SI-SDR"] is None


def test_estimates_of_another_length_are_cut_or_padded(
    folders: tuple[Path, Path], stems: dict[str, np.ndarray]
) -> None:
    references, estimates = folders
    before = score_folders(references, estimates)["targets"]["vocals"]["frames"][0]["SDR"]
    longer = np.concatenate([soundfile.read(estimates / "vocals.wav")[0], np.ones((500, 2))])
    write(estimates, vocals=longer)
    after = score_folders(references, estimates)["targets"]["vocals"]["frames"][0]["SDR"]
    assert after == pytest.approx(before)


@pytest.mark.parametrize("case", ["nothing in common", "no folder", "rates", "channels", "lengths"])
def test_incomparable_input_is_refused_in_one_line(
    case: str, folders: tuple[Path, Path], stems: dict[str, np.ndarray]
) -> None:
    references, estimates = folders
    words = {
        "nothing in common": "no target in common",
        "no folder": "no folder 'nowhere'",
        "rates": "'vocals.wav' has 8000 Hz where 'drums.wav' has 16000",
        "channels": "'vocals.wav' has 1 channel where the references have 2",
        "lengths": "'vocals.wav' has 16099 samples where 'drums.wav' has 16100",
    }[case]
    if case == "nothing in common":
        for path in estimates.iterdir():
            path.rename(path.with_name(f"my {path.name}"))
    elif case == "no folder":
        estimates = estimates / "nowhere"
    elif case == "rates":
        soundfile.write(references / "drums.wav", stems["drums"], 2 * RATE)
    elif case == "channels":
        write(estimates, **{name: stem[:, :1] for name, stem in stems.items()})
    else:
        write(references, vocals=stems["vocals"][:-1])
    result = CliRunner().invoke(app, ["score", str(references), str(estimates)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_score_prints_and_writes_one_json_document(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    result = CliRunner().invoke(app, ["score", *map(str, folders), "--json", "--out", str(out)])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(out.read_text())
    table = CliRunner().invoke(app, ["score", *map(str, folders)]).stdout
    assert "SI-SDR" in table
    assert len(table.splitlines()) == 3


def test_lossy_references_are_rounded_to_16_bits(sample: Path, tmp_path: Path) -> None:
    """As they are decoded, nothing is above the codec's cut-off, and ISR, SIR and SAR are of chance."""
    rounded, estimates = tmp_path / "rounded", tmp_path / "estimates"
    rounded.mkdir()
    estimates.mkdir()
    mixture = soundfile.read(sample / "mixture.flac", frames=60000)[0]
    lossy = tmp_path / "lossy"
    lossy.mkdir()
    for name in ("vocals", "drums"):
        stem = soundfile.read(sample / f"{name}.ogg", frames=60000)[0]
        soundfile.write(lossy / f"{name}.ogg", stem, 44100)
        decoded = soundfile.read(lossy / f"{name}.ogg")[0]
        soundfile.write(rounded / f"{name}.wav", np.round(decoded * 32768) / 32768, 44100, subtype="DOUBLE")
        soundfile.write(estimates / f"{name}.wav", 0.8 * stem + 0.1 * mixture, 44100, subtype="PCM_24")
    assert score_folders(lossy, estimates)["targets"] == score_folders(rounded, estimates)["targets"]


def test_mask_scores_are_included(folders: tuple[Path, Path]) -> None:
    """The curve in the document is that of the masks' own room."""
    from separation.evaluation.mask_scores import mask_scores

    with open_folders(*folders) as opened:
        targets, curves = opened.targets, mask_scores(opened.references, opened.estimates)
    document = score_folders(*folders)
    for target, curve in zip(targets, curves, strict=True):
        masks = document["targets"][target]["masks"]
        assert masks["average_precision"] == curve.average_precision
        assert [point["threshold"] for point in masks["curve"]] == [n / 20 for n in range(21)]
        assert (masks["curve"][6]["precision"], masks["curve"][6]["recall"]) == curve.at(0.3)


def test_an_accompaniment_is_compared_with_the_sum_of_the_other_references(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    names = ("vocals", "drums", "bass", "other")
    stems = {name: 0.1 * random.standard_normal((2 * RATE, 2)) for name in names}
    rest = stems["drums"] + stems["bass"] + stems["other"]
    references = write(tmp_path / "references", **stems)
    write(tmp_path / "summed", vocals=stems["vocals"], accompaniment=rest)
    estimates = write(tmp_path / "estimates", vocals=0.5 * stems["vocals"], accompaniment=0.7 * rest)
    found = score_folders(references, estimates)["targets"]
    expected = score_folders(tmp_path / "summed", estimates)["targets"]
    assert list(found) == ["vocals", "accompaniment"]
    for target, scores in expected.items():
        assert found[target]["SDR"] == pytest.approx(scores["SDR"])
        assert found[target]["uSDR"] == pytest.approx(scores["uSDR"])


def test_a_perfect_estimate_scores_infinity(folders: tuple[Path, Path]) -> None:
    references, _ = folders
    scores = score_folders(references, references)["targets"]["vocals"]
    assert scores["SDR"] == scores["SI-SDR"] == np.inf
    assert scores["frames"][0]["SDR"] == np.inf
    assert 90 < scores["uSDR"] < np.inf  # its definition adds a constant to both energies


def test_an_instrumental_is_compared_with_the_sum_of_the_other_sources(tmp_path: Path) -> None:
    references = {name: Path(name) for name in ("vocals", "drums", "bass", "other")}
    estimates = {name: Path(f"estimated {name}") for name in ("vocals", "instrumental")}
    rest = [references[name] for name in ("drums", "bass", "other")]
    assert match_sources(references, estimates)["instrumental"] == (rest, [estimates["instrumental"]])
    for others in ("drums", "vocals", "bass"):  # whatever else is estimated
        assert match_sources(references, {"no_drums": Path("x"), others: Path("y")})["no_drums"][0] == [
            references[name] for name in ("vocals", "bass", "other")
        ]


@pytest.mark.parametrize("name", ["instrumental", "accompaniment"])
def test_an_instrumental_alone_is_compared_without_the_vocals(name: str) -> None:
    references = {source: Path(source) for source in ("vocals", "drums", "bass", "other")}
    rest = [references[source] for source in ("drums", "bass", "other")]
    assert match_sources(references, {name: Path("x")})[name] == (rest, [Path("x")])
    assert match_sources({"vocals": Path("vocals")}, {name: Path("x")}) == {}
