"""The registry of separation methods, and `create`, which builds a separator by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from separation.weights import catalogue

if TYPE_CHECKING:
    from torch import Tensor

    from separation.separators.base import Separator

__all__ = ["METHODS", "Method", "create"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """Description of a method, available without importing it.

    Attributes
    ----------
    name, title : str
        Name on the command line, "open-unmix", and name for display, "Open-Unmix".
    summary : str
        What the method does, in plain words.
    reference : str
        Short citation of the paper.
    separator, options : str
        ``module:class`` of the separator and of its options.
    default_model : str or None
        Default weights; None if the method has none.
    needs_references : bool
        Whether the method is an oracle, which must be given the true sources.
    """

    name: str
    title: str
    summary: str
    reference: str
    separator: str
    options: str
    default_model: str | None = None
    needs_references: bool = False

    @property
    def has_model(self) -> bool:
        return self.default_model is not None


def _method(module: str, separator: str, options: str, **fields: Any) -> Method:
    path = f"separation.separators.{module}"
    return Method(separator=f"{path}:{separator}", options=f"{path}:{options}", **fields)


_ORACLE = ("oracle", "Oracle", "OracleOptions")

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _method(
            "mixture",
            "Mix",
            "MixOptions",
            name="mix",
            title="Mixture ÷ 4",
            summary="No separation at all: every stem is a quarter of the mixture. The floor that a method must beat.",
            reference="SiSEC 2018, MIX",
        ),
        _method(
            "hpss",
            "HarmonicPercussive",
            "HarmonicPercussiveOptions",
            name="hpss",
            title="Harmonic-percussive",
            summary=(
                "Sorts the spectrogram by shape: short clicks are drums, long low tones bass, other long tones are "
                "shared by vocals and other. The best that works without learning."
            ),
            reference="Fitzgerald, DAFx 2010",
        ),
        _method(
            "ica",
            "FastICASeparator",
            "IcaOptions",
            name="ica",
            title="ICA",
            summary=(
                "Rotates the channels until they are as independent as they can be. Made for as many microphones as "
                "sources; a stereo song has two channels, so it gives two components, each still a mixture."
            ),
            reference="Hyvärinen and Oja, Neural Networks 2000",
        ),
        _method(
            "open_unmix",
            "OpenUnmixSeparator",
            "OpenUnmixOptions",
            name="open-unmix",
            title="Open-Unmix",
            summary=(
                "A recurrent network per instrument estimates its spectrogram; a Wiener filter then shares the mixture "
                "out among them. Clean of interference, sometimes hollow."
            ),
            reference="Stöter et al., JOSS 2019",
            default_model="open-unmix-compact",
        ),
        _method(
            "demucs",
            "DemucsSeparator",
            "DemucsOptions",
            name="demucs",
            title="Demucs",
            summary=(
                "One network from waveform to waveforms, with no spectrogram between. Keeps attacks crisp; what it "
                "takes for another instrument comes through as a whole."
            ),
            reference="Défossez et al., 2019",
            default_model="demucs-compact",
        ),
        _method(
            "hybrid_demucs",
            "HybridDemucsSeparator",
            "DemucsOptions",
            name="hybrid-demucs",
            title="Hybrid Demucs",
            summary=(
                "Demucs with a second branch on the spectrogram, where long tones are easy to tell apart; its weights "
                "must be downloaded first."
            ),
            reference="Défossez, MDX workshop 2021",
            default_model="hdemucs_high_musdb",
        ),
        _method(
            "htdemucs",
            "HTDemucsSeparator",
            "HTDemucsOptions",
            name="htdemucs",
            title="HT-Demucs",
            summary=(
                "Hybrid Demucs whose two branches exchange what they find through a transformer. Trained on about "
                "900 songs; its weights must be downloaded first."
            ),
            reference="Rouard et al., ICASSP 2023",
            default_model="htdemucs",
        ),
        _method(
            "spleeter",
            "SpleeterSeparator",
            "SpleeterOptions",
            name="spleeter",
            title="Spleeter",
            summary=(
                "A convolutional network per stem looks at 12 seconds of the spectrogram at once and estimates the "
                "stem's share of each bin. Trained by Deezer on many songs; fast, with good vocals."
            ),
            reference="Hennequin et al., JOSS 2020",
            default_model="spleeter-2stems",
        ),
        _method(
            *_ORACLE,
            name="irm",
            title="Oracle: ratio mask",
            summary="Cheats: knows the true sources, and gives each its share of every bin. A ceiling for soft masks.",
            reference="SiSEC 2018, IRM1",
            needs_references=True,
        ),
        _method(
            *_ORACLE,
            name="ibm",
            title="Oracle: binary mask",
            summary="Cheats: knows the true sources, and gives every bin to the loudest. A ceiling for hard masks.",
            reference="SiSEC 2018, IBM1",
            needs_references=True,
        ),
        _method(
            *_ORACLE,
            name="mwf",
            title="Oracle: Wiener filter",
            summary="Cheats: the Wiener filter with the true sources' powers and places. The ceiling of them all.",
            reference="Duong, Vincent and Gribonval, TASLP 2010",
            needs_references=True,
        ),
    )
}


def create(
    method: str,
    *,
    model: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    options: Mapping[str, object] | None = None,
    references: Mapping[str, Tensor] | None = None,
) -> Separator:
    """Create a separator.

    Parameters
    ----------
    method : str
        Name of a method in :data:`METHODS`.
    model : str, optional
        Name of a known model, or a folder with one; by default the method's own.
    device : "auto", "cpu", "cuda" or "mps"
    precision : "auto", "fp32" or "bf16"
        Precision of the network, for methods that have one. See :mod:`separation.separators.precision`.
    options : mapping, optional
        Fields of the method's options dataclass; strings are converted. Missing ones default to the
        model's options, then to the method's.
    references : mapping of str to Tensor, optional
        The true sources, for the oracles only.

    Raises
    ------
    ValueError
        For an unknown method, model, precision or option, for missing references, and for a model that is not
        installed (the message says how to install it).
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; the methods are {', '.join(METHODS)}")
    entry = METHODS[method]
    if model is not None and not entry.has_model:
        raise ValueError(f"{method} has no weights to choose: leave --model out")
    if precision != "auto" and not entry.has_model:
        raise ValueError(f"{method} has no network to choose a precision for: leave --precision out")
    if entry.needs_references and references is None:
        raise ValueError(f"{method} is an oracle: it needs the true sources, as <source>.wav next to mixture.wav")
    from separation.separators.options import parse_options
    from separation.workers.devices import choose_device

    torch_device = choose_device(device)
    weights = catalogue.find_model(model or str(entry.default_model), method=method) if entry.has_model else None
    options_type = _load(entry.options)
    if weights:  # report a mistake in the model's own options as an error of the model
        weights.build(lambda _: parse_options(options_type, weights.options))
    parsed = parse_options(options_type, {**(weights.options if weights else {}), **(options or {})})
    separator = _load(entry.separator)
    if entry.needs_references:
        return separator(method, references, options=parsed)
    if weights:
        return separator(weights, device=torch_device, precision=precision, options=parsed)
    return separator(options=parsed)


def _load(path: str) -> Any:
    """Return the object that ``module:name`` refers to."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
