"""Overlap-add reconstructs the signal and holds at most two segments in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from separation.audio.blocks import read_padded
from separation.audio.signal import TensorSignal
from separation.separators.overlap_add import fade_window, in_step, overlap_add


def signal(length: int, *shape: int) -> Tensor:
    return torch.randn(*shape, length, generator=torch.Generator().manual_seed(length))


def starts_for(length: int, segment: int, overlap: int) -> range:
    return range(0, max(1, length - overlap), segment - overlap)


def test_a_window_fades_in_and_out() -> None:
    assert torch.allclose(fade_window(8, 3) * 3, torch.tensor([1.0, 2, 3, 3, 3, 3, 2, 1]))
    assert torch.equal(fade_window(5, 1), torch.ones(5))


@pytest.mark.parametrize(("length", "rising"), [(1, [1]), (2, [1]), (3, [1, 2]), (6, [1, 2, 3]), (7, [1, 2, 3, 4])])
def test_maximal_fades_give_a_triangular_window(length: int, rising: list[int]) -> None:
    """The triangle of Demucs: 1, 2, ... up to the middle and down again, divided by the maximum."""
    falling = rising[::-1][length % 2 :]
    triangle = torch.tensor(rising + falling, dtype=torch.float32) / rising[-1]
    assert torch.allclose(fade_window(length, -(-length // 2)), triangle)


@pytest.mark.parametrize(("length", "fade"), [(10, 3), (11, 6), (4410, 441)])
def test_a_window_is_symmetric_and_never_zero(length: int, fade: int) -> None:
    window = fade_window(length, fade)
    assert window.shape == (length,)
    assert torch.equal(window, window.flip(0))
    assert 0 < window.min() <= window.max() == 1


@pytest.mark.parametrize(("length", "fade"), [(10, 0), (10, -1), (10, 6), (11, 7), (0, 1)])
def test_invalid_fades_are_refused(length: int, fade: int) -> None:
    with pytest.raises(ValueError, match=f"fades of {fade} samples"):
        fade_window(length, fade)


@pytest.mark.parametrize("length", [1, 2, 7, 99, 100, 101, 199, 200, 201, 250, 1000, 1234, 9973])
@pytest.mark.parametrize(
    ("segment", "overlap", "fade"),
    [(100, 0, 1), (100, 1, 1), (100, 25, 25), (100, 50, 50), (100, 75, 50), (100, 99, 50), (101, 50, 51), (7, 3, 2)],
)
def test_the_identity_reconstructs_the_signal(length: int, segment: int, overlap: int, fade: int) -> None:
    whole = signal(length, 2)
    blocks = overlap_add(
        lambda start, stop: whole[:, start:stop],
        length,
        starts=starts_for(length, segment, overlap),
        window=fade_window(segment, fade),
    )
    result = torch.cat(list(blocks), dim=-1)
    assert result.shape == whole.shape
    assert (result - whole).abs().max() < 1e-6 * whole.abs().max()


def test_where_segments_overlap_they_are_averaged_by_the_window() -> None:
    window = torch.tensor([1.0, 2, 2, 1])
    values = iter([10.0, 20.0, 60.0])
    blocks = overlap_add(
        lambda start, stop: torch.full((stop - start,), next(values)), 8, starts=range(0, 6, 2), window=window
    )
    # at 2: (2 x 10 + 1 x 20) / 3, at 3: (1 x 10 + 2 x 20) / 3, and so on
    expected = torch.tensor([10, 10, 40 / 3, 50 / 3, 100 / 3, 140 / 3, 60, 60])
    assert torch.allclose(torch.cat(list(blocks)), expected)


def test_leading_axes_are_kept() -> None:
    whole = signal(500, 4, 2)
    blocks = overlap_add(
        lambda start, stop: whole[..., start:stop], 500, starts=range(0, 450, 50), window=fade_window(100, 50)
    )
    assert torch.allclose(torch.cat(list(blocks), dim=-1), whole, atol=1e-6)


def test_a_block_is_yielded_as_soon_as_it_is_final() -> None:
    whole, spans = signal(1000, 1), []

    def process(start: int, stop: int) -> Tensor:
        spans.append((start, stop))
        return whole[:, start:stop]

    blocks = overlap_add(process, 1000, starts=range(0, 900, 100), window=fade_window(200, 100))
    assert spans == []
    for number, block in enumerate(blocks, start=1):
        assert spans == [(100 * n, 100 * n + 200) for n in range(number)]
        assert block.shape[-1] == (100 if number < 9 else 200)
    assert len(spans) == 9


def test_a_long_signal_needs_the_memory_of_two_segments() -> None:
    """A block must not keep earlier segments alive, as a view into a growing tensor would."""
    blocks = overlap_add(
        lambda start, stop: torch.ones(1, stop - start),
        1_000_000,
        starts=range(0, 1_000_000 - 50, 50),
        window=fade_window(100, 50),
    )
    assert max(block.untyped_storage().nbytes() for block in blocks) <= 2 * 100 * 4


def test_results_are_not_changed_in_place() -> None:
    whole = signal(300, 2)
    before = whole.clone()
    list(
        overlap_add(
            lambda start, stop: whole[:, start:stop], 300, starts=range(0, 250, 50), window=fade_window(100, 50)
        )
    )
    assert torch.equal(whole, before)


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        (100, range(0)),  # no segments
        (100, range(1, 100, 5)),  # nothing at the beginning
        (100, range(0, 100, 11)),  # gaps
        (100, range(0, 85, 5)),  # nothing at the end
        (5, range(0, 30, 10)),  # segments after the end
        (5, range(0, -30, -10)),  # backwards
    ],
)
def test_segments_that_do_not_cover_the_signal_are_refused(length: int, starts: range) -> None:
    with pytest.raises(ValueError, match="do not cover"):
        list(overlap_add(lambda start, stop: torch.ones(stop - start), length, starts=starts, window=torch.ones(10)))


@pytest.mark.parametrize(
    ("start", "stop"), [(-7, 3), (-3, 0), (-9, -4), (0, 10), (2, 2), (4, 15), (10, 14), (20, 26), (-5, 25)]
)
def test_read_padded_is_zero_outside_the_signal(start: int, stop: int) -> None:
    whole = torch.arange(1.0, 21.0).reshape(2, 10)
    expected = [[row[i] if 0 <= i < 10 else 0.0 for i in range(start, stop)] for row in whole.tolist()]
    assert torch.equal(read_padded(TensorSignal(whole), start, stop), torch.tensor(expected).reshape(2, stop - start))


def test_synchronised_streams_keep_all_samples() -> None:
    first, second = signal(50, 2), signal(50, 3)
    pulled: list[str] = []

    def blocks(name: str, x: Tensor, *lengths: int) -> Iterator[Tensor]:
        for block in x.split(lengths, dim=-1):
            pulled.append(name)
            yield block

    pairs = list(in_step([blocks("a", first, 20, 20, 10), blocks("b", second, 0, 15, 20, 10, 5)]))
    assert [pair[0].shape[-1] for pair in pairs] == [pair[1].shape[-1] for pair in pairs] == [0, 15, 20, 10, 5]
    assert torch.equal(torch.cat([pair[0] for pair in pairs], dim=-1), first)
    assert torch.equal(torch.cat([pair[1] for pair in pairs], dim=-1), second)
    assert pulled == ["a", "b", "a", "b", "a", "b", "b", "b"], "not in turn"
