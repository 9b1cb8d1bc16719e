"""What a sound looks like: waveform and spectrogram."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import librosa
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from torch import Tensor

from separation.plots.style import COLOURS, tone_down

__all__ = ["LOWEST", "SoundPicture", "draw_sound", "draw_waveform", "picture_of"]

LOWEST = 40.0  # Hz, at the bottom of the spectrogram
FLOOR = -80.0  # dB, black
_N_FFT = 4096


@dataclass(frozen=True, kw_only=True)
class SoundPicture:
    """What is drawn of a sound, of the same size whatever its length.

    Attributes
    ----------
    peaks : array, shape (2, columns)
        Lowest and highest sample of each column, all channels together.
    power : array, shape (rows, columns)
        Mean power at log-spaced frequencies from 40 Hz to half the sample rate.
    duration : float
        Seconds.
    sample_rate : int
        Hz.
    """

    peaks: np.ndarray
    power: np.ndarray
    duration: float
    sample_rate: int

    @property
    def loudest(self) -> float:
        """The greatest power anywhere: what 0 dB is in a set of pictures."""
        return float(self.power.max())


def picture_of(
    waveform: Tensor, sample_rate: int, *, columns: int = 640, rows: int = 160, frames_per_column: int = 4
) -> SoundPicture:
    """Reduce a sound (channels, time) to what fits into a picture.

    A few evenly spread frames stand for each column, so that the work does not grow with length.
    """
    frames = waveform.shape[1]
    columns = max(1, min(columns, frames))
    edges = torch.linspace(0, frames, columns + 1).long()
    peaks = np.empty((2, columns), dtype=np.float32)
    for column, (first, last) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        part = waveform[:, first : max(last, first + 1)]
        peaks[:, column] = float(part.min()), float(part.max())
    power = np.concatenate(list(_columns_of_power(waveform, sample_rate, columns, rows, frames_per_column)), axis=1)
    return SoundPicture(peaks=peaks, power=power, duration=frames / sample_rate, sample_rate=sample_rate)


def _columns_of_power(
    waveform: Tensor, sample_rate: int, columns: int, rows: int, frames_per_column: int
) -> Iterator[np.ndarray]:
    """Mean power per log-frequency band, a few dozen columns at a time."""
    window = torch.hann_window(_N_FFT)
    padded = torch.nn.functional.pad(waveform, (_N_FFT // 2, _N_FFT // 2))
    centres = torch.linspace(0, waveform.shape[1] - 1, columns * frames_per_column).long()
    bands = _log_bands(sample_rate, rows)
    for chunk in centres.split(32 * frames_per_column):
        cut = padded[:, chunk[:, None] + torch.arange(_N_FFT)]  # (channels, frames, n_fft)
        power = torch.fft.rfft(cut * window).abs().square().mean(0)  # (frames, bins)
        power = power.unflatten(0, (-1, frames_per_column)).mean(1)
        yield (bands @ power.T).numpy()


def _log_bands(sample_rate: int, rows: int) -> Tensor:
    """Weights (rows, bins): each row the mean of the bins in its band, or between two bins where bands are narrow."""
    nyquist = sample_rate / 2
    low = min(LOWEST, nyquist / 4)
    edges = np.geomspace(low, nyquist, rows + 1) * _N_FFT / sample_rate  # in bins
    weights = np.zeros((rows, _N_FFT // 2 + 1), dtype=np.float32)
    for row, (first, last) in enumerate(itertools.pairwise(edges)):
        inside = np.arange(np.ceil(first), np.floor(last) + 1).astype(int)
        if len(inside):
            weights[row, inside] = 1 / len(inside)
        else:
            below = int(first)
            share = (first + last) / 2 - below
            weights[row, [below, below + 1]] = 1 - share, share
    return torch.from_numpy(weights)


def draw_sound(
    picture: SoundPicture, *, name: str, loudest: float, peak: float = 1.0, colour: str | None = None
) -> Figure:
    """Waveform above, log-frequency spectrogram in dB below, over one time axis.

    Parameters
    ----------
    name : str
        Of the sound; picks its colour where it is a usual source.
    loudest : float
        The power that is 0 dB: the same for all pictures that are compared.
    peak : float
        The sample value at the waveform's edge, likewise.
    """
    figure = Figure(figsize=(5.2, 2.3), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 2.6), width_ratios=(50, 1))
    wave = figure.add_subplot(grid[0, 0])
    spectrogram = figure.add_subplot(grid[1, 0], sharex=wave)
    extent = (0.0, picture.duration)
    draw_waveform(wave, picture, colour or COLOURS.get(name, COLOURS["mixture"]), extent, peak)
    decibels = librosa.power_to_db(picture.power, ref=max(loudest, 1e-20), amin=1e-20, top_db=None)
    image = spectrogram.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=(*extent, 0, picture.power.shape[0]),
        cmap="magma",
        vmin=FLOOR,
        vmax=0,
        interpolation="nearest",
    )
    _label_frequencies(spectrogram, picture)
    spectrogram.set_xlabel("time (s)")
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[1, 1]), ticks=[0, -40, -80])
    bar.set_label("dB", labelpad=2)
    for axes in (wave, spectrogram, bar.ax):
        tone_down(axes)
    return figure


def draw_waveform(axes: Axes, picture: SoundPicture, colour: str, extent: tuple[float, float], peak: float) -> None:
    """Lowest and highest sample of each column, filled; `peak` is the sample value at the edges."""
    columns = picture.peaks.shape[1]
    time = (np.arange(columns) + 0.5) / columns * picture.duration
    axes.fill_between(time, picture.peaks[0], picture.peaks[1], color=colour, linewidth=0.4, step="mid")
    axes.set_xlim(*extent)
    edge = max(peak, 1e-6)
    axes.set_ylim(-edge, edge)
    axes.yaxis.set_major_locator(NullLocator())
    axes.tick_params(labelbottom=False, bottom=False)


def _label_frequencies(axes: Axes, picture: SoundPicture) -> None:
    nyquist = picture.sample_rate / 2
    low = min(LOWEST, nyquist / 4)
    ticks = [hertz for hertz in (100, 1000, 10000) if low < hertz < nyquist]
    rows = picture.power.shape[0]
    places = [rows * np.log(hertz / low) / np.log(nyquist / low) for hertz in ticks]
    names = dict(zip(places, (f"{hertz // 1000}k" if hertz >= 1000 else str(hertz) for hertz in ticks), strict=True))
    axes.yaxis.set_major_locator(FixedLocator(places))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda place, _: names.get(place, "")))
    axes.set_ylabel("Hz", labelpad=2)
