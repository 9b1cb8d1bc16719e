"""Bundles trained models, scores them and writes their model cards; the last step of ``make train-bundled``.

    python -m tools.bundle_models --runs RUNS --data DATA    # RUNS/open-unmix-1, -2, -3 and demucs-1
    python -m tools.bundle_models --data DATA                # only the scores and the cards

- ``weights``  weights in half precision and the record of their training
- ``scores``   BSSEval v4 scores on clips that no model was trained on
- ``novelty``  scores of the Open-Unmix networks on known and on new sources
- ``cards``    model cards and learning curves
"""

from separation.resources import ASSETS

MODELS = ASSETS / "models"
BUNDLED = {"open-unmix": "open-unmix-compact", "demucs": "demucs-compact"}  # method -> name of its model
