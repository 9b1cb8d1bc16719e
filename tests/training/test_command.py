"""`train` and `models export` as users call them: from a folder of stems to a model that separates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openunmix.utils
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from separation.audio.files import read
from separation.separators import create
from separation.training.run_folder import RunFolder
from separation.training.setup import build_trainer
from separation.weights import catalogue
from tests.cli.helpers import Outcome, error_line, python_m_separation, separation
from tests.conftest import snr
from tests.models.helpers import randomise
from tests.training.conftest import (
    RATE,
    RECIPES,
    SOURCES,
    TINY_DEMUCS,
    TINY_OPEN_UNMIX,
    synthetic_stems,
    tiny_recipe,
    toml,
    write_data_set,
    write_track,
)

TINY = {"open-unmix": TINY_OPEN_UNMIX, "demucs": TINY_DEMUCS}
Train = Callable[..., Outcome]


@pytest.fixture
def train(data_root: Path, tmp_path: Path) -> Train:
    """``train("demucs", "--target", "vocals", out=..., root=..., **config)``: one epoch of two steps."""

    def run(recipe: str, *more: str | Path, out: str | Path = "run", root: Path = data_root, **changed: Any) -> Outcome:
        path = tmp_path / "mine.toml"
        path.write_text(toml(TINY.get(recipe, {}) | {"epochs": 1} | changed))
        out = tmp_path / out
        return separation("train", recipe, "--root", root, "--out", out, "--config", path, "--device", "cpu", *more)

    return run


def reports_of(outcome: Outcome) -> list[str]:
    """Return the lines about epochs on standard error."""
    assert outcome.code == 0, outcome.stderr
    return [line for line in outcome.stderr.splitlines() if line.startswith("epoch ")]


def test_a_cache_that_cannot_be_written_is_one_sentence(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEPARATION_HOME", str(tmp_path / "file"))
    outcome = train("demucs")
    assert outcome.code == 2
    assert error_line(outcome).startswith("error: cannot write the run: ")
    assert error_line(outcome).endswith("Not a directory")


def separated(song: Path, method: str, model: Path, out: Path, *more: str) -> dict[str, Path]:
    outcome = separation("separate", song, "--method", method, "--model", model, "--out", out, *more, "--json")
    assert outcome.code == 0, outcome.stderr
    (result,) = outcome.document["results"]
    return {name: Path(path) for name, path in result["stems"].items()}


@pytest.fixture(scope="module")
def song(data_root: Path) -> Path:
    return data_root / "valid" / "song 1" / "other.wav"


@pytest.mark.parametrize("name", RECIPES)
def test_a_training_ends_with_a_model_that_separates(name: str, train: Train, song: Path, tmp_path: Path) -> None:
    outcome = train(name, "--json", epochs=2)
    first, last = reports_of(outcome)
    assert first.startswith("epoch 1: training loss ")
    assert last.startswith("epoch 2: training loss ")
    assert first.endswith("; the best so far, saved")
    assert f"{tmp_path / 'run'} is a model: separate with --method {name} --model {tmp_path / 'run'}" in outcome.stderr
    document = outcome.document  # one, and nothing else
    log = [json.loads(line) for line in (tmp_path / "run" / "all" / "log.jsonl").read_text().splitlines()]
    assert document == {
        "run": str(tmp_path / "run"),
        "job": "all",
        "steps": 4,
        "best": min(log, key=lambda entry: entry["valid_loss"]),
        "skipped": [],
    }
    stems = separated(song, name, tmp_path / "run", tmp_path / "stems")
    assert list(stems) == list(SOURCES)
    for path in stems.values():
        sound, rate = soundfile.read(path)
        assert (len(sound), rate) == (soundfile.info(song).frames, RATE)
        assert np.isfinite(sound).all()
        assert sound.any()


def test_without_json_standard_output_is_empty(train: Train) -> None:
    assert train("demucs").stdout == ""


def test_a_separate_process_prints_only_json(data_root: Path, tmp_path: Path) -> None:
    """No imported library writes to standard output."""
    (tmp_path / "mine.toml").write_text(toml(TINY_DEMUCS | {"epochs": 1}))
    outcome = python_m_separation(
        *("train", "demucs", "--root", data_root, "--out", tmp_path / "run", "--config", tmp_path / "mine.toml"),
        *("--device", "cpu", "--json"),
    )
    assert outcome.code == 0, outcome.stderr
    assert outcome.document["steps"] == 2
    assert "Traceback" not in outcome.stderr


def test_runs_of_one_target_each_become_one_model(train: Train, song: Path, tmp_path: Path) -> None:
    for target in ("drums", "vocals"):
        outcome = train("open-unmix", "--target", target, "--json")
        assert outcome.document["job"] == target
        assert list(outcome.document["best"]["sdr"]) == [target]
        if target == "drums":
            stems = separated(song, "open-unmix", tmp_path / "run", tmp_path / "one", "--option", "residual=true")
            assert list(stems) == ["drums", "residual"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == ["drums", "vocals"]
    stems = separated(song, "open-unmix", tmp_path / "run", tmp_path / "both")
    assert list(stems) == ["vocals", "drums"]


def test_the_config_file_is_used(train: Train, tmp_path: Path) -> None:
    train("demucs", learning_rate=0.002, channels=3, ema=0.5, gain=[0.5, 1.0])
    config = json.loads((tmp_path / "run" / "all" / "config.json").read_text())
    assert (config["learning_rate"], config["channels"], config["ema"]) == (0.002, 3, 0.5)
    assert (config["gain"], config["flip"], config["epochs"]) == ([0.5, 1.0], 0.5, 1)


def test_data_is_decoded_once(train: Train, own_cache: Path) -> None:
    first = train("demucs", out="one")
    assert "decoding: 0 of 3, song 0" in first.stderr
    (store,) = (own_cache / "stores").iterdir()
    assert "decoding" not in train("open-unmix", out="two").stderr
    assert list((own_cache / "stores").iterdir()) == [store]
    train("demucs", out="three", speeds=[1.0, 0.5])
    assert len(list((own_cache / "stores").iterdir())) == 2, "other speeds are another store"


def test_several_data_sets_and_musdb_root(train: Train, data_root: Path, tmp_path: Path) -> None:
    write_track(tmp_path / "solo" / "voice", silent=("drums", "bass", "other"))
    outcome = train("open-unmix", "--root", tmp_path / "solo", "--target", "vocals", random_tracks=True)
    assert reports_of(outcome)
    assert json.loads((tmp_path / "run" / "model.json").read_text())["trained_on"] == "tiny, solo"
    arguments: list[str | Path] = ["train", "demucs", "--out", tmp_path / "other", "--config", tmp_path / "mine.toml"]
    (tmp_path / "mine.toml").write_text(toml(TINY_DEMUCS | {"epochs": 1}))
    assert reports_of(separation(*arguments, environment={"MUSDB_ROOT": str(data_root)}))


def test_a_validation_track_may_be_mono_slower_and_lack_a_source(data_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "mixed"
    shutil.copytree(data_root / "train", root / "train")
    (root / "valid" / "song").mkdir(parents=True)
    stems = synthetic_stems(0, RATE)
    for source in ("vocals", "bass"):
        soundfile.write(root / "valid" / "song" / f"{source}.wav", stems[source][::2].mean(1), RATE // 2)
    (tmp_path / "mine.toml").write_text(toml(TINY_DEMUCS))
    trainer = build_trainer("demucs", roots=[root], out=tmp_path / "run", config=tmp_path / "mine.toml")
    (track,) = trainer.validation
    assert (track.shape, track.dtype) == ((4, 2, RATE), torch.float32)
    assert not track[[1, 3]].any()
    assert torch.equal(track[:, 0], track[:, 1])
    assert snr(track[2, :, 2000:-2000], torch.from_numpy(stems["bass"].mean(1)[2000:-2000]).expand(2, -1)) > 35


def test_a_run_is_resumed_only_with_the_option(train: Train, tmp_path: Path) -> None:
    train("demucs")
    weights = next((tmp_path / "run").glob("*.safetensors")).read_bytes()
    assert (
        error_line(train("demucs"))
        == "error: 'run' already holds a run of 'all': pass --resume to continue it, or another --out"
    )
    assert next((tmp_path / "run").glob("*.safetensors")).read_bytes() == weights
    outcome = train("demucs", "--resume", "--json", epochs=3)
    assert [line.split(":")[0] for line in reports_of(outcome)] == ["epoch 2", "epoch 3"]
    assert outcome.document["steps"] == 6
    again = train("demucs", "--resume", "--json", epochs=3)
    assert reports_of(again) == []
    assert again.document == outcome.document
    train("demucs", out="whole", epochs=3)
    whole, parts = (next((tmp_path / name).glob("all-*.safetensors")) for name in ("whole", "run"))
    assert parts.read_bytes() == whole.read_bytes()


def test_resuming_with_other_options_or_data_is_refused(train: Train, tmp_path: Path) -> None:
    train("demucs")
    assert "the run was started with batch = 4, not 8" in error_line(train("demucs", "--resume", batch=8))
    write_data_set(tmp_path / "more", train=1, valid=1)
    assert "the run was started with data = " in train("demucs", "--resume", root=tmp_path / "more").stderr


def test_resume_starts_a_run_that_does_not_exist(train: Train) -> None:
    assert len(reports_of(train("demucs", "--resume"))) == 1


def test_a_damaged_checkpoint_is_reported_in_one_line(train: Train, tmp_path: Path) -> None:
    train("demucs")
    path = next((tmp_path / "run" / "all").glob("step-*.pt"))
    path.write_bytes(path.read_bytes()[:1000])
    assert f"the checkpoint {path.name} is damaged" in error_line(train("demucs", "--resume", epochs=2))


STANDSTILL = {"learning_rate": 1e-30, "weight_decay": 0.0}


def trained_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return weights by source and name, without the batch counters of batch normalisation."""
    return {
        f"{path.name.split('-')[0]}/{name}": tensor
        for path in folder.glob("*.safetensors")
        for name, tensor in load_file(path).items()
        if "running" not in name and "num_batches" not in name
    }


@dataclass
class Upstreams:
    """Write a folder in the format of upstream's trainer, with weights like trained ones."""

    folder: Path

    def __init__(self, folder: Path, *, hidden_size: int = 8, more: dict[str, torch.Tensor] | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        common = {"nfft": 512, "nhop": 256, "sample_rate": RATE, "nb_channels": 2}
        (folder / "separator.json").write_text(json.dumps(common))
        recipe = tiny_recipe("open-unmix", hidden_size=hidden_size)
        for number, (source, objective) in enumerate(recipe.objectives.items()):
            (folder / f"{source}.json").write_text(json.dumps({"args": common | {"hidden_size": hidden_size}}))
            state = randomise(objective.network, seed=number).state_dict()
            torch.save(dict(state) | (more or {}), folder / f"{source}.pth")

    def weights(self) -> dict[str, torch.Tensor]:
        return {
            f"{source}/{name}": tensor
            for source in SOURCES
            for name, tensor in torch.load(self.folder / f"{source}.pth", weights_only=True).items()
            if "running" not in name and "num_batches" not in name
        }


@pytest.mark.parametrize("target", ["all", "bass"])
def test_training_starts_from_the_weights_of_a_model(train: Train, tmp_path: Path, target: str) -> None:
    upstreams = Upstreams(tmp_path / "upstreams")
    reports_of(train("open-unmix", "--init", upstreams.folder, "--target", target, out="ours", **STANDSTILL))
    expected = upstreams.weights()
    found = trained_weights(tmp_path / "ours")
    assert {name.split("/")[0] for name in found} == (set(SOURCES) if target == "all" else {target})
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], msg=name)


@pytest.mark.parametrize("name", RECIPES)
def test_training_starts_from_the_weights_of_a_run(train: Train, tmp_path: Path, name: str) -> None:
    train(name, out="first", seed=7)
    reports_of(train(name, "--init", tmp_path / "first", out="second", **STANDSTILL))
    one, other = trained_weights(tmp_path / "first"), trained_weights(tmp_path / "second")
    assert one.keys() == other.keys()
    for key, tensor in one.items():
        torch.testing.assert_close(other[key], tensor, msg=key)


@pytest.mark.parametrize("legacy", ["sample_rate", "stft.window", "transform.0.window"])
def test_training_starts_from_released_weights_with_legacy_keys(train: Train, tmp_path: Path, legacy: str) -> None:
    upstreams = Upstreams(tmp_path / "upstreams", more={legacy: torch.ones(3)})
    assert create("open-unmix", model=str(upstreams.folder)).sources == SOURCES, "one can separate with them"
    reports_of(train("open-unmix", "--init", upstreams.folder, out="ours", **STANDSTILL))


def test_training_starts_from_weights_without_batch_counters(train: Train, tmp_path: Path) -> None:
    upstreams = Upstreams(tmp_path / "upstreams")
    for path in upstreams.folder.glob("*.pth"):
        state = torch.load(path, weights_only=True)
        torch.save({key: value for key, value in state.items() if "num_batches" not in key}, path)
    assert create("open-unmix", model=str(upstreams.folder)).sources == SOURCES, "one can separate with them"
    reports_of(train("open-unmix", "--init", upstreams.folder, out="ours", **STANDSTILL))
    begun = json.loads((tmp_path / "ours" / "all" / "config.json").read_text(encoding="utf-8"))
    assert begun["initial"] == "upstreams", "whose weights they were stays known"


def test_a_run_stopped_before_its_first_checkpoint_keeps_its_initial_model(train: Train, tmp_path: Path) -> None:
    """Resuming without --init asks for the initial weights; it never uses others."""
    upstreams = Upstreams(tmp_path / "upstreams")
    train("open-unmix", "--init", upstreams.folder, "--target", "bass", **STANDSTILL)
    for path in (tmp_path / "run" / "bass").glob("step-*"):
        path.unlink()
    outcome = train("open-unmix", "--resume", "--target", "bass", **STANDSTILL)
    assert outcome.code == 2
    assert error_line(outcome) == (
        "error: the run was stopped before its first checkpoint: "
        "resume it as it was started, with --init and the model 'upstreams'"
    )
    outcome = train("open-unmix", "--resume", "--init", upstreams.folder, "--target", "bass", **STANDSTILL)
    assert outcome.code == 0, outcome.stderr
    for name, tensor in trained_weights(tmp_path / "run").items():
        torch.testing.assert_close(tensor, upstreams.weights()[name], msg=name)


def test_weights_that_do_not_fit_are_refused(train: Train, tmp_path: Path) -> None:
    upstreams = Upstreams(tmp_path / "upstreams", hidden_size=16)
    assert "does not fit open-unmix" in error_line(train("open-unmix", "--init", upstreams.folder, out="ours"))
    assert "no model or folder 'nothing'" in error_line(train("open-unmix", "--init", "nothing", out="ours"))
    assert "is a model for open-unmix, not for demucs" in error_line(
        train("demucs", "--init", upstreams.folder, out="ours")
    )
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("recipe", "more", "said"),
    [
        ("unmix", [], "unknown recipe 'unmix'; choose open-unmix or demucs"),
        (
            "open-unmix",
            ["--target", "flute"],
            "the target must be all or one of vocals, drums, bass, other, got 'flute'",
        ),
        ("demucs", ["--target", "vocals"], "Demucs is trained on all sources at once: omit --target, got 'vocals'"),
        ("demucs", ["--config", "none.toml"], "none.toml is not a readable TOML file"),
        ("demucs", ["--root", "nowhere"], "no folder 'nowhere'"),
        ("demucs", ["--init", "nowhere"], "no model or folder 'nowhere'"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    recipe: str, more: list[str], said: str, train: Train, tmp_path: Path, own_cache: Path
) -> None:
    outcome = train(recipe, *more, "--json")
    assert said in error_line(outcome)
    assert outcome.stdout == ""
    assert not (tmp_path / "run").exists()
    assert not (own_cache / "stores").exists(), "nothing was decoded for it"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bach": 16}, "mine.toml: unknown key 'bach'; the keys are "),
        ({"batch": 0}, "mine.toml: batch must be at least 1, got 0"),
        ({"batch": "many"}, "mine.toml: batch must be int, got 'many'"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(
    changed: dict[str, Any], said: str, train: Train, own_cache: Path
) -> None:
    assert said in error_line(train("demucs", **changed))
    assert not (own_cache / "stores").exists()


def test_without_validation_tracks_nothing_is_decoded(train: Train, tmp_path: Path, own_cache: Path) -> None:
    write_track(tmp_path / "songs" / "one")
    said = "no validation tracks were found: put some into a folder 'valid', or train on MUSDB18 as well"
    assert error_line(train("demucs", root=tmp_path / "songs")) == f"error: {said}"
    assert not (own_cache / "stores").exists()


def test_folders_without_usable_data_are_refused(train: Train, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "'empty' holds neither" in error_line(train("demucs", root=tmp_path / "empty"))
    write_track(tmp_path / "other" / "tiny" / "train" / "song")
    twice = train("demucs", "--root", tmp_path / "other" / "tiny")
    assert (
        error_line(twice)
        == "error: two data sets are called 'tiny', so that configs cannot distinguish them: rename a folder"
    )
    broken = write_data_set(tmp_path / "broken", train=1, valid=1)
    soundfile.write(broken / "train" / "song 0" / "bass.wav", np.zeros((100, 2)), RATE)
    outcome = train("demucs", root=broken)
    assert outcome.code == 2
    assert (
        outcome.stderr.splitlines()[-1] == "error: no training track can be read; the first is 'song 0': "
        "'bass.wav' has 100 samples where 'vocals.wav' has 66150"
    )


def test_a_config_that_names_other_data_is_refused(train: Train) -> None:
    outcome = train("open-unmix", whole_mixes=0.5, whole_from=["musdb18"])
    assert outcome.code == 2
    assert outcome.stderr.splitlines()[-1] == "error: unknown data set 'musdb18' in the config; the data holds tiny"


def test_out_that_is_a_file_is_refused_in_one_line(train: Train, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("something else")
    outcome = train("demucs")
    assert outcome.code == 2
    assert outcome.stderr.splitlines()[-1].startswith("error: ")
    assert (tmp_path / "run").read_text() == "something else"


def test_a_missing_device_is_refused(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "there is no CUDA device here" in error_line(train("demucs", "--device", "cuda"))


def test_an_unknown_device_is_refused(train: Train) -> None:
    assert error_line(train("demucs", "--device", "gpu")) == "error: device must be auto, cpu or cuda, got 'gpu'"


def test_missing_arguments_are_reported(tmp_path: Path, data_root: Path) -> None:
    without_root, without_out = ("demucs", "--out", str(tmp_path)), ("demucs", "--root", str(data_root))
    for arguments in (without_root, without_out, ("--root", str(data_root), "--out", str(tmp_path))):
        assert separation("train", *arguments, environment={"MUSDB_ROOT": ""}).code == 2


def test_a_loss_that_is_not_finite_ends_with_one_line(train: Train) -> None:
    outcome = train("demucs", learning_rate=1e30, epochs=5)
    assert outcome.code == 2
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith("error: the loss is not finite at step ")
    assert "the batch's seed is " in last
    assert "Traceback" not in outcome.stderr


def test_a_source_missing_from_all_validation_tracks_is_null_in_the_json(train: Train, tmp_path: Path) -> None:
    root = write_data_set(tmp_path / "instrumental", train=1, valid=0)
    write_track(root / "valid" / "song", silent=("vocals",))
    document = train("demucs", "--json", root=root).document
    assert document["best"]["sdr"]["vocals"] is None
    assert document["best"]["sdr"]["bass"] is not None


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write a run's folder with weights like trained ones."""
    recipe = tiny_recipe("open-unmix", hidden_size=16, bandwidth=12000.0)
    states = {s: randomise(o.network, seed=n).state_dict() for n, (s, o) in enumerate(recipe.objectives.items())}
    fixed = {"name": "run", "method": "open-unmix", "sources": list(SOURCES), "sample_rate": RATE, "channels": 2}
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run", "all").save_model(states, fixed | recipe.description())
    return tmp_path / "run"


@pytest.fixture(scope="module")
def mixture(data_root: Path) -> torch.Tensor:
    track = data_root / "train" / "song 2"
    return torch.stack([read(track / f"{source}.wav").waveform for source in SOURCES]).sum(0)


@torch.inference_mode()
@pytest.mark.parametrize(("iterations", "least"), [(0, 80), (1, 40)])
def test_an_exported_model_separates_equally_in_upstreams_package(
    run: Path, mixture: torch.Tensor, iterations: int, least: float
) -> None:
    outcome = separation("models", "export", run, "--format", "openunmix", "--json")
    assert outcome.code == 0, outcome.stderr
    folder = run / "openunmix"
    document = outcome.document
    assert (document["model"], document["format"]) == ("run", "openunmix")
    files = ["separator.json", *(f"{source}{suffix}" for source in SOURCES for suffix in (".json", ".pth"))]
    assert sorted(document["files"]) == sorted(str(folder / name) for name in files)
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)

    theirs = openunmix.utils.load_separator(str(folder), targets=list(SOURCES), niter=iterations, pretrained=True)
    theirs.eval()
    theirs.freeze()
    expected = theirs(mixture[None])[0]
    ours = create(
        "open-unmix", model=str(run), options={"iterations": iterations, "segment": None, "level": "upstream"}
    )
    estimates = ours.separate(mixture)
    for row, source in enumerate(SOURCES):
        assert snr(estimates[row], expected[row]) >= least, source
    assert min(snr(estimates[row], mixture) for row in range(4)) < 10, "they do not only pass the mixture on"


def test_a_trained_run_can_be_exported_and_the_export_used(train: Train, song: Path, tmp_path: Path) -> None:
    train("open-unmix")
    outcome = separation("models", "export", tmp_path / "run", "--out", tmp_path / "theirs")
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout == ""
    assert "run as openunmix" in outcome.stderr
    for source, path in separated(song, "open-unmix", tmp_path / "run", tmp_path / "a").items():
        other = separated(song, "open-unmix", tmp_path / "theirs", tmp_path / "b")[source]
        assert np.array_equal(soundfile.read(path)[0], soundfile.read(other)[0])


def test_the_existing_targets_are_exported(train: Train, tmp_path: Path) -> None:
    train("open-unmix", "--target", "bass")
    outcome = separation("models", "export", tmp_path / "run")
    assert outcome.code == 0, outcome.stderr
    names = sorted(path.name for path in (tmp_path / "run" / "openunmix").iterdir())
    assert names == ["bass.json", "bass.pth", "separator.json"]
    targets = openunmix.utils.load_target_models(["bass"], tmp_path / "run" / "openunmix", pretrained=True)
    (path,) = (tmp_path / "run").glob("bass-*.safetensors")
    for name, tensor in load_file(path).items():
        assert torch.equal(targets["bass"].state_dict()[name], tensor), name


def test_models_that_upstream_cannot_load_are_not_exported(train: Train, tmp_path: Path) -> None:
    train("demucs", out="demucs")
    refused = separation("models", "export", tmp_path / "demucs")
    assert error_line(refused) == "error: demucs is a model for demucs, not for open-unmix"
    assert not (tmp_path / "demucs" / "openunmix").exists()
    train("open-unmix", out="two", n_layers=2)
    assert "two has 2 LSTM layers: openunmix reads 3 from a folder" in error_line(
        separation("models", "export", tmp_path / "two")
    )
    assert "no format 'onnx'; there are openunmix" in error_line(
        separation("models", "export", tmp_path / "two", "--format", "onnx")
    )
    assert "no model or folder 'nothing'" in error_line(separation("models", "export", "nothing"))


def test_an_export_that_cannot_be_written_is_reported_in_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write to 'file'" in error_line(separation("models", "export", run, "--out", tmp_path / "file"))


def test_a_damaged_model_is_not_exported(run: Path) -> None:
    path = next(run.glob("bass-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-10])
    assert f"{path.name} is damaged" in error_line(separation("models", "export", run))
    save_file({"a": torch.ones(1)}, path)
    assert catalogue.find_model(str(run), method="open-unmix").installed
