"""Stemscope: hear, see and score how a song is taken apart.

The rooms, from the bottom up; each imports only what stands above it:

- ``containers``    which sound files end before they should
- ``decoding``      sound files, opened safely and decoded block by block
- ``audio``         sound in memory or on disk, read piece by piece; its rate and channels
- ``writing``       stems into files
- ``stft``          the short-time Fourier transform, of whole signals or a few frames at a time
- ``parallel``      coarse work on all cores
- ``masking``       masks and the multichannel Wiener filter
- ``segments``      any length at constant memory: cut, process, crossfade
- ``models``        the networks
- ``checkpoints``   weights: what there is, on what terms; download, verify, load
- ``separators``    every method behind one interface, and their registry
- ``data``          multitracks: MUSDB18, folders of stems, the store, augmentation, batches
- ``training``      configs, recipes and the loop
- ``exporting``     models in the formats of other programs
- ``pipeline``      from one sound to a folder of stems and its ``result.json``
- ``spreading``     many pieces of work: in turn, in several processes, on a cluster
- ``batch``         many songs into stems, none of them twice
- ``evaluation``    the field's metrics, exact and fast; whole data sets, published scores, statistics
- ``plots``         arrays in, figures out
- ``stem_mp4``      Native Instruments' stem files
- ``studio``        the pages in the browser
- ``commands``      the command line, a module per command; ``__main__`` puts them together

Importing this package is cheap: the names below load what they need when they are first used.

>>> import separation
>>> audio = separation.read("song.mp3")                        # doctest: +SKIP
>>> separator = separation.create("open-unmix")                # doctest: +SKIP
>>> stems = torch.cat(list(separation.run(separator, audio)), dim=-1)  # doctest: +SKIP
"""

import atexit
import contextlib
import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# Idle OpenMP threads would spin; where the cores have other work too, that makes torch tens of
# times slower. Read when torch loads, so it must stand here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _let_numba_cache() -> None:
    """librosa does not even load where numba can write neither beside it nor in the home, as in many containers."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - never fails
    nearest = next(place for place in (cache, *cache.parents) if place.exists())
    if "NUMBA_CACHE_DIR" in os.environ or os.access(nearest, os.W_OK):
        return
    with contextlib.suppress(OSError):  # nothing at all can be written to: who needs librosa will hear of it
        folder = os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="stemscope-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


_let_numba_cache()

_PLACES = {
    "METHODS": "separators",
    "Audio": "audio",
    "Recording": "audio",
    "AudioError": "audio",
    "CheckpointError": "checkpoints",
    "Separator": "separators.base",
    "create": "separators",
    "read": "audio",
    "run": "pipeline",
    "separate_to_folder": "pipeline",
}

__all__ = [*sorted(_PLACES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'separation' has no attribute {name!r}")
    return getattr(import_module(f"separation.{_PLACES[name]}"), name)
