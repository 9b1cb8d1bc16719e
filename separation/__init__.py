"""Stemscope: music source separation, its evaluation and a studio to compare methods.

The packages, from the bottom up; each imports only packages listed above it:

- ``resources``   files that ship with the package
- ``sources``     the names of sources
- ``atomic``      atomic writing of files
- ``archives``    errors of damaged ZIP archives
- ``toml_files``  TOML files that users write
- ``audio``       audio in memory and in files: decoding, encoding, resampling, channels
- ``workers``     threads, worker processes, dask clusters, devices
- ``spectral``    the short-time Fourier transform, masks, the multichannel Wiener filter
- ``models``      the networks
- ``weights``     model files: the catalogue, download, safe reading, export
- ``separators``  every separation method behind one interface, and their registry
- ``datasets``    MUSDB18, folders of stems, the stem store, augmentation, training mixtures
- ``training``    configs, recipes and the training loop
- ``pipeline``    separating one or many audio files into folders of stems with a ``result.json``
- ``evaluation``  BSSEval, mask scores, whole data sets, statistics, published scores
- ``plots``       matplotlib figures of scores, waveforms and spectrograms
- ``studio``      the Gradio app
- ``cli``         the command line, one module per command; ``__main__`` puts them together

Importing this package is cheap: the public names load what they need when they are first used.

>>> import separation, torch
>>> audio = separation.read("song.mp3")
>>> separator = separation.create("open-unmix", device="cpu")
>>> separator.sources
('vocals', 'drums', 'bass', 'other')
>>> stems = torch.cat(list(separation.run(separator, audio)), dim=-1)
>>> stems.shape == (4, audio.channels, audio.frames)
True
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Spinning OpenMP threads make torch many times slower on busy cores. OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_MODULES = {
    "METHODS": "separators",
    "Audio": "audio.signal",
    "Recording": "audio.files",
    "AudioError": "audio.stream",
    "CheckpointError": "weights.state_dict",
    "Separator": "separators.base",
    "create": "separators",
    "read": "audio.files",
    "run": "pipeline.run",
    "separate_to_folder": "pipeline.to_folder",
}

__all__ = [*sorted(_MODULES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'separation' has no attribute {name!r}")
    return getattr(import_module(f"separation.{_MODULES[name]}"), name)
