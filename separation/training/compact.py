"""The plain script that trained the bundled models, first edition.

    python -m separation.training.compact open-unmix --data FOLDER --out RUN
    python -m separation.training.compact demucs     --data FOLDER --out RUN

`--data` holds ``musdb18-7s``, ``cc0-album``, ``musicdelta`` (each a root as
`musdb` reads it) and ``singing`` (solo voices). Everything is decoded once into
memory; every batch is a new remix. Kill it at any time: the same command goes on
from the last checkpoint. At the end the weights are written as safetensors in
half precision, with a model card, into `--out`/export.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from separation.data.musdb18 import SOURCES, tracks
from separation.models.demucs import Demucs, center_trim
from separation.models.open_unmix import OpenUnmix, bins_below

RATE = 44100


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every number of a run."""

    model: str
    steps: int
    batch: int = 16
    seconds: float = 4.0
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    clip: float = 5.0
    hidden_size: int = 256
    channels: int = 16
    depth: int = 5
    real_mixes: float = 0.15
    seed: int = 42


# -- data ------------------------------------------------------------------------------------------


class Multitracks:
    """All training material in memory as int16, and random remixes of it.

    `recordings[source]` lists arrays (channels, time) that hold only that source;
    `songs` lists the indices of the four recordings that belong together.
    """

    #: How often a source is taken from each collection: mostly from what the test data is like.
    shares: ClassVar = {"musdb18-7s": 0.7, "musicdelta": 0.12, "cc0-album": 0.1, "singing": 0.08}

    def __init__(self, folder: Path, generator: torch.Generator) -> None:
        self.generator = generator
        self.recordings: dict[str, list[np.ndarray]] = {source: [] for source in SOURCES}
        self.weights: dict[str, list[float]] = {source: [] for source in SOURCES}
        self.songs: list[dict[str, np.ndarray]] = []
        for collection in ("musdb18-7s", "musicdelta", "cc0-album"):
            split = "train" if collection == "musdb18-7s" else None
            self._add_songs(folder, collection, split)
        self._add_singing(folder / "singing")

    def _add_songs(self, folder: Path, collection: str, split: str | None) -> None:
        for track in tracks(folder / collection, subset="train", split=split):
            _, references, rate = track.read()
            assert rate == RATE, f"{track.name} is at {rate} Hz"
            song = {source: to_int16(references[source]) for source in SOURCES}
            if collection != "musicdelta":  # its stems are not at the level they have in a mix
                self.songs.append(song)
            for source, recording in song.items():
                if np.abs(recording).max() > 300:  # some stems of the album are silent
                    self._add(source, recording, self.shares[collection], collection)

    def _add_singing(self, folder: Path) -> None:
        for path in sorted(folder.glob("*.ogg")):
            voice, rate = soundfile.read(path, dtype="float32")
            assert rate == RATE, f"{path.name} is at {rate} Hz"
            self._add("vocals", to_int16(np.stack([voice, voice])), self.shares["singing"], "singing")

    def _add(self, source: str, recording: np.ndarray, share: float, collection: str) -> None:
        self.recordings[source].append(recording)
        self.weights[source].append(share * min(recording.shape[1] / RATE, 60.0) / _collection_seconds[collection])

    def _random(self) -> float:
        return float(torch.rand((), generator=self.generator))

    def _excerpt(self, recording: np.ndarray, length: int, start: float) -> Tensor:
        room = recording.shape[1] - length
        if room < 0:
            recording = np.pad(recording, ((0, 0), (0, -room)))
            room = 0
        first = int(start * (room + 1))
        return torch.from_numpy(recording[:, first : first + length].astype(np.float32) / 32768)

    def _one_source(self, source: str, length: int) -> Tensor:
        """A random excerpt of `source`, tried again a few times if it is silent there."""
        probabilities = torch.tensor(self.weights[source])
        for _ in range(4):
            index = int(torch.multinomial(probabilities, 1, generator=self.generator))
            excerpt = self._excerpt(self.recordings[source][index], length, self._random())
            if excerpt.square().mean() > 1e-6:
                break
        return excerpt

    def batch(self, size: int, length: int, real_mixes: float) -> Tensor:
        """(batch, sources, channels, time): remixes, or with probability `real_mixes` a song as it is."""
        items = []
        for _ in range(size):
            if self._random() < real_mixes:
                song = self.songs[int(self._random() * len(self.songs))]
                start = self._random()
                items.append(torch.stack([self._excerpt(song[source], length, start) for source in SOURCES]))
            else:
                items.append(torch.stack([self._augment(self._one_source(source, length)) for source in SOURCES]))
        return torch.stack(items)

    def _augment(self, excerpt: Tensor) -> Tensor:
        """Gain U(0.25, 1.25), channels swapped and polarity flipped each half of the time."""
        gain = 0.25 + self._random()
        if self._random() < 0.5:
            gain = -gain
        if self._random() < 0.5:
            excerpt = excerpt.flip(0)
        return gain * excerpt


_collection_seconds = {"musdb18-7s": 544.0, "musicdelta": 379.0, "cc0-album": 180.0, "singing": 1260.0}


def to_int16(waveform: np.ndarray) -> np.ndarray:
    return np.round(np.clip(waveform, -1, 32767 / 32768) * 32768).astype(np.int16)


# -- models ----------------------------------------------------------------------------------------


def spectrogram(waveform: Tensor) -> Tensor:
    """Magnitude of the un-centred STFT, (..., time) -> (..., bins, frames), as upstream trains."""
    flat = waveform.reshape(-1, waveform.shape[-1])
    window = torch.hann_window(4096)
    return (
        torch.stft(flat, 4096, 1024, window=window, center=False, return_complex=True)
        .abs()
        .unflatten(0, waveform.shape[:-1])
    )


def open_unmix(recipe: Recipe, data: Multitracks) -> nn.ModuleDict:
    """Four networks, their input scaled by the statistics of the real training mixtures."""
    frames = []
    for song in data.songs:
        mixture = torch.from_numpy(sum(song[source][:, : 60 * RATE].astype(np.float32) for source in SOURCES) / 32768)
        frames.append(spectrogram(mixture).mean(0))
    stacked = torch.cat(frames, dim=1).double()
    mean, deviation = stacked.mean(1), stacked.std(1, correction=0)
    deviation = deviation.clamp(min=1e-4 * float(deviation.max()))
    networks = nn.ModuleDict()
    for target in SOURCES:
        network = OpenUnmix(max_bin=bins_below(16000, n_fft=4096, sample_rate=RATE), hidden_size=recipe.hidden_size)
        network.input_mean.data = -mean[: network.max_bin].float()
        network.input_scale.data = 1 / deviation[: network.max_bin].float()
        networks[target] = network
    return networks


def open_unmix_losses(network: nn.Module, sources: Tensor) -> Iterator[Tensor]:
    """Mean squared error of each target's magnitude, one after the other to keep memory low."""
    mixture = spectrogram(sources.sum(1))
    for index, target in enumerate(SOURCES):
        with torch.autocast("cpu", torch.bfloat16):
            estimate = network.get_submodule(target)(mixture)
        yield F.mse_loss(estimate.float(), spectrogram(sources[:, index]))


def demucs_losses(network: nn.Module, sources: Tensor) -> Iterator[Tensor]:
    """L1 on the waveforms, of the mixture standardised as at inference."""
    mixture = sources.sum(1)
    mono = mixture.mean(1, keepdim=True)
    mean, deviation = mono.mean(-1, keepdim=True), mono.std(-1, keepdim=True) + 1e-3
    with torch.autocast("cpu", torch.bfloat16):
        estimate = network((mixture - mean) / deviation)
    target = center_trim(sources / deviation[:, None], estimate.shape[-1])
    yield F.l1_loss(estimate.float(), target)


# -- validation ------------------------------------------------------------------------------------


@torch.inference_mode()
def estimate_sources(model: nn.Module, mixture: Tensor) -> Tensor:
    """(channels, time) -> (sources, channels, time), by the network alone: no Wiener filter, no shifts."""
    if isinstance(model, Demucs):
        length = mixture.shape[-1]
        mono = mixture.mean(0)
        mean, deviation = mono.mean(), mono.std() + 1e-8
        excess = model.valid_length(length) - length
        padded = F.pad((mixture - mean) / deviation, (excess // 2, excess - excess // 2))
        return center_trim(model(padded[None])[0], length) * deviation + mean
    window = torch.hann_window(4096)
    X = torch.stft(mixture, 4096, 1024, window=window, return_complex=True)
    estimates = torch.stack([model.get_submodule(target)(X.abs()[None])[0] for target in SOURCES])
    Y = torch.polar(estimates, X.angle().expand_as(estimates))
    return torch.istft(Y.flatten(0, 1), 4096, 1024, window=window, length=mixture.shape[-1]).unflatten(0, Y.shape[:2])


def validate(model: nn.Module, clips: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Median over the clips of each target's whole-clip SDR, in dB."""
    model.eval()
    scores = []
    for mixture, references in clips:
        error = references - estimate_sources(model, mixture)
        scores.append(10 * torch.log10((references.square().sum((1, 2)) + 1e-7) / (error.square().sum((1, 2)) + 1e-7)))
    model.train()
    medians = torch.stack(scores).median(0).values
    return {source: round(float(value), 3) for source, value in zip(SOURCES, medians, strict=True)}


def validation_clips(folder: Path) -> list[tuple[Tensor, Tensor]]:
    clips = []
    for track in tracks(folder / "musdb18-7s", subset="train", split="valid"):
        mixture, references, _ = track.read()
        clips.append((torch.from_numpy(mixture.copy()), torch.from_numpy(np.stack([references[s] for s in SOURCES]))))
    return clips


# -- the loop --------------------------------------------------------------------------------------


def learning_rate(recipe: Recipe, step: int) -> float:
    """A short warm-up, then constant, then down to a fiftieth over the last two fifths."""
    warm = min(1.0, (step + 1) / 50)
    left = max(0.0, 1 - step / recipe.steps) / 0.4
    return recipe.learning_rate * warm * max(0.02, min(1.0, left))


def train(recipe: Recipe, folder: Path, out: Path) -> None:
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(recipe.seed)
    data = Multitracks(folder, generator)
    clips = validation_clips(folder)
    model: nn.Module
    losses: Callable[[nn.Module, Tensor], Iterator[Tensor]]
    if recipe.model == "open-unmix":
        model, losses, length = open_unmix(recipe, data), open_unmix_losses, int(recipe.seconds * RATE)
    else:
        model = network = Demucs(SOURCES, channels=recipe.channels, depth=recipe.depth, resample=False)
        losses, length = demucs_losses, network.valid_length(int(recipe.seconds * RATE))
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    step, log = 0, []
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.set_state(saved["generator"])
        step, log = saved["step"], saved["log"]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, from step {step}", flush=True)
    recent: list[list[float]] = []
    began = time.monotonic()
    while step < recipe.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        sources = data.batch(recipe.batch, length, recipe.real_mixes)
        optimizer.zero_grad(set_to_none=True)
        values = []
        for loss in losses(model, sources):
            loss.backward()
            values.append(float(loss.detach()))
        if not np.isfinite(values).all():
            raise SystemExit(f"loss {values} at step {step}")
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        average.update_parameters(model)
        recent.append(values)
        step += 1
        if step % 100 == 0 or step == recipe.steps:
            scores = validate(average.module, clips)
            mean = float(np.mean(list(scores.values())))
            entry = {"step": step, "loss": np.mean(recent, 0).round(5).tolist(), "sdr": scores, "mean": round(mean, 3)}
            log.append(entry)
            print(json.dumps(entry), f"{(time.monotonic() - began) / len(recent):.2f} s/step", flush=True)
            recent, began = [], time.monotonic()
            state = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "generator": generator.get_state(),
                "step": step,
                "log": log,
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    export(recipe, average.module, log, out / "export")


def export(recipe: Recipe, model: nn.Module, log: list[dict], folder: Path) -> None:
    """Half-precision safetensors with the ``model.json`` that makes the folder a model, and the run's log."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, nn.Module]
    architecture: dict[str, Any]
    if isinstance(model, Demucs):
        parts = {"all": model}
        architecture = {"channels": recipe.channels, "depth": recipe.depth, "resample": False}
    else:
        parts = dict(model.named_children())
        max_bin = bins_below(16000, n_fft=4096, sample_rate=RATE)
        architecture = {"n_fft": 4096, "hop_length": 1024, "max_bin": max_bin, "hidden_size": recipe.hidden_size}
    files = []
    for source, part in parts.items():
        path = folder / f"{'demucs' if source == 'all' else source}.safetensors"
        save_file({k: v.half() if v.dim() > 1 else v for k, v in part.state_dict().items()}, path)
        path.chmod(0o644)
        files.append({"source": source, "name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    description = {
        "name": f"{recipe.model}-compact",
        "method": recipe.model,
        "sources": SOURCES,
        "sample_rate": RATE,
        "channels": 2,
        "licence": "non-commercial research only",
        "trained_on": "80 clips of 7 s from MUSDB18, three CC0 songs, MusicDelta, solo singing",
        "parameters": sum(p.numel() for p in model.parameters()),
        "architecture": architecture,
        "files": files,
    }
    (folder / "model.json").write_text(json.dumps(description, indent=1) + "\n")
    run = {"recipe": asdict(recipe), "torch": torch.__version__, "log": log}
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled models, first edition.")
    parser.add_argument("model", choices=["open-unmix", "demucs"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = Recipe(model=args.model, steps=args.steps)
    train(recipe, args.data, args.out)


if __name__ == "__main__":
    main()
