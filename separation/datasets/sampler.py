"""Random training mixtures from stored stems."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from separation.datasets.augmentation import (
    apply_matrix,
    apply_tilt,
    channel_matrix,
    impulse_response,
    pitch_shift_batch,
    pitch_shift_length,
    reverberate,
    shift_in_time,
    shuffle_sources,
)
from separation.datasets.excerpts import to_device
from separation.datasets.mix_config import MixConfig
from separation.datasets.store import StemStore, StoredTrack

__all__ = ["MixParameters", "MixSampler"]

_CACHED = 8  # excerpts augmented at a time on a CPU, since they then stay in its cache; a GPU augments all at once


@dataclass(frozen=True, kw_only=True)
class MixParameters:
    """All random parameters of a batch, on the CPU; every tensor has a row per item.

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
        self._frames = torch.tensor([recording.frames for recording in store.recordings])
        self._reverb = torch.tensor([config.reverb.get(recording.collection, 0.0) for recording in store.recordings])
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
        device = self.store.device
        repitched = (parameters.semitones != 0) | (parameters.tempo != 1)
        items, length = torch.arange(len(repitched)), self._length_before_shift
        if not repitched.any():
            sources = self._sources(parameters, items, length)
        else:
            channels = self.store.samples.shape[-1]
            sources = torch.empty(len(items), len(self.store.sources), channels, length, device=device)
            plain, changed = items[~repitched], items[repitched]
            if len(plain):
                sources[to_device(plain, device)] = self._sources(parameters, plain, length)
            sources[to_device(changed, device)] = self._repitched(parameters, changed)
        if length != self.length:
            starts = (parameters.shift * (length - self.length + 1)).long()
            sources = shift_in_time(sources, to_device(starts, device), self.length)
        return shuffle_sources(sources, to_device(parameters.order, device)) if self.config.shuffle_groups else sources

    def _repitched(self, parameters: MixParameters, items: Tensor) -> Tensor:
        """Return the sources of items whose pitch or tempo changes, (items, sources, channels, time)."""
        length, tempo = self._length_before_shift, parameters.tempo[items]
        needed = torch.tensor([pitch_shift_length(length, tempo=value) for value in tempo.tolist()])
        sources = self._sources(parameters, items, needed)
        rows = sources.flatten(1, 2)
        semitones = parameters.semitones[items]
        return pitch_shift_batch(rows, semitones=semitones, tempo=tempo, length=length).reshape(*sources.shape[:3], -1)

    def _sources(self, parameters: MixParameters, items: Tensor, lengths: Tensor | int) -> Tensor:
        """Return the augmented sources of some items, with all takes summed, (items, sources, channels, time).

        The excerpts of an item are placed for its entry of `lengths`; all items are read as long as the longest.
        """
        recording = parameters.recording[items]
        size = recording.shape[:2]
        # In the order of the takes: the first take of every source, then the others that there are.
        take, row, source = (recording.permute(2, 0, 1) >= 0).nonzero(as_tuple=True)
        lengths = torch.as_tensor(lengths).expand(len(items))[row]
        shape = len(row), self.store.samples.shape[-1], int(lengths.max())
        audio = torch.empty(shape, device=self.store.device)
        step = _CACHED if audio.device.type == "cpu" else len(row)
        for part in map(slice, range(0, len(row), step), range(step, len(row) + step, step)):
            self._augment(parameters, (items[row[part]], source[part], take[part]), lengths[part], out=audio[part])
        count = size.numel()
        if len(audio) > count:
            slots = row[count:] * size[1] + source[count:]
            audio[:count].index_add_(0, to_device(slots, audio.device), audio[count:])
        return audio[:count].unflatten(0, size)

    def _augment(
        self, parameters: MixParameters, at: tuple[Tensor, Tensor, Tensor], lengths: Tensor, *, out: Tensor
    ) -> None:
        """Read and augment excerpts, given by item, source and take, into `out` (excerpts, channels, time).

        Only the excerpts that an augmentation changes are copied for it.
        """
        device, recording = self.store.device, parameters.recording[at]
        slack = self._frames[recording] - lengths  # negative if the recording is shorter and is padded
        starts = (parameters.start[at] * (slack.abs() + 1)).long() * torch.where(slack >= 0, 1, -1)
        audio = self.store.excerpts(recording, at[1], starts, out.shape[-1])
        coin, decay, level = parameters.reverb[at].unbind(-1)
        if (chosen := coin < self._reverb[recording]).any():
            where = to_device(chosen.nonzero()[:, 0], device)
            audio[where] = reverberate(audio[where], self._impulse_responses(decay[chosen], level[chosen]))
        tilt = parameters.tilt[at]
        if (chosen := tilt != 0).any():
            where = to_device(chosen.nonzero()[:, 0], device)
            audio[where] = apply_tilt(audio[where], to_device(tilt[chosen], device))
        gain, width, swapped = parameters.gain[at], parameters.width[at], parameters.swapped[at]
        apply_matrix(to_device(channel_matrix(gain, width, swapped, channels=audio.shape[1]), device), audio, out=out)

    def _impulse_responses(self, decays: Tensor, levels: Tensor) -> Tensor:
        """Return an impulse response for each pair of numbers in 0..1, padded to the longest, on the store's device.

        Each has a generator of its own, so that an excerpt does not depend on the others in its batch.
        """
        form = {"channels": self.store.samples.shape[-1], "sample_rate": self.store.sample_rate}
        responses = [
            impulse_response(0.3 + 1.7 * decay, -18 + 14 * level, int(decay * 2**53), **form).T
            for decay, level in zip(decays.tolist(), levels.tolist(), strict=True)
        ]
        return to_device(pad_sequence(responses, batch_first=True).mT, self.store.device)


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
