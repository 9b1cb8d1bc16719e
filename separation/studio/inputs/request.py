"""A visitor's request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["OPEN_UNMIX_SEGMENT", "SeparationRequest"]

OPEN_UNMIX_SEGMENT = 30.0  # seconds; short, so that the first audio can be heard soon


@dataclass(frozen=True, kw_only=True)
class SeparationRequest:
    """Which methods to run, and how.

    Attributes
    ----------
    methods : sequence of str
    models : mapping of str to str
        Method -> weights, where they are not the default.
    options : mapping of str to mapping
        Method -> options that differ from the defaults.
    karaoke : bool
        Give vocals and instrumental only: :class:`separation.separators.two_stems.TwoStems`.
    sum_to_mixture : bool
        Distribute the residual: :class:`separation.pipeline.consistency.MixtureConsistency`.
    yours : str
        Title of the visitor's own stems.
    metrics : sequence of str
        Further metrics of each method if the true sources are known, out of
        :data:`separation.evaluation.metrics.EXTRA_METRICS`.
    """

    methods: Sequence[str]
    models: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    karaoke: bool = False
    sum_to_mixture: bool = False
    yours: str = "Your separator"
    metrics: Sequence[str] = ()

    @property
    def scoring(self) -> str:
        """Name of the step that scores one method; its pace depends on the metrics."""
        return " ".join(["scoring", *self.metrics])
