"""The form of the Separate page, and the song and request built from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from separation.evaluation.metrics import EXTRA_METRICS
from separation.separators import METHODS
from separation.studio.errors import at_field
from separation.studio.inputs import songs
from separation.studio.inputs.request import OPEN_UNMIX_SEGMENT, SeparationRequest

__all__ = ["Form", "open_with_own"]


@dataclass(frozen=True, kw_only=True)
class Form:
    """Values of the page's components, in their order.

    Attributes
    ----------
    kind : str
        "upload", "sample" or "musdb": which of the next three is the song.
    upload, sample, track : str or None
        An uploaded file, the title of a sample, the name of a MUSDB18 track.
    methods : list of str
    start, duration : float or None
        The excerpt in seconds; without a duration, or with 0, it extends to the end.
    references, estimates : list of str or None
        The visitor's own files: true sources, and another tool's stems.
    yours : str
        Title of those stems.
    karaoke, sum_to_mixture : bool
        See :class:`separation.studio.inputs.request.SeparationRequest`.
    more_metrics : bool
        Compute all of :data:`separation.evaluation.metrics.EXTRA_METRICS`.
    iterations, shifts : float
        Options of Open-Unmix and of the Demucs family.
    models : dict of str to str
        Method -> chosen weights.
    """

    kind: str
    upload: str | None
    sample: str | None
    track: str | None
    methods: list[str]
    start: float | None
    duration: float | None
    references: list[str] | None
    estimates: list[str] | None
    yours: str
    karaoke: bool
    sum_to_mixture: bool
    more_metrics: bool
    iterations: float
    shifts: float
    models: dict[str, str]

    @classmethod
    def from_values(cls, values: Sequence[Any]) -> Form:
        """Build the form from the components' values; the last ones are the weights of each method that has some."""
        names = [field.name for field in fields(cls) if field.name != "models"]
        with_weights = [name for name, method in METHODS.items() if method.has_model]
        weights = zip(with_weights, values[len(names) :], strict=True)
        models = {name: model for name, model in weights if model and model != METHODS[name].default_model}
        fields_of = dict(zip(names, values, strict=False))
        listed = fields_of["methods"] if isinstance(fields_of["methods"], list) else []
        chosen = [name for name in listed if isinstance(name, str)]  # a program may send anything
        order = {name: place for place, name in enumerate(METHODS)}  # in which quick methods come first
        fields_of["methods"] = sorted(chosen, key=lambda name: order.get(name, len(order)))
        return cls(**fields_of, models=models)

    @property
    def _choice(self) -> str | None:
        return {"upload": self.upload, "sample": self.sample, "musdb": self.track}.get(self.kind)

    @property
    def _excerpt(self) -> dict[str, Any]:
        return {"start": self.start or 0.0, "duration": self.duration or None}

    @property
    def has_references(self) -> bool:
        """Whether the song's true sources will be known."""
        return self.kind != "upload" or bool(self.references)

    @property
    def song(self) -> dict[str, Any]:
        """The arguments of :func:`open_with_own`."""
        own = {"references": self.references, "estimates": self.estimates}
        return {"kind": self.kind, "choice": self._choice, **own, **self._excerpt}

    @property
    def name(self) -> str:
        """Name of the song for display."""
        choice = self._choice or songs.SUM_OF_SOURCES
        return Path(choice).name if self.kind == "upload" else choice

    def check_song(self) -> float | None:
        """Return the excerpt's seconds if known; raise ValueError if no song is chosen, or there is no such excerpt."""
        with at_field("song"):
            songs.check_excerpt(**self._excerpt)
            if self._choice or not self.references:
                return songs.check_choice(self.kind, self._choice, **self._excerpt)
        return None

    def request(self) -> SeparationRequest:
        """Return the request for the chosen methods."""
        demucs = {"shifts": int(self.shifts)} if self.shifts else {}
        open_unmix: dict[str, object] = {"segment": OPEN_UNMIX_SEGMENT}
        if self.iterations != 1:
            open_unmix["iterations"] = int(self.iterations)
        return SeparationRequest(
            methods=self.methods,
            models=self.models,
            options={"open-unmix": open_unmix, **dict.fromkeys(("demucs", "hybrid-demucs", "htdemucs"), demucs)},
            karaoke=self.karaoke,
            sum_to_mixture=self.sum_to_mixture,
            yours=self.yours,
            metrics=EXTRA_METRICS if self.more_metrics else (),
        )


def open_with_own(
    kind: str,
    choice: str | None,
    references: list[str] | None,
    estimates: list[str] | None,
    *,
    start: float,
    duration: float | None,
) -> songs.Song:
    """Open a song with the visitor's own references and estimates; see :mod:`separation.studio.inputs.songs`.

    Without a song, the sum of the references is the song.
    """
    song = None
    try:
        if choice or not references:
            with at_field("song"):
                song = songs.open_song(kind, choice, start=start, duration=duration)
        if references:
            with at_field("references"):
                song = songs.with_references(song, references, start=start, duration=duration)
        assert song is not None
        with at_field("estimates"):
            return songs.with_estimates(song, estimates, duration=duration) if estimates else song
    except BaseException:
        if song is not None:
            song.close()
        raise
