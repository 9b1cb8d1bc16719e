"""Writes the model cards with their learning curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from separation.sources import SOURCES
from tools.bundle_models import BUNDLED, MODELS
from tools.bundle_models.novelty import PAIRS
from tools.bundle_models.scores import score_table, win_table

matplotlib.use("Agg")
from matplotlib import pyplot as plt

GOALS = {"vocals": 5.8, "drums": 4.6, "bass": 3.7, "other": 2.7}  # SDR on `test`, dB
COLOURS = {"vocals": "#0072b2", "drums": "#d55e00", "bass": "#009e73", "other": "#cc79a7"}

ARCHITECTURE = {
    "open-unmix": "Four Open-Unmix networks, 256 hidden units instead of 512, one file per target.",
    "demucs": "A Demucs without resampling, five layers instead of six, 16 channels instead of 64.",
}

TRAINING = {
    "open-unmix": """first all four targets together with [plain remixing](1-plain.toml) (2,200 steps, by an earlier
  script with the same parameters); then bass and other separately with [augmented speed, spectral tilt, stereo width
  and doubled sources](2-augmented.toml); then drums [with the same augmentation](3-drums.toml). The augmentation
  did not improve the vocals on `valid`.""",
    "demucs": """[plain remixing](demucs.toml) (4,200 steps, by an earlier script with the same parameters). 700 more
  steps with all augmentations that helped the bass of Open-Unmix did not improve `valid`; they would need many more
  steps. The estimates are used as soft masks on the mixture (`softmask` in `model.json`), which gives 0.3 dB more on
  `valid` than the estimates themselves. The LSTM is inactive: its weights are zero, probably because of weight decay,
  so an estimate depends on only 0.1 s of the mixture. Reinitialising it and training for 800 more steps without
  weight decay did not improve `valid`.""",
}


def draw_curves(stages: list[dict[str, Any]], path: Path) -> None:
    """Plot the SDR on `valid` of the network alone over the steps of all stages, one line per target."""
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    first_step = 0
    for number, stage in enumerate(stages):
        entries = [entry for job in stage.values() for entry in job["log"] if "sdr" in entry]
        for source, colour in COLOURS.items():
            points = [(first_step + entry["step"], entry["sdr"][source]) for entry in entries if source in entry["sdr"]]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=source if number == 0 else None)
        first_step += max(entry["step"] for entry in entries)
        if number + 1 < len(stages):
            axes.axvline(first_step, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xlabel="step", ylabel="SDR on valid / dB", xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=4)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def card(method: str, test: dict[str, np.ndarray], valid: dict[str, np.ndarray], novelty: str) -> str:
    """Return the model card in Markdown and write its learning curves."""
    folder = MODELS / BUNDLED[method]
    model = json.loads((folder / "model.json").read_text())
    draw_curves(json.loads((folder / "run.json").read_text())["stages"], folder / "curves.png")
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
    return f"""# {model["name"]}

{ARCHITECTURE[method]}
{model["parameters"]:,} parameters, {size:.1f} MB in half precision. It is bundled so that everything works offline.
The released models are better: `python -m separation models list`.

- **Method:** `{method}`; sources: {", ".join(model["sources"])}; 44.1 kHz stereo.
- **Trained on:** {model["trained_on"]}.
  These are the train split of the MUSDB18 7 s sample set without its 14 validation clips, the full songs of a CC0
  album, MusicDelta from MedleyDB (CC BY-NC-SA 4.0) and the solo singing of GTSinger (CC BY-NC-SA 4.0). No test clip
  was ever used.
- **Training:** {TRAINING[method]}
  The weights were chosen on `valid`. `make train-bundled DATA=FOLDER` repeats the training; `run.json` holds all
  settings and logs.
- **Licence:** non-commercial research only, as the licences of the training data require.
- **Limits:** ten minutes of real multitracks are not much training data. Expect bleeding between vocals and other,
  kick drums in the bass, and dull cymbals.

## Scores

SDR in dB, BSSEval v4 as computed by museval: the median over 1 s frames, then over clips, with the app's own
separators as they were when the model was bundled. The
[benchmarks](../../../docs/benchmarks.md#quality-of-the-bundled-models) hold the scores of the current version.

On the 20 `test` clips:

{score_table(test)}

{win_table(test, method)}

On the 14 `valid` clips:

{score_table(valid)}

## Learning curves

SDR over whole `valid` clips of the network alone (without the Wiener filter): the median over clips in the first
stage, the mean in later stages, which start at the dotted lines.

![Validation SDR over the steps](curves.png)

{comparison_with_goal(method, test, novelty)}
"""


def comparison_with_goal(method: str, test: dict[str, np.ndarray], novelty: str) -> str:
    """Return how far a model is from its goal and what would improve it."""
    medians = {name: np.nanmedian(values, axis=0) for name, values in test.items()}
    if method == "demucs":
        margin = medians["demucs"].mean() - medians["hpss"].mean()
        return f"""The goal was a mean over the targets 1 dB above `hpss` on `test`; it is {margin:.2f} dB above. From
step 2,300 the score on `valid` stays constant while the training loss falls slowly. Waveform models need more songs
than magnitude models, and then more channels."""
    best = np.max([medians[name] for name in BUNDLED], axis=0)
    gaps = [
        f"{source} {GOALS[source] - sdr:.1f} dB"
        for source, sdr in zip(SOURCES, best, strict=True)
        if sdr < GOALS[source]
    ]
    goal = " / ".join(f"{value} dB {source}" for source, value in GOALS.items())
    return f"""The goal was {goal} on `test`, with the better of the
two bundled models. The remaining gaps are: {", ".join(gaps) or "none"}.

The next table compares sources that the networks were trained on with new ones. It shows the SDR in dB over whole
clips, of the network alone, for {PAIRS} mixtures of one clip's target with the rest of another clip. The SDR of the
ideal ratio mask, in brackets, measures how hard these mixtures are:

{novelty}

A new voice costs the vocals network most; a new accompaniment costs it less than half of that. Other is in between,
the bass loses little, and the drums lose nothing beyond what the ideal mask loses as well.
More singers and songs would help vocals and other most: the released UMX reaches 6.3 / 5.7 / 5.2 / 4.0 dB with whole
songs. Drums and bass are more likely to improve with larger networks.

These did not help on `valid` (network alone):

- augmentation for the vocals, with 1,600 more steps (5.1 to 4.7 dB) or with 2,000 steps from scratch (4.9 dB)
- the mean of two or three such networks
- phase-sensitive targets for other (2.3 to 2.3 dB, and less after the filter)

3,600 more steps of the second stage improved the bass by 0.1 dB (4.3 to 4.4 dB)."""
