"""Ratings that visitors have agreed to share: stored on this server without song, name or address."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from separation.weights.catalogue import cache_dir

__all__ = ["MAX_ROWS", "add_ratings", "pooled_ratings"]

MAX_ROWS = 20_000  # about 4 MB; a full pool takes no more

_lock = threading.Lock()


def _file() -> Path:
    return cache_dir() / "studio" / "ratings.jsonl"


def add_ratings(rows: Iterable[Mapping[str, Any]]) -> int:
    """Append the rated stems, each with "source", "method", "rating" and "scores"; return how many were kept."""
    kept = [
        {name: row[name] for name in ("source", "method", "rating", "scores")}
        for row in rows
        if row["rating"] is not None and row["scores"]
    ]
    with _lock:
        kept = kept[: max(0, MAX_ROWS - len(pooled_ratings()))]
        if kept:
            path = _file()
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(row) + "\n" for row in kept).encode()
            place = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(place, lines)  # one call, so that lines of several processes do not mix
            finally:
                os.close(place)
    return len(kept)


def pooled_ratings() -> list[dict[str, Any]]:
    """Return all pooled rows; a line cut short by a full disk is skipped."""
    try:
        lines = _file().read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
