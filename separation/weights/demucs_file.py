"""Read the network descriptions in the files of Demucs v3 and v4, without importing the classes that they name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from separation.weights.state_dict import CheckpointError, read_metadata

__all__ = ["read_demucs_arguments"]


@dataclass(frozen=True, kw_only=True)
class _Class:
    """A network class of upstream's that can be loaded here.

    Attributes
    ----------
    method : str
        Name of the method with this network.
    arguments : str
        Names of the arguments that the network here also has, separated by blanks.
    fixed : mapping
        Other arguments that change the output, each with its only supported value, which is also the default.
    """

    method: str
    arguments: str
    fixed: Mapping[str, object]


_COMMON = "audio_channels channels growth nfft depth freq_emb emb_scale kernel_size stride context"
_COMMON += " dconv_depth dconv_comp"

_ALWAYS: dict[str, object] = {"channels_time": None, "wiener_iters": 0, "cac": True, "rewrite": True, "multi_freqs": []}

_CLASSES = {
    "demucs.hdemucs.HDemucs": _Class(
        method="hybrid-demucs",
        arguments=f"{_COMMON} time_stride context_enc norm_starts norm_groups dconv_attn dconv_lstm",
        fixed=_ALWAYS | {"hybrid": True, "hybrid_old": False, "dconv_mode": 1},
    ),
    "demucs.htdemucs.HTDemucs": _Class(
        method="htdemucs",
        arguments=f"{_COMMON} dconv_mode bottom_channels t_layers t_heads t_hidden_scale t_cross_first t_max_period "
        "t_weight_pos_embed",
        fixed=_ALWAYS
        | {"context_enc": 0, "norm_starts": 4, "use_train_segment": True, "t_emb": "sin"}
        | {"t_norm_in": True, "t_norm_in_group": False, "t_group_norm": False, "t_norm_first": True}
        | {"t_norm_out": True, "t_layer_scale": True, "t_gelu": True}
        | {"t_sparse_self_attn": False, "t_sparse_cross_attn": False},
    ),
}


def read_demucs_arguments(path: Path, *, method: str) -> dict[str, Any] | None:
    """Return the arguments of a network from the metadata of its safetensors file.

    Upstream's files name a class and its arguments. Arguments that change nothing after training are left out.

    Parameters
    ----------
    path : Path
    method : str
        "hybrid-demucs" or "htdemucs".

    Returns
    -------
    dict or None
        ``sources`` and the arguments that the file gives, for "htdemucs" with ``segment_length`` in samples; None if
        the file does not describe a network.

    Raises
    ------
    CheckpointError
        If the file is damaged, or describes a network of another method.
    """
    metadata = read_metadata(path) if path.suffix == ".safetensors" else {}
    if "klass" not in metadata:
        return None
    known = _CLASSES.get(metadata["klass"])
    if known is None or known.method != method:
        raise CheckpointError(f"{path.name} is not for {method}: it describes a network {metadata['klass']!r}")
    if "structure" in metadata:
        raise CheckpointError(f"{path.name} holds compressed weights, which are not supported")
    try:
        positional, given = _decoded(metadata["args"]), _decoded(metadata["kwargs"])
        given = dict(zip(("sources",), positional, strict=len(positional) > 1)) | given
        arguments = {name: given[name] for name in known.arguments.split() if name in given}
        arguments["sources"] = [str.strip(source) for source in given["sources"]]
        if method == "htdemucs":
            arguments["segment_length"] = int(given["segment"] * given["samplerate"])
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"the description of the network in {path.name} is damaged") from error
    for name, value in known.fixed.items():
        if (given.get(name, value) or None) != (value or None):
            raise CheckpointError(f"{path.name} has a network with {name} = {given[name]!r}, which is not supported")
    return arguments


def _decoded(text: str) -> Any:
    """Parse JSON in which objects with ``"_type": "fraction"`` represent fractions."""
    return json.loads(text, object_hook=_fraction)


def _fraction(value: dict[str, Any]) -> Any:
    if value.get("_type") == "fraction":
        return Fraction(value["numerator"], value["denominator"])
    return value
