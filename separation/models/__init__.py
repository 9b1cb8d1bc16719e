"""Networks as torch modules, and their fast inference on CPUs.

- ``open_unmix``, ``demucs``, ``roformer``          the networks, as trained
- ``onednn``                                        layers as oneDNN matrix products with pre-packed weights
- ``onednn_demucs`` and others                      inference of whole networks with these layers

:mod:`separation.weights` loads their weights, and :mod:`separation.separators` separates songs with them.
"""
