"""Programs that create what the repository contains.

- ``train_bundled.sh``, ``bundle_models``  train, score and document the bundled models (``make train-bundled``)
- ``samples``  synthesise the sample tracks (``make samples``)
"""
