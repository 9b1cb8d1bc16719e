"""The agreement of each metric with a visitor's ratings, and with all shared ratings on this server."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from separation.studio.listening.rating_pool import pooled_ratings

__all__ = ["MAX_RATINGS", "compare_ratings"]

MAX_RATINGS = 2000  # rated stems of one visitor

_FORM = f"the ratings must be a list of at most {MAX_RATINGS} stems, each with its rating and scores"


def compare_ratings(ratings: str) -> dict[str, Any]:
    """Return the rank correlations of ratings and metrics.

    Parameters
    ----------
    ratings : str
        JSON: the rows of all tests of this visitor, from :func:`separation.studio.listening.blind_test.reveal`.

    Returns
    -------
    dict
        ``{"visitor": {metric: {"correlation", "low", "high", "count"}}, "pooled": the same, for this server}``.

    Raises
    ------
    ValueError
        If the ratings have another form.
    """
    from separation.evaluation.agreement import agreement

    both = {"visitor": _checked(ratings), "pooled": pooled_ratings()}
    return {whose: {metric: asdict(found) for metric, found in agreement(rows).items()} for whose, rows in both.items()}


def _checked(ratings: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(ratings)
    except (ValueError, RecursionError) as error:
        raise ValueError(_FORM) from error
    if not isinstance(rows, list) or len(rows) > MAX_RATINGS or not all(map(_is_row, rows)):
        raise ValueError(_FORM)
    return rows


def _is_row(row: object) -> bool:
    if not isinstance(row, Mapping) or not isinstance(scores := row.get("scores"), dict):
        return False
    return "rating" in row and len(scores) <= 50 and all(map(_is_number, (row["rating"], *scores.values())))


def _is_number(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return value is None
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max  # false for NaN
