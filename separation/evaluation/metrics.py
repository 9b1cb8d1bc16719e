"""The names of all metrics and their units."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "EXTRA_METRICS",
    "FRAME_METRICS",
    "METRIC_UNITS",
    "TRACK_METRICS",
    "parse_metrics",
]

FRAME_METRICS = ("SDR", "ISR", "SIR", "SAR")  #: BSSEval v4: one value per frame of 1 s
TRACK_METRICS = ("uSDR", "SI-SDR")  #: one value per track, always computed
EXTRA_METRICS = ("bleedless", "fullness", "l1_freq", "aura_stft", "log_wmse")  #: one value per track, on request

#: The unit of each metric, empty for a number without one; higher is better for all.
METRIC_UNITS = dict.fromkeys(FRAME_METRICS + TRACK_METRICS, "dB") | dict.fromkeys(EXTRA_METRICS, "")


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
    unknown = [name for name in names if name not in METRIC_UNITS]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}: --metrics takes all, or a list of {', '.join(EXTRA_METRICS)}")
    return tuple(name for name in EXTRA_METRICS if name in names)
