"""Build a separator from the name of a method or a preset."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from separation.separators.presets import Preset
from separation.separators.registry import METHODS, Method, find_method
from separation.weights import catalogue

if TYPE_CHECKING:
    from torch import Tensor

    from separation.separators.base import Separator

__all__ = ["create", "first_installed", "model_names"]

_CONVOLUTIONAL = {"spleeter"}  # methods whose networks have no layers that run in bfloat16


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
        Name of a method in :data:`separation.separators.registry.METHODS`, or the path of a preset's ``.toml`` file.
    model : str, optional
        Name of a known model, a folder with one, or a RoFormer's checkpoint file; by default the method's own.
    device : "auto", "cpu", "cuda" or "mps"
    precision : "auto", "fp32", "tf32" or "bf16"
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

    Examples
    --------
    >>> separator = create("demucs", options={"shifts": 2, "overlap": 0.5})
    >>> separator.sources, separator.sample_rate
    (('vocals', 'drums', 'bass', 'other'), 44100)
    """
    entry = find_method(method)
    if model is not None and not entry.has_model:
        raise ValueError(f"{entry.name} has no models to choose from: omit --model")
    if entry.preset is not None:
        return _create_preset(entry.preset, device=device, precision=precision, options=options)
    if precision != "auto" and not entry.has_model:
        raise ValueError(f"{method} has no network, so that --precision does not apply: omit it")
    if precision == "bf16" and entry.name in _CONVOLUTIONAL:
        raise ValueError(f"{method} has convolutions only, which are not computed in bfloat16: use precision fp32")
    if entry.needs_references and references is None:
        raise ValueError(f"{method} is an oracle: it needs the true sources, as <source>.wav next to mixture.wav")
    from separation.separators.options import parse_options
    from separation.workers.devices import choose_device

    torch_device = choose_device(device)
    options_type = _load(entry.options)
    weights = None
    if entry.has_model:
        config = _config(options_type, options or {})
        weights = catalogue.find_model(model or str(entry.default_model), method=method, config=config)
    if weights:  # report a mistake in the model's own options as an error of the model
        weights.build(lambda _: parse_options(options_type, weights.options))
    parsed = parse_options(options_type, {**(weights.options if weights else {}), **(options or {})})
    separator = _load(entry.separator)
    if entry.needs_references:
        return separator(method, references, options=parsed)
    if weights:
        built: Separator = separator(weights, device=torch_device, precision=precision, options=parsed)
        built.allow_tf32 = precision == "tf32"
        return built
    return separator(options=parsed)


def _create_preset(preset: Preset, *, device: str, precision: str, options: Mapping[str, object] | None) -> Separator:
    if preset.first_installed:
        return _create_first_installed(preset, device=device, precision=precision, options=options)
    from separation.separators.ensemble import EnsembleOptions, EnsembleSeparator
    from separation.separators.options import parse_options

    try:
        parse_options(EnsembleOptions, preset.options)
    except ValueError as error:
        raise ValueError(f"{preset.name}: {error}") from error
    parsed = parse_options(EnsembleOptions, {**preset.options, **(options or {})})
    shared: dict[str, Separator] = {}  # parts with the same method, model and options use one separator
    parts = {}
    for name, part in preset.parts.items():
        entry = METHODS.get(part.method)
        if entry is None or entry.needs_references or entry.preset:
            usable = ", ".join(other.name for other in METHODS.values() if not (other.needs_references or other.preset))
            raise ValueError(f"{preset.name}: the part {name!r} must have one of the methods {usable}")
        key = f"{part.method} {part.model} {part.options}"
        if key not in shared:
            shared[key] = create(
                part.method,
                model=part.model,
                device=device,
                precision=_part_precision(entry, precision),
                options=part.options,
            )
        parts[name] = shared[key]
    ensemble = EnsembleSeparator(preset, parts, options=parsed)
    ensemble.allow_tf32 = precision == "tf32"
    return ensemble


def _part_precision(entry: Method, precision: str) -> str:
    """Return the precision of an ensemble's part: "auto" if the one asked for does not apply to its method."""
    return precision if entry.has_model and not (precision == "bf16" and entry.name in _CONVOLUTIONAL) else "auto"


def _create_first_installed(preset: Preset, **arguments: Any) -> Separator:
    """Create the first method of the preset's list whose weights are installed."""
    method, model = first_installed(preset)
    separator = create(method, model=model, **arguments)
    separator.name = preset.name  # type: ignore[misc]
    return separator


def first_installed(preset: Preset) -> tuple[str, str | None]:
    """Return the first method of the preset's list whose weights are installed, and its model; None for its default."""
    for choice in preset.first_installed:
        method, _, model = choice.partition(":")
        entry = METHODS.get(method)
        if entry is None or entry.needs_references:
            raise ValueError(f"{preset.name}: {method!r} in first_installed is not a method without references")
        if not entry.has_model or catalogue.is_installed(model or str(entry.default_model)):
            return method, model or None
    raise ValueError(f"{preset.name}: none of {', '.join(preset.first_installed)} is installed")


def model_names(method: str, model: str | None = None) -> list[str]:
    """Return the names of the models that :func:`create` would load for a method or a preset.

    Raises
    ------
    ValueError
        For an unknown method, and for a preset of which nothing is installed.
    """
    entry = find_method(method)
    if entry.preset is None:
        return [str(model or entry.default_model)] if entry.has_model else []
    if entry.preset.first_installed:
        return model_names(*first_installed(entry.preset))
    parts = entry.preset.parts.values()
    return [name for part in parts if part.method in METHODS for name in model_names(part.method, part.model)]


def _config(options_type: Any, options: Mapping[str, object]) -> str | None:
    """Return the option `config`, the file that describes a checkpoint, of methods that have this option."""
    from separation.separators.options import parse_options

    if "config" not in options or not hasattr(options_type, "config"):
        return None
    config: str | None = parse_options(options_type, {"config": options["config"]}).config
    return config


def _load(path: str) -> Any:
    """Return the object that ``module:name`` refers to."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
