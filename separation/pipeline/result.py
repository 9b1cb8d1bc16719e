"""The result of a separation and its ``result.json``."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from separation.audio.signal import AudioSource
from separation.separators.base import Separator

__all__ = ["Result", "SeparationProgress", "manifest", "write_manifest"]


@dataclass(frozen=True, kw_only=True)
class SeparationProgress:
    """Progress of one separation.

    Attributes
    ----------
    stage : str
        "separating", "writing" or "done".
    segment, segments : int
        Finished segments and their total number.
    seconds_left : float or None
        Estimated remaining time; None before the first segment is finished.
    result : Result or None
        Set if the stage is "done".
    """

    stage: str
    segment: int
    segments: int
    seconds_left: float | None = None
    result: Result | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a separation; ``result.json`` holds the same and more.

    Attributes
    ----------
    stems : dict of str to Path
        Source -> file.
    residual_db : float or None
        Energy of (mixture - sum of the stems as written) over the mixture's, 10 log10; None if
        either is silent.
    gain_db : float
        Gain of all stems, below 0 if one would have clipped.
    seconds : float
        Computing time.
    real_time_factor : float
        Computing time per second of audio.
    card : Path
        ``result.json``.
    """

    input: str
    method: str
    model: str | None
    stems: dict[str, Path]
    sample_rate: int
    channels: int
    frames: int
    residual_db: float | None
    gain_db: float
    seconds: float
    real_time_factor: float
    device: str
    card: Path
    warnings: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return a dict for JSON, with paths as strings."""
        stems = {source: str(path) for source, path in self.stems.items()}
        return {**asdict(self), "stems": stems, "card": str(self.card)}


def manifest(result: Result, audio: AudioSource, separator: Separator, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``result.json``."""
    document = result.document()
    document["stems"] = {source: path.name for source, path in result.stems.items()}
    del document["card"]
    return {
        **document,
        "input_sha256": audio.digest(),
        "duration": round(audio.duration, 6),
        "model_sha256": separator.model_hash,
        "options": asdict(separator.options),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "numpy", "soundfile", "soxr", "scikit-learn")},
        **origin,
    }


def write_manifest(folder: Path, document: Mapping[str, Any]) -> None:
    """Write the content of ``result.json`` to a folder."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Parts of a file name that are not valid Unicode become JSON escapes.
    (folder / "result.json").write_bytes(text.encode("utf-8", "backslashreplace"))
