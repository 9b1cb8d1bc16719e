"""Bundle trained models, score them and write their model cards."""

from __future__ import annotations

import argparse
from pathlib import Path

from separation.datasets.musdb18 import tracks
from tools.bundle_models import BUNDLED, MODELS
from tools.bundle_models.cards import card
from tools.bundle_models.novelty import novelty_table
from tools.bundle_models.scores import score_methods, score_table, win_table
from tools.bundle_models.weights import bundle


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bundle_models", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with musdb18-7s")
    parser.add_argument("--runs", type=Path, help="folder of the training runs; without it, only score")
    args = parser.parse_args()
    if args.runs:
        for method in BUNDLED:
            bundle(args.runs, method)
    root = args.data / "musdb18-7s"
    test = score_methods(tracks(root, subset="test"))
    valid = score_methods(tracks(root, subset="train", split="valid"))
    for scores in (test, valid):
        print(score_table(scores), end="\n\n")
    novelty = novelty_table(tracks(root, subset="train", split="train"), tracks(root, subset="train", split="valid"))
    for method, name in BUNDLED.items():
        print(f"{method} on test\n{win_table(test, method)}\n")
        (MODELS / name / "README.md").write_text(card(method, test, valid, novelty), encoding="utf-8")


if __name__ == "__main__":
    main()
