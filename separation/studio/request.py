"""What a visitor asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["SeparationRequest"]


@dataclass(frozen=True, kw_only=True)
class SeparationRequest:
    """What shall be done.

    Attributes
    ----------
    methods : sequence of str
    models : mapping of str to str
        Method -> weights, where not the method's own.
    options : mapping of str to mapping
        Method -> its options, where not the default ones.
    sum_to_mixture : bool
        Share out what the stems leave: :class:`separation.pipeline.MixtureConsistency`.
    yours : str
        What another tool's stems are called.
    """

    methods: Sequence[str]
    models: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    sum_to_mixture: bool = False
    yours: str = "Your separator"
