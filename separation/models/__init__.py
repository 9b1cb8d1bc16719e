"""The networks: torch modules, and their fast inference on CPUs.

- ``open_unmix``, ``demucs``                        the networks as they are trained
- ``onednn``                                        layers as oneDNN matrix products with pre-packed weights
- ``onednn_demucs``, ``onednn_hybrid_demucs``       inference of whole networks with these layers

Loading weights is done by :mod:`separation.weights`, separating a song by :mod:`separation.separators`.
"""
