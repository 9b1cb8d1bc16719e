"""Run a separator on audio of any sample rate, channel count and length."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from separation.audio.channels import ChannelMix, downmix
from separation.audio.resampling import ResampledSignal, Resampler
from separation.audio.signal import AudioSource, Signal
from separation.separators.base import Separator

__all__ = ["run", "run_configured", "target_mixture"]


def target_mixture(audio: AudioSource, separator: Separator) -> Signal:
    """The mixture as the stems will add up to it, at the sound's own rate.

    Itself for methods that take any number of channels, and for mono and stereo. More channels
    are mixed down to stereo for the neural methods (:func:`separation.audio.downmix`), and to mono
    for the few models that know only that.
    """
    if separator.channels is None or audio.channels <= separator.channels:
        return audio
    if separator.channels == 1:
        return ChannelMix(audio, 1, lambda waveform: downmix(waveform).mean(0, keepdim=True))
    return ChannelMix(audio, 2, downmix)


def run(separator: Separator, audio: AudioSource) -> Iterator[Tensor]:
    """Take a sound apart, whatever its rate, channels and length.

    The mixture is brought to the separator's rate and channels, and the stems back: mono is
    doubled for a stereo method and comes back as the mean of its two channels. What is not in
    memory (:class:`separation.audio.files.Recording`) is read as the work goes on.

    Yields
    ------
    Tensor, shape (sources, channels, some time)
        Consecutive blocks at the sound's own rate, as many frames in all as it has.

    Raises
    ------
    ValueError
        If the sound is too short for the method.
    """
    yield from run_configured(separator.at(sample_rate=audio.sample_rate, channels=audio.channels), audio)


def run_configured(separator: Separator, audio: AudioSource) -> Iterator[Tensor]:
    """:func:`run` with a separator that is made for the sound's rate and channels; it keeps the notes."""
    mixture = target_mixture(audio, separator)
    channels = mixture.channels
    if separator.channels == 2 and channels == 1:
        mixture = ChannelMix(mixture, 2, lambda waveform: waveform.expand(2, -1))
    if audio.sample_rate != separator.sample_rate:
        mixture = ResampledSignal(mixture, audio.sample_rate, separator.sample_rate)
    n_sources = len(separator.sources)
    back = Resampler(n_sources * channels, separator.sample_rate, audio.sample_rate, frames=audio.frames)
    done, total = 0, mixture.frames
    for block in separator.stream(mixture):
        done += block.shape[-1]
        if block.shape[1] != channels:
            block = block.mean(1, keepdim=True)
        yield back(block.reshape(n_sources * channels, -1), last=done == total).unflatten(0, (n_sources, channels))
