"""Music for the tests of the networks."""

from __future__ import annotations

import pytest
from torch import Tensor

from separation.audio.files import read


@pytest.fixture(scope="session", params=["real song", "sample track"])
def music(request: pytest.FixtureRequest) -> Tensor:
    if request.param == "real song":
        return request.getfixturevalue("real_song").waveform
    return read(request.getfixturevalue("sample") / "mixture.flac").waveform
