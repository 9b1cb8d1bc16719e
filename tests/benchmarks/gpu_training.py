"""Training on a GPU: the product's loop, and a plain loop with upstream's losses and optimiser.

The plain loop trains upstream's Open-Unmix. Its Demucs is the product's own network, since the released packages no
longer hold version 2: there, only the loops differ.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.gpu_parts import attempt

RATE = 44100
SOURCES = ("vocals", "drums", "bass", "other")
#: The options that make the recipes small enough for a smoke test on a CPU.
SMALL: dict[str, dict[str, Any]] = {
    "open-unmix": {"seconds": 0.5, "batch": 2, "hidden_size": 16},
    "demucs": {"seconds": 0.2, "batch": 4, "channels": 4, "depth": 2, "shift": 0.1},
}
LARGE: dict[str, dict[str, Any]] = {"open-unmix": {}, "demucs": {"seconds": 5.0, "batch": 32}}


def write_tracks(root: Path, *, tracks: int, seconds: float) -> Path:
    """Write seeded noise as ``train/<track>/<source>.wav`` and one track to ``valid``."""
    random = np.random.default_rng(0)
    for number in range(tracks + 1):
        folder = root / ("train" if number < tracks else "valid") / f"track {number}"
        folder.mkdir(parents=True)
        for source in SOURCES:
            noise = random.normal(0, 0.1, (round(seconds * RATE), 2))
            soundfile.write(folder / f"{source}.wav", noise, RATE, subtype="PCM_16")
    return root


def measure_training(device: torch.device, *, small: bool, steps: int, deadline: float) -> dict[str, Any]:
    """Return examples per second and the share of busy time of both loops, by recipe, until the deadline."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = write_tracks(Path(folder) / "data", tracks=2 if small else 8, seconds=3 if small else 30)
        for name in ("open-unmix", "demucs"):
            options = (SMALL if small else LARGE)[name]
            loops: dict[str, Callable[[], Generator[int, None, None]]] = {
                "ours": partial(_our_steps, name, root, Path(folder) / name, options, device),
                "plain": partial(_plain_steps, name, root, options, device),
            }
            found[name] = {"options": options}
            for side, loop in loops.items():
                late = time.monotonic() > deadline
                found[name][side] = (
                    {"skipped": "the time is over"}
                    if late
                    else attempt(partial(_measured, loop, device, steps, deadline))
                )
    return found


def _measured(
    loop: Callable[[], Generator[int, None, None]], device: torch.device, count: int, deadline: float
) -> dict[str, Any]:
    with closing(loop()) as steps:  # the memory of one loop is free before the next begins
        return _timed(steps, device, count, deadline)


def _our_steps(
    name: str, root: Path, run: Path, options: dict[str, Any], device: torch.device
) -> Generator[int, None, None]:
    """Yield the batch size after every step of the product's training."""
    from separation.datasets.dataset import open_dataset
    from separation.datasets.store import build_store
    from separation.training.distributed import ProcessGroup
    from separation.training.run_folder import RunFolder
    from separation.training.setup import RECIPES
    from separation.training.trainer import Trainer

    config_type, recipe_type = RECIPES[name]
    config = config_type(**options, epoch_steps=10_000)
    torch.manual_seed(0)
    recipe = recipe_type(config, sources=SOURCES, target="vocals" if name == "open-unmix" else "all")
    store = build_store(run / "store", [open_dataset(root)], sources=SOURCES).to(device)
    trainer = Trainer(recipe, store, [], RunFolder(run / "run", "all"), processes=ProcessGroup(device=device))
    for _ in trainer.train():
        yield config.batch


class _Excerpts(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Random excerpts of the tracks, decoded for every item."""

    def __init__(self, root: Path, frames: int) -> None:
        self.tracks, self.frames = sorted((root / "train").iterdir()), frames

    def __len__(self) -> int:
        return 64 * len(self.tracks)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        stems = []
        for source in SOURCES:
            with soundfile.SoundFile(self.tracks[index % len(self.tracks)] / f"{source}.wav") as file:
                file.seek(int(torch.randint(max(1, file.frames - self.frames), ())))
                stems.append(torch.from_numpy(file.read(self.frames, dtype="float32").T.copy()))
        sources = torch.stack(stems)
        return sources.sum(0), sources


def _plain_steps(name: str, root: Path, options: dict[str, Any], device: torch.device) -> Generator[int, None, None]:
    """Yield the batch size after every step of a plain loop: a loader, float32, a loss that is read in every step."""
    from separation.training.setup import RECIPES

    config: Any = RECIPES[name][0](**options)
    network, step = _plain_network(name, config, device)
    data = _Excerpts(root, round(config.seconds * RATE))
    workers = 8 if device.type == "cuda" else 0
    loader = torch.utils.data.DataLoader(data, config.batch, shuffle=True, num_workers=workers, drop_last=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    for mixture, sources in chain.from_iterable(repeat(loader)):
        optimizer.zero_grad()
        loss = step(mixture.to(device), sources.to(device))
        loss.backward()
        optimizer.step()
        loss.item()  # read in every step, as a plain loop that reports its mean does
        yield config.batch


def _plain_network(
    name: str, config: Any, device: torch.device
) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    if name == "demucs":
        from separation.models.demucs import Demucs, center_trim

        # The released packages no longer hold version 2; the tests compare this network with it.
        demucs = Demucs(SOURCES, channels=config.channels, depth=config.depth, resample=config.resample).to(device)

        def waveform_step(mixture: Tensor, sources: Tensor) -> Tensor:
            missing = demucs.valid_length(mixture.shape[-1]) - mixture.shape[-1]
            estimate = demucs(nn.functional.pad(mixture, (missing // 2, missing - missing // 2)))
            return nn.functional.l1_loss(center_trim(estimate, sources.shape[-1]), sources)

        return demucs.train(), waveform_step
    from openunmix import model, transforms

    stft, _ = transforms.make_filterbanks(n_fft=config.n_fft, n_hop=config.hop_length, sample_rate=RATE)
    encoder = nn.Sequential(stft, transforms.ComplexNorm()).to(device)
    unmix = model.OpenUnmix(config.n_fft // 2 + 1, hidden_size=config.hidden_size, max_bin=1487).to(device)

    def magnitude_step(mixture: Tensor, sources: Tensor) -> Tensor:
        return nn.functional.mse_loss(unmix(encoder(mixture)), encoder(sources[:, 0].contiguous()))

    return unmix.train(), magnitude_step


def _timed(steps: Generator[int, None, None], device: torch.device, count: int, deadline: float) -> dict[str, Any]:
    """Return the speed over `count` steps after three others, and the share of time in which the GPU is busy.

    After the deadline, no further step is begun.
    """
    for _ in range(3):
        next(steps)
    _synchronize(device)
    start, examples = time.monotonic(), 0
    for number in range(count):
        if number and time.monotonic() > deadline:
            break
        examples += next(steps)
    _synchronize(device)
    result: dict[str, Any] = {"examples_per_second": examples / (time.monotonic() - start), "busy": None}
    if device.type == "cuda":
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            start = time.monotonic()
            for _ in range(min(count, 10)):
                next(steps)
            _synchronize(device)
            seconds = time.monotonic() - start
        spans = [e.time_range for e in profiled.events() if e.device_type == DeviceType.CUDA]
        result["busy"] = covered([(span.start, span.end) for span in spans]) / 1e6 / seconds
    return result


def covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
