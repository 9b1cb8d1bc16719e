"""Random training mixtures from stored stems."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from separation.datasets.augmentation import (
    apply_gain,
    apply_tilt,
    impulse_response,
    pitch_shift,
    pitch_shift_length,
    reverberate,
    set_width,
    shift_in_time,
    shuffle_sources,
    swap_channels,
)
from separation.datasets.mix_config import MixConfig
from separation.datasets.store import StemStore, StoredTrack

__all__ = ["MixParameters", "MixSampler"]


@dataclass(frozen=True, kw_only=True)
class MixParameters:
    """All random parameters of a batch; every tensor has a row per item.

    Shapes are (batch, sources, takes) for parameters of an excerpt, (batch, sources) for those of a
    source, and (batch,) for those of an item. A take is one recording of a source; there are two
    takes where sources may be doubled.
    """

    # Per excerpt.
    recording: Tensor  # index into the store's recordings, -1 for silence
    start: Tensor  # 0..1, relative to the positions where an excerpt fits
    gain: Tensor  # negative to invert polarity
    swapped: Tensor
    tilt: Tensor
    width: Tensor
    reverb: (
        Tensor  # (..., 3), each 0..1: whether to apply reverb, its decay, its level; the seed follows from the decay
    )
    # Per source.
    shift: Tensor  # 0..1
    order: Tensor  # the item each source is taken from
    # Per item.
    semitones: Tensor
    tempo: Tensor

    def item(self, index: int) -> MixParameters:
        """Return the parameters of one item alone, before sources are exchanged between items."""
        rows = {f.name: getattr(self, f.name)[index : index + 1] for f in fields(self)}
        return MixParameters(**rows | {"order": torch.zeros_like(rows["order"])})

    def to(self, device: torch.device) -> MixParameters:
        """Return the parameters on a device."""
        return MixParameters(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class _Uniforms(NamedTuple):
    """Uniform random numbers in [0, 1) for a batch, float64.

    The order of the fields is the order of the columns in which they are drawn. Changing it changes the
    batches of every seeded run.
    """

    # Shape (batch, sources, takes).
    recording: Tensor
    start: Tensor
    doubled: Tensor  # unused for the first take
    gain: Tensor
    flip: Tensor
    tilt: Tensor
    width: Tensor
    swap: Tensor
    reverb: Tensor
    reverb_decay: Tensor
    reverb_level: Tensor
    # Shape (batch, sources).
    shift: Tensor
    order: Tensor
    # Shape (batch,).
    original: Tensor
    original_recording: Tensor
    original_start: Tensor
    repitch: Tensor
    semitones: Tensor

    @classmethod
    def draw(cls, size: int, sources: int, takes: int, generator: torch.Generator) -> _Uniforms:
        widths = 11 * sources * takes, 2 * sources, 5
        table = torch.rand(size, sum(widths), generator=generator, dtype=torch.float64)
        per_excerpt, per_source, per_item = table.split(widths, dim=1)
        return cls(
            *per_excerpt.reshape(size, 11, sources, takes).unbind(1),
            *per_source.reshape(size, 2, sources).unbind(1),
            *per_item.unbind(1),
        )


class MixSampler:
    """A sampler of random training batches from a store.

    Raises
    ------
    ValueError
        If the store lacks a source, or the config names data sets that it does not hold.
    """

    def __init__(self, store: StemStore, config: MixConfig, *, length: int | None = None) -> None:
        """Mix excerpts of `length` samples instead of ``config.seconds``, for networks that take only some lengths."""
        self.store = store
        self.config = config
        self.length = length or round(config.seconds * store.sample_rate)
        self._length_before_shift = self.length + round(config.shift * store.sample_rate)
        known = {recording.collection for recording in store.recordings}
        if unknown := sorted({*config.shares, *config.whole_from, *config.reverb} - known):
            raise ValueError(
                f"unknown data set {unknown[0]!r} in the config; the data holds {', '.join(sorted(known))}"
            )
        if unknown := sorted(set(config.doubled) - set(store.sources)):
            raise ValueError(f"unknown source {unknown[0]!r} in `doubled`; the sources are {', '.join(store.sources)}")
        self._takes = 2 if any(config.doubled.values()) else 1
        self._cumulative = torch.stack([self._probabilities(source).cumsum(0) for source in store.sources])
        self._cumulative_original = torch.zeros(len(store.recordings), dtype=torch.float64)
        if config.whole_mixes or not config.random_tracks:
            self._cumulative_original = self._probabilities(None, config.whole_from).cumsum(0)

    def _probabilities(self, source: str | None, datasets: tuple[str, ...] = ()) -> Tensor:
        """Return the probability of each recording to be drawn, shape (recordings,), float64.

        Recordings without `source` (unless None) or outside of `datasets` (unless empty) have probability 0.
        """

        def eligible(recording: StoredTrack) -> bool:
            has_source = source is None or source in recording.sources
            return has_source and (not datasets or recording.collection in datasets)

        shares = self.config.shares
        names = [recording.collection for recording in self.store.recordings if eligible(recording)]
        weights = []
        for recording in self.store.recordings:
            name = recording.collection
            weight = shares.get(name, 0.0) / max(1, names.count(name)) if shares else 1.0
            weights.append(weight * eligible(recording))
        total = sum(weights)
        if not total:
            target = source or f"original mixtures from {', '.join(datasets) or 'any data set'}"
            raise ValueError(f"no recording with {target} exists in a data set with a share above 0")
        return torch.tensor(weights, dtype=torch.float64) / total

    def draw(self, size: int, generator: torch.Generator) -> MixParameters:
        """Draw the random parameters of a batch of `size` items."""
        config = self.config
        u = _Uniforms.draw(size, len(self.store.sources), self._takes, generator)
        original = u.original < (config.whole_mixes if config.random_tracks else 1.0)
        recording, start = self._choose_excerpts(u, original)
        # Among random mixtures, original ones stay unchanged; a config of original mixtures alone augments them.
        augmented = ~original if config.random_tracks else torch.ones_like(original)
        per_excerpt = augmented[:, None, None]

        # A uniform number below an augmentation's probability is uniform again if divided by it: the strength.
        low, high = config.gain
        gain = (low + (high - low) * u.gain) * torch.where(u.flip < config.flip, -1.0, 1.0)
        tilt = torch.where(u.tilt < config.tilt, u.tilt / max(config.tilt, 1e-9) - 0.5, 0.0)
        width = torch.where(u.width < config.width, u.width / max(config.width, 1e-9) * 1.4, 1.0)
        reverb = torch.stack([u.reverb, u.reverb_decay, u.reverb_level], dim=-1)
        repitched = augmented & (u.repitch < config.repitch)
        semitones = (u.semitones * (2 * config.max_semitones + 1)).floor() - config.max_semitones
        tempo = 1 + config.max_tempo * (2 * u.repitch / max(config.repitch, 1e-9) - 1)
        return MixParameters(
            recording=recording,
            start=start,
            gain=torch.where(per_excerpt, gain, 1.0).float(),
            swapped=per_excerpt & (u.swap < config.swap),
            tilt=torch.where(per_excerpt, tilt, 0.0).float(),
            width=torch.where(per_excerpt, width, 1.0).float(),
            reverb=torch.where(per_excerpt[..., None], reverb, 1.0),
            shift=torch.where(augmented[:, None], u.shift, u.shift[:, :1]),
            order=_permutations(u.order, config.shuffle_groups, augmented),
            semitones=torch.where(repitched, semitones, 0.0),
            tempo=torch.where(repitched, tempo, 1.0),
        )

    def _choose_excerpts(self, u: _Uniforms, original: Tensor) -> tuple[Tensor, Tensor]:
        """Return the recording and the relative start of every excerpt, each (batch, sources, takes)."""
        sources = self.store.sources
        recording = torch.stack([_choose(self._cumulative[s], u.recording[:, s]) for s in range(len(sources))], 1)
        start = u.start.clone()
        doubled = torch.tensor([self.config.doubled.get(source, 0.0) for source in sources])
        recording[..., 1:][u.doubled[..., 1:] >= doubled[:, None]] = -1
        recording[original], start[original] = -1, u.original_start[original][:, None, None]
        original_recording = _choose(self._cumulative_original, u.original_recording)
        recording[original, :, 0] = original_recording[original][:, None]
        return recording, start

    def batch(self, parameters: MixParameters) -> Tensor:
        """Cut, augment and return the sources of a batch; their sum is the mixture.

        Returns
        -------
        Tensor, shape (batch, sources, channels, time), on the store's device
        """
        size = len(parameters.recording), len(self.store.sources), self.store.samples.shape[-1], self.length
        sources = torch.empty(size, device=self.store.device)
        # The parameters are also kept on the CPU, so that decisions do not wait for a GPU.
        on_device = parameters.to(self.store.device)
        for row in range(len(sources)):
            sources[row] = self._item(parameters, on_device, row)
        return shuffle_sources(sources, on_device.order) if self.config.shuffle_groups else sources

    def _item(self, parameters: MixParameters, on_device: MixParameters, row: int) -> Tensor:
        """Return the sources of one item, shape (sources, channels, time)."""
        length = self._length_before_shift
        semitones, tempo = float(parameters.semitones[row]), float(parameters.tempo[row])
        repitched = semitones != 0 or tempo != 1
        read = pitch_shift_length(length, tempo=tempo) if repitched else length
        n_sources = len(self.store.sources)
        sources = torch.stack([self._source(parameters, on_device, row, s, read) for s in range(n_sources)])
        if repitched:
            sources = pitch_shift(sources, semitones=semitones, tempo=tempo, length=length)
        if length == self.length:
            return sources
        starts = (on_device.shift[row] * (length - self.length + 1)).long()
        return shift_in_time(sources, starts, self.length)

    def _source(
        self, parameters: MixParameters, on_device: MixParameters, row: int, source: int, length: int
    ) -> Tensor:
        """Return the sum of the augmented takes of one source of an item, shape (channels, time)."""
        takes = [
            self._take(parameters, on_device, (row, source, take), length)
            for take, index in enumerate(parameters.recording[row, source].tolist())
            if index >= 0
        ]
        return sum(takes[1:], start=takes[0])

    def _take(
        self, parameters: MixParameters, on_device: MixParameters, at: tuple[int, int, int], length: int
    ) -> Tensor:
        """Read one excerpt and augment it, skipping augmentations with neutral parameters."""
        recording = self.store.recordings[int(parameters.recording[at])]
        slack = recording.frames - length  # negative if the recording is shorter than the excerpt and is padded
        start = int(parameters.start[at] * (abs(slack) + 1)) * (1 if slack >= 0 else -1)
        audio = self.store.excerpt(recording, at[1], start, length)
        coin, decay, level = parameters.reverb[at].tolist()
        if coin < self.config.reverb.get(recording.collection, 0.0):
            audio = reverberate(audio, self._impulse_response(decay, level))
        if parameters.tilt[at] != 0:
            audio = apply_tilt(audio, on_device.tilt[at])
        if parameters.width[at] != 1:
            audio = set_width(audio, on_device.width[at])
        if parameters.swapped[at]:
            audio = swap_channels(audio, on_device.swapped[at])
        return apply_gain(audio, on_device.gain[at])

    def _impulse_response(self, decay: float, level: float) -> Tensor:
        return impulse_response(
            0.3 + 1.7 * decay,
            -18 + 14 * level,
            int(decay * 2**53),
            channels=self.store.samples.shape[-1],
            sample_rate=self.store.sample_rate,
        )


def _choose(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Map uniform numbers to indices with the given cumulative probabilities."""
    return torch.searchsorted(cumulative, uniform.contiguous(), right=True).clamp_(max=len(cumulative) - 1)


def _permutations(uniform: Tensor, group: int, augmented: Tensor) -> Tensor:
    """Return, for every source, a permutation of the augmented items within groups of consecutive items.

    `uniform` and the result have shape (batch, sources). Items that are not augmented stay in place.
    """
    size = len(uniform)
    order = torch.arange(size)[:, None].expand_as(uniform).clone()
    for first in range(0, size, group) if group else ():
        items = first + augmented[first : first + group].nonzero()[:, 0]
        order[items] = items[uniform[items].argsort(0)]
    return order
