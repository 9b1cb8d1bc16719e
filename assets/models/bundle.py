"""Makes bundled models of finished runs, scores them and writes their cards; `make train-bundled` calls it last.

    PYTHONPATH=. python assets/models/bundle.py --runs RUNS --data DATA     # RUNS/open-unmix-1, -2, -3, demucs-1
    PYTHONPATH=. python assets/models/bundle.py --data DATA                 # only the scores and cards

Weights are kept in half precision. The scores are BSSEval v4 as museval computes it (1 s frames; median over
frames, then over clips), through the same separators that the app uses, Wiener filter included, on clips that
nothing was trained on: `valid` chose the weights, `test` chose nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from separation.audio.signal import Audio
from separation.datasets.musdb18 import Track, tracks
from separation.evaluation.bss_eval import ArraySignals, bss_eval
from separation.pipeline.run import run
from separation.separators import create
from separation.sources import SOURCES
from separation.spectral.masks import ratio_mask
from separation.spectral.stft import StftConfig, istft, stft

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
TRAINED = {"open-unmix": "open-unmix-compact", "demucs": "demucs-compact"}
METHODS = ("mix", "hpss", *TRAINED)
AIMS = {"vocals": 5.8, "drums": 4.6, "bass": 3.7, "other": 2.7}
COLOURS = {"vocals": "#0072b2", "drums": "#d55e00", "bass": "#009e73", "other": "#cc79a7"}
OPTIONS = {"demucs": {"softmask": True}}  # that suit our weights better than the method's own; chosen on `valid`
PAIRS = 120
TRAINED_ON = "80 clips of 7 s from MUSDB18, three CC0 songs, MusicDelta, solo singing"


# -- weights ---------------------------------------------------------------------------------------


def bundle(runs: Path, method: str) -> None:
    """Each target's weights from the last stage that has it, as ``assets/models/<name>``, and the record of all."""
    stages = sorted(runs.glob(f"{method}-[0-9]"))
    folder = HERE / TRAINED[method]
    for path in folder.glob("*.safetensors"):
        path.unlink()
    latest = {
        entry["source"]: (stage, entry)
        for stage in stages
        for entry in json.loads((stage / "model.json").read_text())["files"]
    }
    model = json.loads((stages[0] / "model.json").read_text())
    model |= {"name": folder.name, "licence": "non-commercial research only", "trained_on": TRAINED_ON}
    model |= {"options": OPTIONS[method]} if method in OPTIONS else {}
    model["files"] = [halve(stage / entry["name"], folder, source) for source, (stage, entry) in latest.items()]
    (folder / "model.json").write_text(json.dumps(model, indent=1) + "\n")
    (folder / "run.json").write_text(json.dumps({"stages": [record(stage) for stage in stages]}, indent=1) + "\n")


def halve(path: Path, folder: Path, source: str) -> dict[str, str]:
    """Write a file of weights in half precision; returns its entry in ``model.json``."""
    halved = {name: value.half() if value.dim() > 1 else value for name, value in load_file(path).items()}
    target = folder / f"{folder.name.removesuffix('-compact') if source == 'all' else source}.safetensors"
    save_file(halved, target)
    target.chmod(0o644)
    return {"source": source, "name": target.name, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}


def record(stage: Path) -> dict[str, Any]:
    """Config and log of every job of a run."""
    return {
        path.parent.name: {
            "config": json.loads(path.read_text()),
            "log": [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()],
        }
        for path in sorted(stage.glob("*/config.json"))
    }


# -- scores ----------------------------------------------------------------------------------------


def score_clip(separator: Any, track: Track) -> np.ndarray:
    """Median over the frames of each target's SDR, shape (targets,), dB."""
    mixture, references, rate = track.read()
    audio = Audio(waveform=torch.from_numpy(np.ascontiguousarray(mixture)), sample_rate=rate)
    stems = torch.cat(list(run(separator, audio)), dim=-1)
    estimates = stems[[separator.sources.index(source) for source in SOURCES]]
    true = torch.from_numpy(np.stack([references[source] for source in SOURCES]))
    scores = bss_eval(ArraySignals(true), ArraySignals(estimates), window=rate, hop=rate)
    return np.asarray(np.nanmedian(scores.SDR.numpy(), axis=1))


def score(clips: list[Track]) -> dict[str, np.ndarray]:
    """Per method the SDR of every clip and target, shape (clips, targets)."""
    found = {}
    for method in METHODS:
        separator = create(method, device="cpu")
        found[method] = np.stack([score_clip(separator, clip) for clip in clips])
    return found


def table(scores: dict[str, np.ndarray]) -> str:
    lines = [f"| | {' | '.join(SOURCES)} | mean of the targets |", "|---|" + "---|" * (len(SOURCES) + 1)]
    for method, values in scores.items():
        medians = np.nanmedian(values, axis=0)
        cells = " | ".join(f"{value:.2f}" for value in (*medians, medians.mean()))
        lines.append(f"| `{method}` | {cells} |")
    return "\n".join(lines)


def wins(scores: dict[str, np.ndarray], method: str) -> str:
    """On how many clips a method beats each of those that need no training, per target."""
    lines = [f"| better than | {' | '.join(SOURCES)} |", "|---|" + "---|" * len(SOURCES)]
    for other in ("mix", "hpss"):
        ahead = np.nansum(scores[method] > scores[other], axis=0)
        count = np.isfinite(scores[method]).sum(axis=0)
        cells = " | ".join(f"{a} of {n}" for a, n in zip(ahead, count, strict=True))
        lines.append(f"| `{other}` | {cells} |")
    return "\n".join(lines)


# -- what is new to a network ----------------------------------------------------------------------


@torch.inference_mode()
def novelty(known: list[Track], new: list[Track]) -> str:
    """Open-Unmix's networks alone on stems that they were trained on and on stems that they never heard.

    One clip's target with the rest of another, 3.5 dB louder. The ideal ratio mask tells how hard the mixtures are.
    """
    separator: Any = create("open-unmix", device="cpu")
    stems = {"trained on": read_stems(known), "new": read_stems(new)}
    kinds = list(product(stems, repeat=2))
    lines = [
        f"| | {' | '.join(f'target {a}, rest {b}' for a, b in kinds)} |",
        "|---|" + "---|" * len(kinds),
    ]
    for number, (source, network) in enumerate(zip(separator.sources, separator.networks, strict=True)):
        cells = []
        for target, rest in kinds:
            pairs = draw_pairs(stems[target], stems[rest], number)
            found = np.mean([score_pair(network, separator.stft, *pair) for pair in pairs], axis=0)
            cells.append(f"{found[0]:.1f} ({found[1]:.1f})")
        lines.append(f"| {source} | {' | '.join(cells)} |")
    return "\n".join(lines)


def read_stems(clips: list[Track]) -> list[torch.Tensor]:
    """Each (targets, channels, time)."""
    references = [clip.read()[1] for clip in clips]
    return [torch.from_numpy(np.stack([stems[source] for source in SOURCES])) for stems in references]


def draw_pairs(
    targets: list[torch.Tensor], others: list[torch.Tensor], number: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A target and another clip's rest, each (channels, time); the same draw for the same clips."""
    random = np.random.default_rng(0)
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    while len(pairs) < PAIRS:
        target, other = targets[random.integers(len(targets))][number], others[random.integers(len(others))]
        frames = min(target.shape[-1], other.shape[-1])
        target, rest = target[:, :frames], (other.sum(0) - other[number])[:, :frames]
        if min(target.square().mean(), rest.square().mean()) > 1e-5:
            pairs.append((target, 1.5 * rest * (target.square().mean() / rest.square().mean()).sqrt()))
    return pairs


def score_pair(network: Any, config: StftConfig, target: torch.Tensor, rest: torch.Tensor) -> tuple[float, float]:
    """SDR over the whole clip, dB, of a network's estimate and of the ideal ratio mask's."""
    X = stft(target + rest, config)
    ideal = ratio_mask(torch.stack([stft(target, config).abs(), stft(rest, config).abs()]), power=2)[0]
    estimates = (torch.polar(network(X.abs()[None])[0].float(), X.angle()), ideal * X)
    errors = [target - istft(Y, config, length=target.shape[-1]) for Y in estimates]
    network_sdr, ideal_sdr = (float(10 * torch.log10(target.square().sum() / e.square().sum())) for e in errors)
    return network_sdr, ideal_sdr


# -- cards -----------------------------------------------------------------------------------------


def draw_curves(stages: list[dict[str, Any]], path: Path) -> None:
    """Validation SDR of the network alone over the steps, a line per target, the stages one after the other."""
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    begin = 0
    for number, stage in enumerate(stages):
        entries = [entry for job in stage.values() for entry in job["log"] if "sdr" in entry]
        for source, colour in COLOURS.items():
            points = [(begin + entry["step"], entry["sdr"][source]) for entry in entries if source in entry["sdr"]]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=source if number == 0 else None)
        begin += max(entry["step"] for entry in entries)
        if number + 1 < len(stages):
            axes.axvline(begin, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xlabel="step", ylabel="SDR on valid / dB", xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=4)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def card(method: str, test: dict[str, np.ndarray], valid: dict[str, np.ndarray], new: str) -> str:
    folder = HERE / TRAINED[method]
    model = json.loads((folder / "model.json").read_text())
    stages = json.loads((folder / "run.json").read_text())["stages"]
    draw_curves(stages, folder / "curves.png")
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
    what = {
        "open-unmix": "Four Open-Unmix networks, 256 hidden units instead of 512, one file per target.",
        "demucs": "A Demucs without resampling, five layers instead of six, 16 channels instead of 64.",
    }[method]
    how = {
        "open-unmix": """[plain remixing](1-plain.toml) of all four targets at once (2,200 steps, by an earlier script
  with the same numbers), then bass and other by themselves with [speeds, tilts, widths and doubled
  sources](2-augmented.toml), and [the drums with the same](3-drums.toml). The vocals
  gained nothing by it on `valid`.""",
        "demucs": """[plain remixing](demucs.toml) (4,200 steps, by an earlier script with the same numbers). 700 more
  steps with everything that helped Open-Unmix's bass gained nothing on `valid`: it needs many more. Its estimates
  share out the mixture (`softmask`, which `model.json` asks for): 0.3 dB more on `valid` than by themselves. Its
  LSTM has fallen silent (its weights are zero, probably by weight decay), so that an estimate depends on 0.1 s of the
  mixture; drawn anew and trained on for 800 steps without decay, it gained nothing on `valid`.""",
    }
    return f"""# {model["name"]}

{what} {model["parameters"]:,} numbers, {size:.1f} MB in half precision. It is bundled so that everything works with
no network; the released models are better: `python -m separation models list`.

- **Method:** `{method}`; sources: {", ".join(model["sources"])}; 44.1 kHz stereo.
- **Trained on:** {model["trained_on"]}: the MUSDB18 7 s sample set's train split without its 14 validation clips,
  the full songs of a CC0 album, MedleyDB's MusicDelta (CC BY-NC-SA 4.0) and GTSinger's solo singing
  (CC BY-NC-SA 4.0). No test clip was ever used.
- **How:** {how[method]} `valid` chose the weights. `make train-bundled DATA=FOLDER` repeats it; `run.json` holds all
  settings and logs.
- **Licence:** non-commercial research only, after the terms of the training data.
- **Limits:** ten minutes of real multitracks are little. Expect bleeding between vocals and other, kick drums in the
  bass, and dull cymbals.

## Scores

SDR in dB, BSSEval v4 as museval computes it: median over the 1 s frames, then over the clips; through the app's own
pipeline. On the 20 `test` clips:

{table(test)}

{wins(test, method)}

On the 14 `valid` clips:

{table(valid)}

## Learning curves

Whole-clip SDR on `valid` of the network alone (no Wiener filter): the median over the clips in the first stage, the
mean in the later ones, which begin at the dotted lines.

![Validation SDR over the steps](curves.png)

{missing(method, test, new)}
"""


def missing(method: str, test: dict[str, np.ndarray], new: str) -> str:
    """How far a model is from what it was made for, and what would help."""
    medians = {name: dict(zip(SOURCES, np.nanmedian(values, axis=0), strict=True)) for name, values in test.items()}
    if method == "open-unmix":
        best = {source: max(medians[name][source] for name in TRAINED) for source in SOURCES}
        lacking = [
            f"{source} {AIMS[source] - best[source]:.1f} dB" for source in SOURCES if best[source] < AIMS[source]
        ]
        aim = " / ".join(f"{value} dB {source}" for source, value in AIMS.items())
        return f"""The aim was {aim} on `test`, with the better of the
two bundled models. Short of it: {", ".join(lacking) or "nothing"}.

What a network does to sounds that it learned from, and to sounds that it never heard (whole-clip SDR of the network
alone in dB, {PAIRS} mixtures of one clip's target with another clip's rest; in brackets the ideal ratio mask, which
tells how hard they are):

{new}

So a new voice costs the vocals' network more than anything else, and what plays with it less than half of that;
other is in between, the bass loses little and the drums nothing beyond what is harder for the ideal mask as well.
For vocals and other more singers and songs would help most: the released UMX learned 6.3 / 5.7 / 5.2 / 4.0 dB from
whole songs. Drums and bass are likelier to gain by larger networks.

What did not help on `valid` (the network alone): all augmentation for the vocals, 1,600 steps more (5.1 to 4.7 dB) or
2,000 from the beginning (4.9 dB); the mean of two or three such networks; targets that know the phase for other (2.3
to 2.3 dB, and less after the filter). 3,600 more steps of the second stage gave the bass 0.1 dB (4.3 to 4.4)."""
    ahead = np.mean(list(medians[method].values())) - np.mean(list(medians["hpss"].values()))
    return f"""The aim was 1 dB more than `hpss` on the mean of the targets on `test`; it is {ahead:.2f} dB. From step
2,300 on `valid` stands still while the training loss falls slowly: waveforms need more songs than magnitudes do, and
then more channels."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Bundle trained models, score them and write their cards.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path)
    args = parser.parse_args()
    if args.runs:
        for method in TRAINED:
            bundle(args.runs, method)
    root = args.data / "musdb18-7s"
    test = score(tracks(root, subset="test"))
    valid = score(tracks(root, subset="train", split="valid"))
    for scores in (test, valid):
        print(table(scores), end="\n\n")
    new = novelty(tracks(root, subset="train", split="train"), tracks(root, subset="train", split="valid"))
    for method, name in TRAINED.items():
        print(f"{method} on test\n{wins(test, method)}\n")
        (HERE / name / "README.md").write_text(card(method, test, valid, new), encoding="utf-8")


if __name__ == "__main__":
    main()
