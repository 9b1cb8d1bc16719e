"""Run a separator on audio of any sample rate, channel count and length."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from separation.audio.channels import ChannelMix, downmix
from separation.audio.resampling import ResampledSignal, Resampler
from separation.audio.signal import AudioSource, Signal
from separation.separators.base import Separator
from separation.separators.two_stems import TwoStems

__all__ = ["run", "run_configured", "target_mixture"]


def target_mixture(audio: AudioSource, separator: Separator) -> Signal:
    """Return the mixture to which the stems should sum, at its own sample rate.

    It is the input itself for methods that take any number of channels, and for mono and stereo. More
    channels are mixed down to stereo for the neural methods (:func:`separation.audio.channels.downmix`), and to
    mono for the few models that are mono.
    """
    if separator.channels is None or audio.channels <= separator.channels:
        return audio
    if separator.channels == 1:
        return ChannelMix(audio, 1, lambda waveform: downmix(waveform, audio.speakers).mean(0, keepdim=True))
    return ChannelMix(audio, 2, partial(downmix, speakers=audio.speakers))


def run(separator: Separator, audio: AudioSource) -> Iterator[Tensor]:
    """Separate audio of any sample rate, channel count and length.

    The mixture is converted to the separator's sample rate and channels, and the stems back. For a stereo
    method, mono is doubled and returned as the mean of the two channels. Audio that is not in memory
    (:class:`separation.audio.files.Recording`) is read as needed.

    Parameters
    ----------
    separator : Separator
    audio : AudioSource

    Yields
    ------
    Tensor, shape (sources, channels, time)
        Consecutive blocks at the input's sample rate; together they are as long as the input.

    Raises
    ------
    ValueError
        If the audio is too short for the method.

    Examples
    --------
    >>> import torch
    >>> from separation import Audio, create
    >>> audio = Audio(waveform=torch.rand(1, 48000) - 0.5, sample_rate=48000)
    >>> blocks = list(run(create("hpss"), audio))
    >>> torch.cat(blocks, dim=-1).shape
    torch.Size([4, 1, 48000])
    """
    yield from run_configured(separator.at(sample_rate=audio.sample_rate, channels=audio.channels), audio)


def run_configured(separator: Separator, audio: AudioSource) -> Iterator[Tensor]:
    """Separate audio as :func:`run` does, with a separator from :meth:`Separator.at`, which then holds the notes."""
    mixture = target_mixture(audio, separator)
    if isinstance(separator, TwoStems):  # of the song itself, with what the method's sample rate leaves out
        yield from separator.split(_run(separator.separator, audio, mixture), mixture)
    else:
        yield from _run(separator, audio, mixture)


def _run(separator: Separator, audio: AudioSource, mixture: Signal) -> Iterator[Tensor]:
    """Yield the stems of a mixture at the sample rate of the audio."""
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
