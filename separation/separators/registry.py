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
        Description of the method for users.
    reference : str
        Short citation of the paper.
    separator, options : str
        ``module:class`` of the separator and of its options.
    default_model : str or None
        Default weights; None if the method has none.
    needs_references : bool
        Whether the method is an oracle, which needs the true sources.
    names_sources : bool
        Whether its stems are named sources, in contrast to ICA's components.
    preset : Preset or None
        The preset that defines the method, if any.
    """

    name: str
    title: str
    summary: str
    reference: str
    separator: str
    options: str
    default_model: str | None = None
    needs_references: bool = False
    names_sources: bool = True
    preset: Preset | None = None

    @property
    def has_model(self) -> bool:
        """Whether the method has weights to choose from."""
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

DEFAULT_METHOD = "best-offline"  #: used if no method is chosen

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
            summary="No separation: every stem is a quarter of the mixture. Every method should score higher.",
            reference="SiSEC 2018, MIX",
        ),
        _method(
            "hpss",
            "HarmonicPercussive",
            "HarmonicPercussiveOptions",
            name="hpss",
            title="Harmonic-percussive",
            summary=(
                "Splits the spectrogram into short broadband sounds (drums), sustained low tones (bass) and other "
                "sustained tones, which vocals and other share. The best method without training."
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
                "Finds the linear combinations of the channels that are most independent. It needs as many "
                "microphones as sources; a stereo song has two channels and gives two components, which are still "
                "mixtures."
            ),
            reference="Hyvärinen and Oja, Neural Networks 2000",
            names_sources=False,
        ),
        _method(
            "open_unmix",
            "OpenUnmixSeparator",
            "OpenUnmixOptions",
            name="open-unmix",
            title="Open-Unmix",
            summary=(
                "A recurrent network per instrument estimates its spectrogram; a Wiener filter then distributes the "
                "mixture among them. Little interference, but sometimes a hollow sound."
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
                "A network that maps the waveform to the sources' waveforms without a spectrogram. Attacks stay "
                "crisp; an instrument assigned to the wrong stem is audible there in full."
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
                "Demucs with a second branch on the spectrogram, which resolves sustained tones; its weights "
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
                "Hybrid Demucs with a transformer between its two branches. Trained on about "
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
                "A convolutional network per stem estimates the stem's share of each bin from 12 seconds of the "
                "spectrogram at a time. Trained by Deezer on many songs; fast, with good vocals."
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
                "Transformers attend along time and across frequency bands in turn and estimate complex masks. It "
                "has the highest published scores of these methods; its weights must be downloaded first, and it is "
                "slow without a GPU."
            ),
            reference="Lu et al., ICASSP 2024",
            default_model="roformer-4stems",
        ),
        _method(
            *_ORACLE,
            name="irm",
            title="Oracle: ratio mask",
            summary="Computed from the true sources: each gets its share of every bin. The upper bound of soft masks.",
            reference="SiSEC 2018, IRM1",
            needs_references=True,
        ),
        _method(
            *_ORACLE,
            name="ibm",
            title="Oracle: binary mask",
            summary="Computed from the true sources: the loudest gets the whole bin. The upper bound of binary masks.",
            reference="SiSEC 2018, IBM1",
            needs_references=True,
        ),
        _method(
            *_ORACLE,
            name="mwf",
            title="Oracle: Wiener filter",
            summary="The Wiener filter with the true sources' powers and spatial covariances. The highest upper bound.",
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
        For an unknown name, or a file that is not a preset or has the name of a method.
    """
    if name in METHODS:
        return METHODS[name]
    if not name.endswith(".toml"):
        raise ValueError(f"unknown method {name!r}; the methods are {', '.join(METHODS)}")
    preset = read_preset(Path(name).expanduser())
    if preset.name in METHODS:
        raise ValueError(f"{name} has the name of a method: rename it")
    return _preset_method(preset)
