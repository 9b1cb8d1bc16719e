"""Two stems from any method."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from separation.separators import create
from separation.separators.two_stems import TwoStems
from tests.separators.helpers import SINGLE_METHODS, create_tiny


@pytest.mark.parametrize("name", [name for name in SINGLE_METHODS if name != "ica"])
def test_every_named_method_gives_a_source_and_the_rest(
    name: str, tiny_models: dict[str, str], excerpt: dict[str, Tensor]
) -> None:
    method = create_tiny(name, tiny_models, excerpt)
    two = TwoStems(method, "vocals").at(sample_rate=44100, channels=2)
    blocks = list(two.stream(excerpt["mixture"]))
    stems = torch.cat(blocks, dim=-1)
    assert len(blocks) == two.segments(excerpt["mixture"].shape[1])
    assert (two.name, two.model, two.sources) == (name, method.model, ("vocals", "instrumental"))
    torch.testing.assert_close(stems.sum(0), excerpt["mixture"], rtol=0, atol=1e-6)
    every = method.at(sample_rate=44100, channels=2).separate(excerpt["mixture"])
    assert torch.equal(stems[0], every[method.sources.index("vocals")])


def test_the_rest_is_named_after_the_source(excerpt: dict[str, Tensor]) -> None:
    assert TwoStems(create("mix"), "drums").sources == ("drums", "no_drums")
    assert TwoStems(create("spleeter"), "accompaniment").sources == ("accompaniment", "vocals")
    with pytest.raises(ValueError, match="mix has no stem 'piano' to separate from the rest; it gives vocals, drums"):
        TwoStems(create("mix"), "piano")


def test_notes_are_those_of_the_method(excerpt: dict[str, Tensor]) -> None:
    method = create("mix")
    two = TwoStems(method, "vocals")
    two.separate(excerpt["mixture"])
    method.notes.append("a note")
    assert two.notes == ["a note"]
