"""Checkpoints of BS-RoFormer and Mel-Band RoFormer with YAML configurations of ZFTurbo's training repository."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

import yaml

from separation.sources import ACCOMPANIMENT
from separation.weights.model import STEM_NAME, Model, ModelFile
from separation.weights.state_dict import CheckpointError

__all__ = ["read_roformer"]

_MAX_BYTES = 1 << 20  # a configuration has a few kilobytes

_short = reprlib.Repr()  # shows values of any size
_short.maxlevel = 2

#: Upstream's key -> the network's argument, and upstream's default.
_SIZES = {
    "dim": ("dim", None),
    "depth": ("depth", None),
    "heads": ("heads", 8),
    "dim_head": ("dim_head", 64),
    "time_transformer_depth": ("time_depth", 2),
    "freq_transformer_depth": ("band_depth", 2),
    "mlp_expansion_factor": ("mask_expansion", 4),
    "num_stems": ("n_stems", 1),
    "stft_n_fft": ("n_fft", 2048),
    "stft_hop_length": ("hop_length", 512),
}

#: Keys that are read elsewhere, or affect only training and speed.
_OTHER = {
    *("stereo", "num_bands", "freqs_per_bands", "mask_estimator_depth", "sample_rate", "stft_win_length"),
    *("attn_dropout", "ff_dropout", "flash_attn", "sage_attention", "use_torch_checkpoint"),
    *("dim_freqs_in", "match_input_audio_length", "multi_stft_resolution_loss_weight"),
    *("multi_stft_resolutions_window_sizes", "multi_stft_hop_size", "multi_stft_normalized"),
}

#: Keys that enable parts that the network here lacks.
_OFF = ("linear_transformer_depth", "skip_connection", "stft_normalized", "use_pope", "zero_dc")


def read_roformer(checkpoint: Path, config: Path | None) -> Model:
    """Describe a checkpoint and its configuration as a model.

    A network of one stem gives two sources: the target, and the rest of the mixture, which is the accompaniment.

    Parameters
    ----------
    checkpoint : Path
        A state dict as ``.ckpt``, ``.pth`` or ``.safetensors``.
    config : Path
        The YAML file published with it, with the sections ``audio``, ``model``, ``training`` and ``inference``.

    Raises
    ------
    CheckpointError
        If the configuration is missing, is not plain YAML, or describes a network that is not supported.
    """
    if config is None:
        raise CheckpointError(f"{checkpoint.name} needs its configuration: add --option config=FILE.yaml")
    try:
        return _describe(checkpoint, config, _read_yaml(config))
    except _ConfigError as error:
        raise CheckpointError(f"{config.name} {error}") from error


class _ConfigError(ValueError):
    """An error in the configuration; the message is a predicate, to follow the file's name."""


class _Loader(yaml.SafeLoader):
    """Loads plain values and tuples; merged mappings are rejected, since they let a short file become enormous."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        pass


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node)))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise _ConfigError("is too long for a configuration")
        content = yaml.load(text, _Loader)
    except FileNotFoundError as error:
        raise _ConfigError("is missing") from error
    except OSError as error:
        raise _ConfigError(f"cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, _ConfigError):
            raise
        raise _ConfigError("is not a configuration: it is not YAML, or holds more than plain values") from error
    if not isinstance(content, dict):
        raise _ConfigError("is not a configuration: it has no sections such as model and training")
    return content


def _describe(checkpoint: Path, config: Path, content: dict[str, Any]) -> Model:
    audio, network, training, inference = (
        _section(content, name) for name in ("audio", "model", "training", "inference")
    )
    architecture = _architecture(network)
    sample_rate = _whole(audio, "sample_rate", 44100)
    if "mel_bands" in architecture and _whole(network, "sample_rate", 44100) != sample_rate:
        raise _ConfigError("has different sample rates for the mel bands and the audio")
    options: dict[str, Any] = {"overlap": 1 - 1 / _whole(inference, "num_overlap", 2)}
    chunks = inference if "chunk_size" in inference else audio
    if "chunk_size" in chunks:
        options["segment"] = _whole(chunks, "chunk_size", None) / sample_rate
    stereo = network.get("stereo", False)
    if not isinstance(stereo, bool):
        raise _ConfigError(f"must set stereo to true or false, got {_short.repr(stereo)}")
    folder = checkpoint.parent
    same_folder = config.resolve().parent == folder.resolve()
    return Model(
        name=checkpoint.stem,
        method="roformer",
        sources=_sources(training, architecture["n_stems"]),
        sample_rate=sample_rate,
        channels=2 if stereo else 1,
        files=(
            ModelFile(source="all", name=checkpoint.name),
            ModelFile(source="config", name=config.name if same_folder else str(config.resolve())),
        ),
        folder=folder,
        architecture=architecture,
        options=options,
        own=True,
    )


def _architecture(network: dict[str, Any]) -> dict[str, Any]:
    """Return the network's arguments from the configuration's section ``model``."""
    for key in network:
        if key in _OFF and network[key]:
            raise _ConfigError(f"asks for {key}, which is not implemented")
        if key not in _SIZES and key not in _OTHER and key not in _OFF:
            raise _ConfigError(f"asks for {key}, which is not supported")
    if _whole(network, "stft_win_length", 2048) != _whole(network, "stft_n_fft", 2048):
        raise _ConfigError("asks for an stft_win_length other than stft_n_fft, which is not supported")
    shape = {ours: _whole(network, key, default) for key, (ours, default) in _SIZES.items()}
    if ("num_bands" in network) == ("freqs_per_bands" in network):
        raise _ConfigError("must have either num_bands (mel bands) or freqs_per_bands (split bands) in its model")
    if "num_bands" in network:
        hidden_layers = _whole(network, "mask_estimator_depth", 1)
        return shape | {"mel_bands": _whole(network, "num_bands", None), "mask_layers": hidden_layers}
    widths = network["freqs_per_bands"]
    if not isinstance(widths, list | tuple) or not all(type(width) is int and width > 0 for width in widths):
        raise _ConfigError(f"must list whole numbers as freqs_per_bands, got {_short.repr(widths)}")
    # The band-split variant's count includes the output layer.
    hidden_layers = _whole(network, "mask_estimator_depth", 2) - 1
    return shape | {"band_widths": list(widths), "mask_layers": hidden_layers}


def _sources(training: dict[str, Any], n_stems: int) -> tuple[str, ...]:
    """Return the names of the stems, in lower case; "instrumental" is the accompaniment."""
    target = training.get("target_instrument")
    given = training.get("instruments") if target is None else [target]
    if not isinstance(given, list | tuple) or not all(
        isinstance(name, str) and STEM_NAME.fullmatch(name) for name in given
    ):
        raise _ConfigError(f"must name its stems in training.instruments, got {_short.repr(given)}")
    names = [ACCOMPANIMENT if name.lower() == "instrumental" else name.lower() for name in given]
    if len(names) != n_stems or len(set(names)) != n_stems:
        raise _ConfigError(f"names {len(names)} stems ({', '.join(names)}) for a network of {n_stems}")
    if n_stems == 1:
        names.append("vocals" if names[0] == ACCOMPANIMENT else ACCOMPANIMENT)
    return tuple(names)


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name, {})
    if not isinstance(section, dict) or not all(isinstance(key, str) for key in section):
        raise _ConfigError(f"must have a section {name} of names and values")
    return section


def _whole(section: dict[str, Any], key: str, default: int | None) -> int:
    value = section.get(key, default)
    if type(value) is not int or value < 1:
        raise _ConfigError(f"must have a whole number of at least 1 as {key}, got {_short.repr(value)}")
    return value
