"""Determine from ``result.json`` which files of a result folder belong to which separation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from separation.pipeline.storage import Location, Url, read_json

__all__ = ["RESULT_FILE", "earlier_results", "is_same_separation", "listed_files", "read_manifest"]

RESULT_FILE = "result.json"

_IDENTITY = ("input_sha256", "method", "model", "model_sha256", "options", "sample_rate", "sum_to_mixture")


def read_manifest(folder: Location) -> dict[str, Any] | None:
    """Return the content of a folder's ``result.json``; None if it is missing or by another program."""
    document = read_json(folder / RESULT_FILE)
    known = isinstance(document, dict) and isinstance(document.get("stems"), dict) and "method" in document
    return document if known else None


def listed_files(folder: Location) -> set[str]:
    """Return the names of the files that ``result.json`` lists, and of ``result.json``.

    Only plain names count: no paths, no folders. Listed files need not exist: a draft lists kept stems before
    they are linked into it.
    """
    document = read_manifest(folder)
    if document is None:
        return set()
    names = {RESULT_FILE}.union(*(_stems(result).values() for result in (document, *_earlier(document))))
    return names if isinstance(folder, Url) else {name for name in names if not (folder / name).is_dir()}


def earlier_results(folder: Path, replaced: Collection[str]) -> list[dict[str, Any]]:
    """Return the earlier results of a folder, each with those of its stems that a new result keeps.

    Parameters
    ----------
    folder : path
    replaced : collection of str
        Sources that the new result writes.
    """
    document = read_manifest(folder)
    if document is None:
        return []
    results = []
    for result in (document, *_earlier(document)):
        stems = {
            source: name
            for source, name in _stems(result).items()
            if source not in replaced and (folder / name).is_file()
        }
        if stems:
            results.append({**result, "stems": stems})
            results[-1].pop("earlier_results", None)
    return results


def is_same_separation(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Return whether two results have the same input audio, method, weights and options."""
    return all(first.get(key) == second.get(key) for key in _IDENTITY)


def _earlier(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    results = document.get("earlier_results", [])
    return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []


def _stems(result: Mapping[str, Any]) -> dict[str, str]:
    """Return source -> file name, without names that point outside the folder."""
    stems = result.get("stems")
    if not isinstance(stems, dict):
        return {}
    return {source: name for source, name in stems.items() if isinstance(name, str) and Path(name).name == name}
