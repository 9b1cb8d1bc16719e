"""The names of all metrics, their units, and what each of them hears and misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "EXTRA_METRICS",
    "FRAME_METRICS",
    "METRIC_DESCRIPTIONS",
    "TRACK_METRICS",
    "MetricDescription",
    "parse_metrics",
]

FRAME_METRICS = ("SDR", "ISR", "SIR", "SAR")  #: BSSEval v4: one value per frame of 1 s
TRACK_METRICS = ("uSDR", "SI-SDR")  #: one value per track, always computed
EXTRA_METRICS = ("bleedless", "fullness", "l1_freq", "aura_stft", "log_wmse")  #: one value per track, on request


@dataclass(frozen=True, kw_only=True)
class MetricDescription:
    """A metric for readers of a table.

    Attributes
    ----------
    unit : str
        "dB", or empty for a number without a unit.
    best : str
        The value of a perfect estimate; higher is better for every metric.
    hears, misses : str
        One sentence each: which errors lower the score, and which do not.
    """

    unit: str
    best: str
    hears: str
    misses: str


METRIC_DESCRIPTIONS = {
    "SDR": MetricDescription(
        unit="dB",
        best="inf",
        hears="SDR hears every difference from the reference: other sources, artifacts, a wrong level and a delay.",
        misses="SDR does not distinguish these errors, and loud low frequencies outweigh quiet high ones.",
    ),
    "ISR": MetricDescription(
        unit="dB",
        best="inf",
        hears="ISR hears a changed level, panning or colour of the source itself.",
        misses="ISR ignores other sources and artifacts.",
    ),
    "SIR": MetricDescription(
        unit="dB",
        best="inf",
        hears="SIR hears what remains of the other sources.",
        misses="SIR ignores artifacts and missing parts of the source, so that an aggressive mask scores high.",
    ),
    "SAR": MetricDescription(
        unit="dB",
        best="inf",
        hears="SAR hears noise and artifacts that no filter can make of the true sources.",
        misses="SAR ignores other sources: the unchanged mixture scores highest.",
    ),
    "uSDR": MetricDescription(
        unit="dB",
        best="high",
        hears="uSDR hears the same errors as SDR, over the whole track at once.",
        misses="uSDR is decided by the loud passages; errors in quiet ones hardly count.",
    ),
    "SI-SDR": MetricDescription(
        unit="dB",
        best="inf",
        hears="SI-SDR hears the same errors as uSDR, except for a wrong overall level.",
        misses="SI-SDR ignores the level, and it is undefined for a silent reference.",
    ),
    "bleedless": MetricDescription(
        unit="",
        best="100",
        hears="Bleedless hears sound that the reference does not have, at every pitch and level within 80 dB.",
        misses="Bleedless ignores missing sound: a silent stem can score well; read it together with fullness.",
    ),
    "fullness": MetricDescription(
        unit="",
        best="100",
        hears="Fullness hears which parts of the reference are missing, also the quiet ones.",
        misses="Fullness ignores added sound: the unchanged mixture scores well; read it together with bleedless.",
    ),
    "l1_freq": MetricDescription(
        unit="",
        best="100",
        hears="L1 freq hears differences of the magnitude spectra, and loud errors count most.",
        misses="L1 freq ignores phase, and it depends on the level of the track: quiet stems score higher.",
    ),
    "aura_stft": MetricDescription(
        unit="",
        best="100",
        hears="Aura STFT hears differences of short spectra, relative to their energy and in their logarithm.",
        misses="Aura STFT ignores phase, and faint noise in silent passages weighs as much as loud errors.",
    ),
    "log_wmse": MetricDescription(
        unit="",
        best="73.7",
        hears="Log-WMSE hears errors as the ear does, relative to the mixture, and it scores silent stems too.",
        misses="Log-WMSE ignores inaudible errors, and a quiet stem scores well even if it is wrong.",
    ),
}


def parse_metrics(text: str) -> tuple[str, ...]:
    """Return the extra metrics in a list such as "bleedless,fullness", or all of them for "all".

    Raises
    ------
    ValueError
        If a name is unknown. The names of metrics that are always computed are accepted.
    """
    names: Sequence[str] = [name.strip() for name in text.split(",") if name.strip()]
    if "all" in names:
        return EXTRA_METRICS
    unknown = [name for name in names if name not in METRIC_DESCRIPTIONS]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}: --metrics takes all, or a list of {', '.join(EXTRA_METRICS)}")
    return tuple(name for name in EXTRA_METRICS if name in names)
