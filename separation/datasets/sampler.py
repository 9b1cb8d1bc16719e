"""Random training mixtures from stored stems."""

from __future__ import annotations

from dataclasses import dataclass, fields

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
    """Everything random about a batch; every tensor has a row per item.

    Shapes: (batch, sources, voices) for what is drawn for every excerpt, (batch, sources) for what
    is drawn for every source, (batch,) for the rest. A voice is one recording of a source; there
    are two where sources may be doubled.
    """

    recording: Tensor  # index into the store's recordings, -1: silence
    start: Tensor  # 0..1, along the places where an excerpt fits
    gain: Tensor  # polarity is its sign
    swapped: Tensor
    tilt: Tensor
    width: Tensor
    room: Tensor  # (..., 3): 0..1 each, for whether there is a reverb, its length and level; its seed follows from them
    shift: Tensor  # 0..1
    order: Tensor  # the item each source is taken from
    semitones: Tensor
    tempo: Tensor

    def item(self, index: int) -> MixParameters:
        """The draw of one item alone, before sources are exchanged between items."""
        rows = {f.name: getattr(self, f.name)[index : index + 1] for f in fields(self)}
        return MixParameters(**rows | {"order": torch.zeros_like(rows["order"])})

    def to(self, device: torch.device) -> MixParameters:
        return MixParameters(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class MixSampler:
    """Draws batches from a store.

    Raises
    ------
    ValueError
        If the store lacks a source, or the config names collections that it does not hold.
    """

    def __init__(self, store: StemStore, config: MixConfig, *, length: int | None = None) -> None:
        """`length` samples instead of ``config.seconds``, for networks that take only some lengths."""
        self.store = store
        self.config = config
        self.length = length or round(config.seconds * store.sample_rate)
        self._raw_length = self.length + round(config.shift * store.sample_rate)  # before shifting
        known = {recording.collection for recording in store.recordings}
        if unknown := sorted({*config.shares, *config.whole_from, *config.reverb} - known):
            raise ValueError(f"the config speaks of {unknown[0]!r}; the data holds {', '.join(sorted(known))}")
        if unknown := sorted(set(config.doubled) - set(store.sources)):
            raise ValueError(f"the config doubles {unknown[0]!r}; the sources are {', '.join(store.sources)}")
        self._voices = 2 if any(config.doubled.values()) else 1
        self._cumulative = torch.stack([self._probabilities(source).cumsum(0) for source in store.sources])
        self._whole = torch.zeros(len(store.recordings), dtype=torch.float64)
        if config.whole_mixes or not config.random_tracks:
            self._whole = self._probabilities(None, only=config.whole_from).cumsum(0)

    def _probabilities(self, source: str | None, only: tuple[str, ...] = ()) -> Tensor:
        """Of every recording to be drawn for `source`, or for all of them, shape (recordings,), float64."""

        def fits(recording: StoredTrack) -> bool:
            return (source is None or source in recording.sources) and (not only or recording.collection in only)

        shares = self.config.shares
        fitting = [recording for recording in self.store.recordings if fits(recording)]
        weights = []
        for recording in self.store.recordings:
            alike = sum(other.collection == recording.collection for other in fitting) if shares else 1
            weights.append(shares.get(recording.collection, 0.0) / max(1, alike) if shares else 1.0)
            weights[-1] *= fits(recording)
        total = sum(weights)
        if not total:
            wanted = source or f"whole mixes from {', '.join(only) or 'anywhere'}"
            raise ValueError(f"there is nothing to draw {wanted} from: no recording, or none with a share above 0")
        return torch.tensor(weights, dtype=torch.float64) / total

    # -- drawing -----------------------------------------------------------------------------------

    def draw(self, size: int, generator: torch.Generator) -> MixParameters:
        """Everything random about a batch of `size` items."""
        config, sources, voices = self.config, len(self.store.sources), self._voices
        per_excerpt, per_source = 11 * sources * voices, 2 * sources
        table = torch.rand(size, per_excerpt + per_source + 5, generator=generator, dtype=torch.float64)
        u = table[:, :per_excerpt].reshape(size, 11, sources, voices).unbind(1)
        v = table[:, per_excerpt:-5].reshape(size, 2, sources).unbind(1)
        w = table[:, -5:].unbind(1)

        whole = w[0] < (config.whole_mixes if config.random_tracks else 1.0)
        recording = torch.stack([_choose(self._cumulative[s], u[0][:, s]) for s in range(sources)], 1)
        start = u[1].clone()
        doubled = torch.tensor([config.doubled.get(source, 0.0) for source in self.store.sources])
        recording[..., 1:][u[2][..., 1:] >= doubled[:, None]] = -1
        recording[whole], start[whole] = -1, w[2][whole][:, None, None]
        recording[whole, :, 0] = _choose(self._whole, w[1])[whole][:, None]
        changed = ~(whole if config.random_tracks else torch.zeros_like(whole))[:, None, None]

        low, high = config.gain
        gain = (low + (high - low) * u[3]) * torch.where(u[4] < config.flip, -1.0, 1.0)
        tilt = torch.where(u[5] < config.tilt, u[5] / max(config.tilt, 1e-9) - 0.5, 0.0)
        width = torch.where(u[6] < config.width, u[6] / max(config.width, 1e-9) * 1.4, 1.0)
        free = changed[:, 0, 0]
        repitched = free & (w[3] < config.repitch)
        semitones = (w[4] * (2 * config.max_semitones + 1)).floor() - config.max_semitones
        tempo = 1 + config.max_tempo * (2 * w[3] / max(config.repitch, 1e-9) - 1)
        return MixParameters(
            recording=recording,
            start=start,
            gain=torch.where(changed, gain, 1.0).float(),
            swapped=changed & (u[7] < config.swap),
            tilt=torch.where(changed, tilt, 0.0).float(),
            width=torch.where(changed, width, 1.0).float(),
            room=torch.where(changed[..., None], torch.stack(u[8:11], dim=-1), 1.0),
            shift=torch.where(free[:, None], v[0], v[0][:, :1]),
            order=_orders(v[1], config.shuffle_groups, free),
            semitones=torch.where(repitched, semitones, 0.0),
            tempo=torch.where(repitched, tempo, 1.0),
        )

    # -- applying ----------------------------------------------------------------------------------

    def batch(self, draw: MixParameters) -> Tensor:
        """The sources of a batch, (batch, sources, channels, time), on the store's device; the mixture is their sum."""
        size = len(draw.recording), len(self.store.sources), self.store.samples.shape[-1], self.length
        sources = torch.empty(size, device=self.store.device)
        values = draw.to(self.store.device)  # decisions are read on the processor, sound is changed where it is
        for row in range(len(sources)):
            sources[row] = self._item(draw, values, row)
        return shuffle_sources(sources, values.order) if self.config.shuffle_groups else sources

    def _item(self, draw: MixParameters, values: MixParameters, row: int) -> Tensor:
        """(sources, channels, time)."""
        length, semitones, tempo = self._raw_length, float(draw.semitones[row]), float(draw.tempo[row])
        repitched = semitones != 0 or tempo != 1
        wanted = pitch_shift_length(length, tempo=tempo) if repitched else length
        sources = torch.stack([self._source(draw, values, row, s, wanted) for s in range(len(self.store.sources))])
        if repitched:
            sources = pitch_shift(sources, semitones=semitones, tempo=tempo, length=length)
        if length == self.length:
            return sources
        starts = (values.shift[row] * (length - self.length + 1)).long()
        return shift_in_time(sources, starts, self.length)

    def _source(self, draw: MixParameters, values: MixParameters, row: int, source: int, length: int) -> Tensor:
        """One source of an item, (channels, time): its voices, each changed as drawn, together."""
        voices = [
            self._voice(draw, values, (row, source, voice), length)
            for voice, index in enumerate(draw.recording[row, source].tolist())
            if index >= 0
        ]
        return sum(voices[1:], start=voices[0])

    def _voice(self, draw: MixParameters, values: MixParameters, at: tuple[int, int, int], length: int) -> Tensor:
        """One excerpt; what would leave it as it is, is not done."""
        recording = self.store.recordings[int(draw.recording[at])]
        room = recording.frames - length  # negative where the recording is shorter: it then lies somewhere within
        start = int(draw.start[at] * (abs(room) + 1)) * (1 if room >= 0 else -1)
        sound = self.store.excerpt(recording, at[1], start, length)
        whether, decay, level = draw.room[at].tolist()
        if whether < self.config.reverb.get(recording.collection, 0.0):
            sound = reverberate(sound, self._room(decay, level))
        if draw.tilt[at] != 0:
            sound = apply_tilt(sound, values.tilt[at])
        if draw.width[at] != 1:
            sound = set_width(sound, values.width[at])
        if draw.swapped[at]:
            sound = swap_channels(sound, values.swapped[at])
        return apply_gain(sound, values.gain[at])

    def _room(self, decay: float, level: float) -> Tensor:
        return impulse_response(
            0.3 + 1.7 * decay,
            -18 + 14 * level,
            int(decay * 2**53),
            channels=self.store.samples.shape[-1],
            sample_rate=self.store.sample_rate,
        )


def _choose(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Indices drawn with the given cumulative probabilities."""
    return torch.searchsorted(cumulative, uniform.contiguous(), right=True).clamp_(max=len(cumulative) - 1)


def _orders(uniform: Tensor, group: int, free: Tensor) -> Tensor:
    """For every source a permutation of the items within groups of consecutive ones; (batch, sources) -> the same."""
    size = len(uniform)
    order = torch.arange(size)[:, None].expand_as(uniform).clone()
    for first in range(0, size, group) if group else ():
        items = first + free[first : first + group].nonzero()[:, 0]
        order[items] = items[uniform[items].argsort(0)]
    return order
