"""Fixtures of the data set tests."""

from __future__ import annotations

import pytest

from separation.datasets.store import StemStore
from tests.datasets.helpers import (
    TRACKS,
    counting,
    make_store,
)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> StemStore:
    """Return a store of four tracks in two data sets; one track has no drums."""
    waves = {
        dataset: {
            track: {source: counting(number) for source, number in numbers.items()} for track, numbers in tracks.items()
        }
        for dataset, tracks in TRACKS.items()
    }
    return make_store(tmp_path_factory.mktemp("counting"), waves)
