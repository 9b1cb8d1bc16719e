"""TensorBoard logs: curves, audio, resumed runs, and runs without TensorBoard."""

from __future__ import annotations

import math
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from separation.training.trainer import Trainer
from tests.training.conftest import (
    RATE,
    SOURCES,
    MakeTrainer,
    run_all,
    run_until,
)
from tests.training.helpers import (
    BOTH,
    log_on_disk,
)


def events(trainer: Trainer) -> EventAccumulator:
    found = EventAccumulator(str(trainer.run_folder.job_folder), size_guidance={"scalars": 0, "audio": 0})
    found.Reload()
    return found


def begin_earlier(trainer: Trainer) -> None:
    """Let the event files be 2 s older: they are sorted by the second in their names, in which they were begun."""
    for path in trainer.run_folder.job_folder.glob("events.out.tfevents.*"):
        second = path.name.split(".")[3]
        path.rename(path.with_name(path.name.replace(second, f"{int(second) - 2:010d}", 1)))


@BOTH
def test_tensorboard_shows_curves_and_audio(name: str, make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(name)
    run_all(trainer)
    found = events(trainer)
    expected = {"learning rate", "examples per second", "validation loss"}
    expected |= {f"training loss/{objective}" for objective in trainer.objectives}
    expected |= {f"validation SDR in dB/{source}" for source in SOURCES}
    assert set(found.Tags()["scalars"]) == expected
    for tag, values in {
        "learning rate": [entry["learning_rate"] for entry in trainer.log],
        "validation loss": [entry["valid_loss"] for entry in trainer.log],
        "validation SDR in dB/drums": [entry["sdr"]["drums"] for entry in trainer.log],
        f"training loss/{next(iter(trainer.objectives))}": [
            next(iter(entry["train_loss"].values())) for entry in trainer.log
        ],
    }.items():
        assert [event.step for event in found.Scalars(tag)] == [2, 4, 6]
        assert [event.value for event in found.Scalars(tag)] == pytest.approx(values, rel=1e-5)
    assert set(found.Tags()["audio"]) == set(SOURCES)
    best = [
        entry["step"]
        for number, entry in enumerate(trainer.log)
        if trainer.validation_score(entry)
        > max([trainer.validation_score(other) for other in trainer.log[:number]], default=-math.inf)
    ]
    sounds = found.Audio("bass")
    assert [event.step for event in sounds] == best, "the sounds are those of what is kept"
    assert sounds[0].sample_rate == RATE
    assert sounds[0].length_frames == trainer.validation[0].shape[-1]
    assert sounds[0].encoded_audio_string[:4] == b"RIFF"


def test_tensorboard_hides_the_steps_that_a_resumed_run_repeats(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("demucs")
    save = trainer.run_folder.save
    monkeypatch.setattr(trainer.run_folder, "save", lambda *args: None if trainer.step == 4 else save(*args))
    run_until(trainer, 4)  # the second epoch was drawn, but its checkpoint never came to be
    begin_earlier(trainer)
    again = make_trainer("demucs")
    run_all(again, resume=True)
    assert [event.step for event in events(again).Scalars("validation loss")] == [2, 4, 6]


def test_training_without_tensorboard_warns_and_writes_no_curves(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    trainer = make_trainer("demucs", epochs=1)
    reports = run_all(trainer)
    assert reports[-1].validation["best"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "no training curves: install TensorBoard with pip install '.[curves]' in the project's folder"
    ]
    assert (trainer.run_folder.folder / "model.json").is_file()
    assert len(log_on_disk(trainer)) == 1
    assert not list(trainer.run_folder.job_folder.glob("events.*"))
