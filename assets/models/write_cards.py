"""Scores the bundled models and writes their cards; ``make train-bundled`` calls it at its end.

    PYTHONPATH=. python assets/models/write_cards.py --data FOLDER

The scores are whole-clip SDRs on the 14 validation clips that no model was trained on, through
the same separators that the app uses, Wiener filter included, next to the methods that need no
training. The card of each model is its folder's README.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from separation.audio import Audio
from separation.data.musdb18 import SOURCES, tracks
from separation.pipeline import run
from separation.separators import create

HERE = Path(__file__).parent
TRAINED = {"open-unmix": "open-unmix-compact", "demucs": "demucs-compact"}
METHODS = ("mix", "hpss", "ica", *TRAINED)


def sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Whole-clip SDR in dB over both channels, the uSDR of the Music Demixing Challenge 2021."""
    return float(10 * np.log10((np.sum(reference**2) + 1e-7) / (np.sum((reference - estimate) ** 2) + 1e-7)))


def scores_of(estimates: np.ndarray, references: np.ndarray) -> np.ndarray:
    """One SDR per target; components that carry no source's name get the one each fits best."""
    if len(estimates) == len(references):
        return np.array([sdr(*pair) for pair in zip(estimates, references, strict=True)])
    return np.array([max(sdr(estimate, reference) for estimate in estimates) for reference in references])


def score(data: Path, method: str) -> np.ndarray:
    """SDR of every validation clip and target, shape (clips, targets)."""
    separator = create(method, device="cpu")
    rows = []
    for track in tracks(data / "musdb18-7s", subset="train", split="valid"):
        mixture, references, rate = track.read()
        audio = Audio(waveform=torch.from_numpy(np.ascontiguousarray(mixture)), sample_rate=rate)
        stems = torch.cat(list(run(separator, audio)), dim=-1).numpy()
        order = [separator.sources.index(source) for source in SOURCES] if method != "ica" else [0, 1]
        rows.append(scores_of(stems[order], np.stack([references[source] for source in SOURCES])))
    return np.stack(rows)


def table(scores: dict[str, np.ndarray]) -> str:
    lines = [f"| | {' | '.join(SOURCES)} | mean of the targets |", "|---|" + "---|" * (len(SOURCES) + 1)]
    for method, values in scores.items():
        medians = np.median(values, axis=0)
        cells = " | ".join(f"{value:.2f}" for value in (*medians, medians.mean()))
        lines.append(f"| `{method}` | {cells} |")
    return "\n".join(lines)


def card(method: str, scores: dict[str, np.ndarray]) -> str:
    folder = HERE / TRAINED[method]
    model = json.loads((folder / "model.json").read_text())
    trained = json.loads((folder / "run.json").read_text())
    recipe = trained["recipe"]
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
    curve = "\n".join(
        f"| {entry['step']} | {entry['mean']:.2f} |" for entry in trained["log"][:: max(1, len(trained["log"]) // 8)]
    )
    what = {
        "open-unmix": "Four Open-Unmix networks, 256 hidden units instead of 512, one file per target.",
        "demucs": "A Demucs without resampling, five layers instead of six, 16 channels instead of 64.",
    }[method]
    return f"""# {model["name"]}

{what} {model["parameters"]:,} parameters, {size:.1f} MB in half precision. It is bundled so that everything works with
no network; the released models are far better: `python -m separation models list`.

- **Method:** `{method}`; sources: {", ".join(model["sources"])}; 44.1 kHz stereo.
- **Trained on:** {model["trained_on"]}: the MUSDB18 7 s sample set's train split without its 14 validation clips,
  the full songs of a CC0 album, MedleyDB's MusicDelta (CC BY-NC-SA 4.0) and GTSinger's solo singing
  (CC BY-NC-SA 4.0). No test clip was ever used.
- **How:** `separation/training/compact.py`, {recipe["steps"]} steps of {recipe["batch"]} remixes
  of {recipe["seconds"]:g} s, seed {recipe["seed"]}, Adam at {recipe["learning_rate"]:g} with a decay over the last
  two fifths, weights averaged; one core of an ordinary server for about an hour and a half.
  `make train-bundled DATA=FOLDER` repeats it.
- **Licence:** non-commercial research only, after the terms of the training data.
- **Limits:** ten minutes of real multitracks are little. Expect bleeding between vocals and other, kick drums in the
  bass, and dull cymbals.

## Scores

Median over the 14 validation clips of the whole-clip SDR in dB, through the app's own pipeline. `ica` gives two
components; each target is scored with the one that fits it best.

{table(scores)}

## Learning curve

Mean over the targets of the median SDR on the validation clips, from the network alone (no Wiener filter), in dB.

| step | SDR |
|---|---|
{curve}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Score the bundled models and write their cards.")
    parser.add_argument("--data", type=Path, required=True)
    scores = {method: score(parser.parse_args().data, method) for method in METHODS}
    print(table(scores))
    for method, name in TRAINED.items():
        for average in (np.median, np.mean):  # over the clips: whichever one prefers, the model must be better
            ours, floor = average(scores[method], axis=0), average(scores["mix"], axis=0)
            best = max(float(average(scores[other], axis=0).mean()) for other in ("mix", "hpss", "ica"))
            assert ours.mean() > best, f"{name} does not beat every method that needs no training"
            assert (ours > floor).all(), f"{name} is below mix on {SOURCES[int(np.argmin(ours - floor))]}"
        (HERE / name / "README.md").write_text(card(method, scores), encoding="utf-8")


if __name__ == "__main__":
    main()
