"""Weights: what there is, where it is, on what terms; download, verify, load.

Three kinds of model look the same from here on: the released ones (a table, downloaded into
``SEPARATION_HOME``), the bundled ones (``assets/models``) and folders of one's own, written by
our training or by upstream's Open-Unmix trainer. Nothing in a file is ever executed: weights are
safetensors, or pickles that torch reads with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["CheckpointError", "Model", "ModelFile", "download", "find", "home", "models", "verify"]

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "models"
RELEASED = Path(__file__).with_name("released_models.toml")
TIMEOUT = 30.0  # seconds without a byte after which a download is given up

Built = TypeVar("Built")
Progress = Callable[[str, int, int | None], None]  # file name, bytes so far, bytes in all if known


class CheckpointError(ValueError):
    """A model that is unknown, not installed, damaged or not to be had; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file of weights.

    Attributes
    ----------
    source : str
        The target it estimates, or "all".
    name, url : str
        `url` is empty for files that are not downloaded.
    sha256 : str
        The hash, or its first digits; empty if nobody published one.
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
        Where its files are, or will be.
    architecture : dict
        What the network is built with.
    options : dict
        Of its method, where other ones than the method's own suit it better.
    bundled, own : bool
        Comes with the project; is somebody's own folder.
    """

    name: str
    method: str
    sources: tuple[str, ...]
    sample_rate: int
    channels: int
    files: tuple[ModelFile, ...]
    folder: Path
    licence: str = "unknown"
    trained_on: str = "unknown"
    page: str = ""
    parameters: int | None = None
    architecture: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    bundled: bool = False
    own: bool = False

    def path(self, file: ModelFile) -> Path:
        return self.folder / file.name

    @property
    def installed(self) -> bool:
        return all(self.path(file).is_file() for file in self.files)

    @property
    def size(self) -> int | None:
        """Bytes of its files, if they are here."""
        return sum(self.path(file).stat().st_size for file in self.files) if self.installed else None

    def file(self, source: str) -> ModelFile:
        """The file for that source, or for "all" of them."""
        for file in self.files:
            if file.source == source:
                return file
        raise CheckpointError(f"the model {self.name} has no file for {source!r}")

    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 over its files' SHA-256s: what results are labelled with."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(bytes.fromhex(sha256_of(self.path(file))))
        return total.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """As ``models --json`` and the studio's ``/models`` give it."""
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
            "trained_on": self.trained_on,
            "page": self.page,
            "files": [{"name": file.name, "url": file.url, "sha256": file.sha256} for file in self.files],
        }

    def build(self, constructor: Callable[[dict[str, Any]], Built]) -> Built:
        """What a constructor makes of a copy of `architecture`.

        Raises
        ------
        CheckpointError
            If it cannot: the fault is the description's, whatever the error.
        """
        try:
            return constructor(dict(self.architecture))
        except Exception as error:  # torch has its own errors for sizes that cannot be
            raise CheckpointError(
                f"{self.name} does not describe a model for {self.method}: {_reason(error)}"
            ) from error

    def load_into(self, network: nn.Module, file: ModelFile, *, ignore: Sequence[str] = ()) -> None:
        """Load one file's weights into a network.

        Entries called one of `ignore` are dropped: legacy keys of released files.

        Raises
        ------
        CheckpointError
            If the file is missing or damaged, holds anything but tensors, or fits another network.
        """
        state = {key: value for key, value in read_state_dict(self.path(file)).items() if key not in ignore}
        expected = network.state_dict()
        for key in [key for key in expected if key.endswith("num_batches_tracked")]:
            state.setdefault(key, expected[key])  # files of before PyTorch 0.4.1 lack this counter
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


def home() -> Path:
    """The cache folder: ``SEPARATION_HOME``, or ``~/.cache/separation``."""
    chosen = os.environ.get("SEPARATION_HOME")
    try:
        return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "separation"
    except RuntimeError as error:
        raise CheckpointError(f"SEPARATION_HOME names the home of a user that there is not: {chosen!r}") from error


# -- what there is ---------------------------------------------------------------------------------


def models() -> list[Model]:
    """All known models, the bundled ones first."""
    bundled = [_read_folder(path.parent, bundled=True) for path in sorted(BUNDLED.glob("*/model.json"))]
    table = tomllib.loads(RELEASED.read_text(encoding="utf-8"))["model"]
    return bundled + [_model(entry, folder=home() / "models" / entry["name"]) for entry in table]


def find(name: str, *, method: str) -> Model:
    """The model of that name, or in that folder, ready to be loaded.

    Raises
    ------
    CheckpointError
        If there is none, it belongs to another method, or its files are not here yet.
    """
    known = {model.name: model for model in models()}
    if name in known:
        model = known[name]
    elif folder := _folder(name):
        model = _read_folder(folder)
    else:
        fitting = ", ".join(model.name for model in known.values() if model.method == method)
        raise CheckpointError(f"no model or folder {name!r}; the models for {method} are: {fitting}")
    if model.method != method:
        raise CheckpointError(f"{model.name} is a model for {model.method}, not for {method}")
    if not model.installed:
        gone = [file.name for file in model.files if not model.path(file).is_file()]
        if model.own or model.bundled:
            raise CheckpointError(f"the model {model.name} is incomplete: {', '.join(gone)} missing from its folder")
        raise CheckpointError(
            f"the model {model.name} is not installed; get it with: python -m separation models download {model.name}"
        )
    return model


def _folder(name: str) -> Path | None:
    """The folder of that name, if it is one."""
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError):  # too long, or in the home of nobody
        return None


def _model(entry: dict[str, Any], **more: Any) -> Model:
    fields = dict(entry)
    files = tuple(ModelFile(**file) for file in fields.pop("files"))
    texts = [fields["name"], fields["method"], *fields["sources"], *(file.name for file in files)]
    if not all(isinstance(text, str) for text in texts) or not fields["sources"]:
        raise TypeError(f"names, the method and the sources must be words, got {texts}")
    if not all(type(number) is int and number > 0 for number in (fields["sample_rate"], fields["channels"])):
        raise TypeError("sample_rate and channels must be whole numbers")
    if not isinstance(fields.get("options", {}), dict):
        raise TypeError("the options must be an object")
    return Model(files=files, sources=tuple(fields.pop("sources")), **fields, **more)


def _read_folder(folder: Path, *, bundled: bool = False) -> Model:
    """A folder with our ``model.json``, or one by upstream's Open-Unmix trainer (``separator.json``)."""
    own = not bundled
    try:
        if (folder / "model.json").is_file():
            return _model(_read_json(folder / "model.json"), folder=folder, bundled=bundled, own=own)
        if (folder / "separator.json").is_file():
            return _read_upstream_open_unmix(folder)
    except CheckpointError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"the description of the model in {folder.name!r} is not usable: {_reason(error)}"
        ) from error
    raise CheckpointError(f"the folder {folder.name!r} holds neither model.json nor Open-Unmix's separator.json")


def _reason(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def _read_upstream_open_unmix(folder: Path) -> Model:
    common = _read_json(folder / "separator.json")
    files = []
    hidden_sizes = set()
    for path in sorted(folder.glob("*.json")):
        if path.name == "separator.json":
            continue
        plain = path.with_suffix(".pth")
        weights = [plain] if plain.is_file() else sorted(folder.glob(f"{path.stem}*.pth"))
        if not weights:
            raise CheckpointError(f"{folder.name!r} describes the target {path.stem!r} but holds no {path.stem}*.pth")
        files.append(ModelFile(source=path.stem, name=weights[0].name))
        hidden_sizes.add(int(_read_json(path)["args"]["hidden_size"]))
    if not files:
        raise CheckpointError(f"{folder.name!r} holds no target: expected files such as vocals.json and vocals.pth")
    if len(hidden_sizes) > 1:
        raise CheckpointError(f"the targets in {folder.name!r} differ in size: {sorted(hidden_sizes)} hidden units")
    order = ("vocals", "drums", "bass", "other")
    files.sort(key=lambda file: (order.index(file.source) if file.source in order else len(order), file.source))
    state = read_state_dict(folder / files[0].name)
    if "input_mean" not in state:
        raise CheckpointError(f"{files[0].name} holds no Open-Unmix weights: it lacks 'input_mean'")
    return Model(
        name=folder.resolve().name,
        method="open-unmix",
        sources=tuple(file.source for file in files),
        sample_rate=int(common["sample_rate"]),
        channels=int(common["nb_channels"]),
        files=tuple(files),
        folder=folder,
        architecture={
            "n_fft": int(common["nfft"]),
            "hop_length": int(common["nhop"]),
            "max_bin": len(state["input_mean"]),
            "hidden_size": hidden_sizes.pop(),
        },
        own=True,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} in {path.parent.name!r} cannot be read: it is not JSON") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} in {path.parent.name!r} does not hold a JSON object")
    return content


# -- loading and verifying -------------------------------------------------------------------------


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file or a torch pickle, in float32; nothing in it is executed.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, or holds anything but named tensors.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            state = load(path.read_bytes())  # not mapped: a file that shrinks meanwhile would end the process
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.name} is missing") from error
    except Exception as error:  # every reader has its own errors for a file that is not what it should be
        raise CheckpointError(f"{path.name} is damaged, or holds more than tensors, and was not loaded") from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"{path.name} does not hold a dictionary of tensors")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(model: Model) -> list[str]:
    """What is wrong with a model's files, a sentence each; empty if they are all whole."""
    return [problem for file in model.files if (problem := _problem(file, model.path(file)))]


def _problem(file: ModelFile, path: Path) -> str:
    if not path.is_file():
        return f"{file.name} is missing"
    if file.sha256:
        found = sha256_of(path)
        if not found.startswith(file.sha256):
            return f"{file.name} has the hash {found[:8]}, not {file.sha256[:8]}: it is damaged or another file"
        return ""
    if path.suffix == ".safetensors":
        return ""
    try:  # torch's files are zip archives, with a checksum for every tensor
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception:  # a damaged header may speak of encryption, another compression, names that are none
        return f"{file.name} is not a complete file of weights"
    return f"{file.name} is damaged" if bad else ""


# -- downloading -----------------------------------------------------------------------------------


def download(model: Model, progress: Progress | None = None) -> list[str]:
    """Get a released model's files; returns the names of those that were not here yet.

    A file appears under its name only when it is whole and its hash is right; until then it is
    ``<name>.part``, and an interrupted download goes on from there. ``SEPARATION_MODELS_URL``
    names a mirror: every file is then taken from ``<mirror>/<file name>``.

    Raises
    ------
    CheckpointError
        If the model is bundled or one's own, or a file cannot be had; what was whole stays.
    """
    if model.bundled or model.own:
        raise CheckpointError(f"{model.name} is not downloaded: it is already here")
    fetched = []
    for file in model.files:
        path = model.path(file)
        if not _problem(file, path):
            continue
        lock = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=0):
                try:
                    if _problem(file, path):  # or another process has fetched it just now
                        _fetch(file, path, progress)
                        fetched.append(file.name)
                finally:
                    lock.unlink(missing_ok=True)  # while it is held: whoever opened it meanwhile sees that it is gone
        except Timeout as error:
            raise CheckpointError(f"{file.name} is being downloaded by another process; wait for it") from error
        except OSError as error:
            raise CheckpointError(f"cannot store {file.name} in the cache folder: {error.strerror}") from error
    return fetched


def _fetch(file: ModelFile, path: Path, progress: Progress | None) -> None:
    part = path.with_name(f"{path.name}.part")
    mirror = os.environ.get("SEPARATION_MODELS_URL")
    url = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url
    again = "run the same command again"
    try:
        expected = _receive(url, part, file.name, progress)
    except urllib.error.HTTPError as error:
        raise CheckpointError(
            f"cannot download {file.name}: the server answers {error.code} ({error.reason})"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"cannot download {file.name}: SEPARATION_MODELS_URL is not an address") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        why = " ".join(str(getattr(error, "reason", None) or error).split())
        raise CheckpointError(
            f"cannot download {file.name}: {why}; check the network and {again}, it will go on"
        ) from error
    size = part.stat().st_size
    if expected is not None and size < expected:
        raise CheckpointError(
            f"{file.name} broke off after {size} of {expected} bytes; {again}, it will go on from there"
        )
    too_long = f"{size} bytes instead of {expected}" if expected is not None and size > expected else ""
    if problem := too_long or _problem(file, part):
        part.unlink()
        raise CheckpointError(f"what came for {file.name} was thrown away ({problem}); {again}, or try another mirror")
    part.replace(path)


def _receive(url: str, part: Path, name: str, progress: Progress | None) -> int | None:
    """Append what is missing to `part`; returns the size that the server announces for the whole."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing is left to send: what is here is whole, or too long
            raise
        announced = error.headers.get("Content-Range", "").rpartition("/")[2]
        return int(announced) if announced.isdigit() else None
    except urllib.error.URLError:
        raise
    except OSError as error:  # of the socket, while it waits for the answer
        raise ConnectionError(str(error)) from error
    with response:
        resumed = response.status == 206
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        expected = have + int(length) if length and length.isdigit() else None
        with part.open("ab" if resumed else "wb") as out:
            while True:
                try:
                    chunk = response.read1(1 << 18)  # whatever is there: nothing that came is lost if it breaks
                except (OSError, http.client.HTTPException) as error:
                    raise ConnectionError(f"the connection broke after {have} bytes ({error})") from error
                if not chunk:
                    break
                out.write(chunk)
                have += len(chunk)
                if progress:
                    progress(name, have, expected)
    return expected
