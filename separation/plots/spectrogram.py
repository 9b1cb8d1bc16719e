"""Waveforms and spectrograms of audio of any length."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image
from torch import Tensor

from separation.plots.style import COLOURS, style_axes

__all__ = [
    "F_MIN",
    "Spectrogram",
    "StreamingSpectrogram",
    "draw_spectrogram",
    "draw_waveform",
    "palette",
    "reference_power",
    "save_difference",
    "save_spectrogram",
    "spectrogram",
]

F_MIN = 40.0  # Hz, at the bottom of the spectrogram
FLOOR = -80.0  # dB, black
PALETTE = "magma"
_N_FFT = 4096
_FULL_SCALE = (_N_FFT / 4) ** 2  # power of a sine of amplitude 1 in its bin
_QUIETEST = 1e-5 * _FULL_SCALE  # smallest power at 0 dB; with less, the noise of a silent sound would be bright
_BLOCK = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Spectrogram:
    """Waveform and spectrogram of a signal, reduced to a fixed size.

    Attributes
    ----------
    peaks : array, shape (2, columns)
        Minimum and maximum sample of each column, over all channels.
    power : array, shape (rows, columns)
        Mean power at log-spaced frequencies from 40 Hz to half the sample rate.
    duration : float
        Length in seconds.
    sample_rate : int
        Hz.
    """

    peaks: np.ndarray
    power: np.ndarray
    duration: float
    sample_rate: int

    @property
    def loudest(self) -> float:
        """The greatest power; the greatest in a set of pictures is shown as 0 dB."""
        return float(self.power.max())


def spectrogram(
    waveform: Tensor, sample_rate: int, *, columns: int = 640, rows: int = 160, frames_per_column: int = 4
) -> Spectrogram:
    """Compute the spectrogram of a signal (channels, time); see :class:`StreamingSpectrogram`."""
    maker = StreamingSpectrogram(
        waveform.shape[1], sample_rate, columns=columns, rows=rows, frames_per_column=frames_per_column
    )
    for block in waveform.split(_BLOCK, dim=1):
        maker.add(block)
    return maker.picture()


class StreamingSpectrogram:
    """Computes a spectrogram of fixed size, block by block.

    A few evenly spaced frames represent each column, so that time and memory do not grow with the length. Columns
    for which no audio was added yet are empty.

    Parameters
    ----------
    frames : int
        Length of the whole signal in samples.
    sample_rate : int
        Hz.
    columns, rows, frames_per_column : int
        Size of the picture; a signal with fewer samples than columns has fewer columns.
    highest : float, optional
        Highest frequency in Hz; half the sample rate by default.
    """

    def __init__(
        self,
        frames: int,
        sample_rate: int,
        *,
        columns: int = 640,
        rows: int = 160,
        frames_per_column: int = 4,
        highest: float | None = None,
    ) -> None:
        self.frames, self.sample_rate = frames, sample_rate
        columns = max(1, min(columns, frames))
        self._edges = np.linspace(0, frames, columns + 1).astype(int)
        self._centres = torch.linspace(0, frames - 1, columns * frames_per_column).long()
        self._per_column = frames_per_column
        self._bands = _log_bands(sample_rate, rows, highest or sample_rate / 2)
        self._window = torch.hann_window(_N_FFT)
        self._power = torch.zeros(rows, columns)
        self._low = np.full(columns, np.inf, dtype=np.float32)
        self._high = np.full(columns, -np.inf, dtype=np.float32)
        self._kept: Tensor | None = None  # samples that later frames still need
        self._came = 0
        self._looked = 0  # frame centres

    def add(self, block: Tensor) -> None:
        """Append a block (channels, time)."""
        self._reduce_peaks(block)
        if self._kept is None:
            self._kept = torch.zeros(block.shape[0], _N_FFT // 2)
        self._kept = torch.cat([self._kept, block], dim=1)
        self._came += block.shape[1]
        if self._came >= self.frames:
            self._kept = torch.nn.functional.pad(self._kept, (0, _N_FFT))
        self._look()

    def picture(self) -> Spectrogram:
        """Return the spectrogram of all blocks so far."""
        peaks = np.stack([self._low, self._high])
        return Spectrogram(
            peaks=np.where(np.isfinite(peaks), peaks, 0),
            power=self._power.numpy().copy(),
            duration=self.frames / self.sample_rate,
            sample_rate=self.sample_rate,
        )

    def _reduce_peaks(self, block: Tensor) -> None:
        """Update minimum and maximum of each column; columns never outnumber samples."""
        length = block.shape[1]
        if not length:
            return
        first = int(np.searchsorted(self._edges, self._came, side="right")) - 1
        last = int(np.searchsorted(self._edges, self._came + length, side="left"))
        starts = np.maximum(self._edges[first:last] - self._came, 0)
        low, high = block.amin(0).numpy(), block.amax(0).numpy()
        self._low[first:last] = np.minimum(self._low[first:last], np.minimum.reduceat(low, starts))
        self._high[first:last] = np.maximum(self._high[first:last], np.maximum.reduceat(high, starts))

    def _look(self) -> None:
        """Transform the complete frames, a few dozen columns at a time."""
        assert self._kept is not None
        begin = self._came + _N_FFT // 2 + (_N_FFT if self._came >= self.frames else 0) - self._kept.shape[1]
        # `begin` counts from half a window before the signal, so that a frame starts at the index of its centre.
        reach = begin + self._kept.shape[1] - _N_FFT
        ready = int(torch.searchsorted(self._centres, reach, right=True))
        ready -= ready % self._per_column
        for first in range(self._looked, ready, 32 * self._per_column):
            chunk = self._centres[first : min(ready, first + 32 * self._per_column)]
            cut = self._kept[:, (chunk - begin)[:, None] + torch.arange(_N_FFT)]  # (channels, frames, n_fft)
            spectra = torch.view_as_real(torch.fft.rfft(cut * self._window))
            power = spectra.square_().sum(-1).mean(0)  # (frames, bins); complex abs would take twice as long
            columns = slice(first // self._per_column, first // self._per_column + len(chunk) // self._per_column)
            self._power[:, columns] = self._bands @ power.unflatten(0, (-1, self._per_column)).mean(1).T
        self._looked = ready
        needed = int(self._centres[ready]) if ready < len(self._centres) else begin + self._kept.shape[1]
        self._kept = self._kept[:, max(0, needed - begin) :].clone()


@lru_cache(maxsize=4)
def _log_bands(sample_rate: int, rows: int, highest: float) -> Tensor:
    """Return weights (rows, bins): a row averages the bins in its band, or interpolates two if the band is narrow."""
    low = min(F_MIN, highest / 4)
    edges = np.geomspace(low, highest, rows + 1) * _N_FFT / sample_rate  # band edges in bins
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


def draw_spectrogram(
    picture: Spectrogram, *, name: str, loudest: float, peak: float = 1.0, colour: str | None = None
) -> Figure:
    """Draw a waveform above its log-frequency spectrogram in dB, over one time axis.

    Parameters
    ----------
    name : str
        Name of the source; selects the colour.
    loudest : float
        Power at 0 dB, the same for all pictures that are compared.
    peak : float
        Sample value at the waveform's edge, the same for all pictures that are compared.
    """
    figure = Figure(figsize=(5.2, 2.3), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 2.6), width_ratios=(50, 1))
    wave = figure.add_subplot(grid[0, 0])
    spectrogram = figure.add_subplot(grid[1, 0], sharex=wave)
    extent = (0.0, picture.duration)
    draw_waveform(wave, picture, colour or COLOURS.get(name, COLOURS["mixture"]), extent, peak)
    decibels = _decibels(picture.power, loudest)
    image = spectrogram.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=(*extent, 0, picture.power.shape[0]),
        cmap=PALETTE,
        vmin=FLOOR,
        vmax=0,
        interpolation="nearest",
    )
    _label_frequencies(spectrogram, picture)
    spectrogram.set_xlabel("time (s)")
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[1, 1]), ticks=[0, -40, -80])
    bar.set_label("dB", labelpad=2)
    for axes in (wave, spectrogram, bar.ax):
        style_axes(axes)
    return figure


def save_spectrogram(picture: Spectrogram, path: Path, *, loudest: float) -> Path:
    """Write a bare spectrogram as PNG, one pixel per row and column, for pages that draw their own axes.

    `loudest` is the power at 0 dB; less than that of a sine at -50 dB of full scale counts as such a sine, so that
    silence and the noise of rounding stay dark.
    """
    return _save_image(path, _decibels(picture.power, loudest), PALETTE, (FLOOR, 0.0))


def save_difference(estimate: Spectrogram, reference: Spectrogram, path: Path, *, loudest: float) -> Path:
    """Write the difference of two spectrograms as PNG: red where the estimate is louder, blue where it is quieter.

    Full colour is 20 dB. Bins at the floor in both are blank.
    """
    levels = [np.maximum(_decibels(picture.power, loudest), FLOOR) for picture in (estimate, reference)]
    return _save_image(path, levels[0] - levels[1], "RdBu_r", (-20.0, 20.0))


def reference_power(loudest: float) -> float:
    """Return the power at 0 dB in pictures whose loudest bin has the power `loudest`."""
    return max(loudest, _QUIETEST)


def palette() -> list[str]:
    """Return 33 evenly spaced colours of the pictures, from the floor to 0 dB, such as "#000004"."""
    return [to_hex(colour) for colour in colormaps[PALETTE](np.linspace(0, 1, 33))]


def _decibels(power: np.ndarray, loudest: float) -> np.ndarray:
    decibels: np.ndarray = 10 * np.log10(np.maximum(power, 1e-20) / reference_power(loudest))
    return decibels


def _save_image(path: Path, values: np.ndarray, colours: str, limits: tuple[float, float]) -> Path:
    """Write an image of one byte per pixel and the 256 colours of a map: four bytes take four times as long to pack."""
    low, high = limits
    table = colormaps[colours]
    places = (values[::-1] - low) / (high - low) * table.N
    image = Image.fromarray(np.clip(places, 0, table.N - 1).astype(np.uint8))
    image.putpalette(table(np.arange(table.N), bytes=True)[:, :3].tobytes())
    image.save(path, "PNG")
    return path


def draw_waveform(axes: Axes, picture: Spectrogram, colour: str, extent: tuple[float, float], peak: float) -> None:
    """Fill the area between minimum and maximum of each column; `peak` is the sample value at the edges."""
    columns = picture.peaks.shape[1]
    time = (np.arange(columns) + 0.5) / columns * picture.duration
    axes.fill_between(time, picture.peaks[0], picture.peaks[1], color=colour, linewidth=0.4, step="mid")
    axes.set_xlim(*extent)
    edge = max(peak, 1e-6)
    axes.set_ylim(-edge, edge)
    axes.yaxis.set_major_locator(NullLocator())
    axes.tick_params(labelbottom=False, bottom=False)


def _label_frequencies(axes: Axes, picture: Spectrogram) -> None:
    nyquist = picture.sample_rate / 2
    low = min(F_MIN, nyquist / 4)
    ticks = [hertz for hertz in (100, 1000, 10000) if low < hertz < nyquist]
    rows = picture.power.shape[0]
    places = [rows * np.log(hertz / low) / np.log(nyquist / low) for hertz in ticks]
    names = dict(zip(places, (f"{hertz // 1000}k" if hertz >= 1000 else str(hertz) for hertz in ticks), strict=True))
    axes.yaxis.set_major_locator(FixedLocator(places))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda place, _: names.get(place, "")))
    axes.set_ylabel("Hz", labelpad=2)
