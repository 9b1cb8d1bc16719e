"""Progress of a separation in the studio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from separation.pipeline.result import Result

__all__ = ["SessionUpdate"]


@dataclass(frozen=True, kw_only=True)
class SessionUpdate:
    """Progress of a session, and its finished results.

    Attributes
    ----------
    folder : path
        Folder of the result; its ``player.json`` can be played.
    stage : str
        "reading", "loading", "separating", "writing", "scoring" or "done".
    method : str
        Title of the current method.
    real_time_factor : float or None
        Seconds of computing per second of audio, so far.
    share : float
        Fraction of all work that is finished, 0 to 1.
    failed : mapping of str to str
        Method -> a sentence that tells why it failed, or why it has no scores.
    """

    folder: Path
    stage: str
    method: str = ""
    device: str = ""
    real_time_factor: float | None = None
    share: float = 0.0
    results: tuple[Result, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
