"""The registry of separation methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.separators.presets import PRESETS, Preset, read_preset

__all__ = ["DEFAULT_METHOD", "METHODS", "Method", "find_method"]


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
    preset : Preset or None
        The combination of methods that this one is, if any.
    """

    name: str
    title: str
    summary: str
    reference: str
    separator: str
    options: str
    default_model: str | None = None
    needs_references: bool = False
    preset: Preset | None = None

    @property
    def has_model(self) -> bool:
        return self.default_model is not None


def _method(module: str, separator: str, options: str, **fields: Any) -> Method:
    path = f"separation.separators.{module}"
    return Method(separator=f"{path}:{separator}", options=f"{path}:{options}", **fields)


def _preset_method(preset: Preset) -> Method:
    return _method(
        "ensemble",
        "EnsembleSeparator",
        "EnsembleOptions",
        name=preset.name,
        title=preset.title,
        summary=preset.summary,
        reference=preset.reference,
        preset=preset,
    )


_ORACLE = ("oracle", "Oracle", "OracleOptions")

DEFAULT_METHOD = "best-offline"  #: where none is chosen

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *(_preset_method(read_preset(PRESETS / f"{name}.toml")) for name in ("best", "best-offline", "fast")),
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
            "roformer",
            "RoformerSeparator",
            "RoformerOptions",
            name="roformer",
            title="RoFormer",
            summary=(
                "Transformers look along time and across frequency bands in turn, then mask magnitude and phase. The "
                "highest published scores of the methods here; its weights must be downloaded first, and it takes long "
                "without a GPU."
            ),
            reference="Lu et al., ICASSP 2024",
            default_model="roformer-4stems",
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


def find_method(name: str) -> Method:
    """Return a method by name, or the one that a preset file describes.

    Parameters
    ----------
    name : str
        A key of :data:`METHODS`, or the path of a ``.toml`` file (see :mod:`separation.separators.presets`).

    Raises
    ------
    ValueError
        For an unknown name, or a file that is no preset or is called like a method.
    """
    if name in METHODS:
        return METHODS[name]
    if not name.endswith(".toml"):
        raise ValueError(f"unknown method {name!r}; the methods are {', '.join(METHODS)}")
    preset = read_preset(Path(name).expanduser())
    if preset.name in METHODS:
        raise ValueError(f"{name} has the name of a method: call it something else")
    return _preset_method(preset)
