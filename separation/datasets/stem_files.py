"""Find the stem files in a track's folder; every command uses this search."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from separation.audio.suffixes import SUFFIXES
from separation.datasets.stem_map import StemMap, normal_name, read_stem_map
from separation.sources import SOURCES

__all__ = [
    "SUBSETS",
    "StemFiles",
    "find_stems",
    "is_hidden",
    "list_visible",
    "stem_map_of",
    "subset_folders",
    "visible_folders",
]

SUBSETS = ("train", "valid", "test")  #: optional folders between the root of a set and its tracks


@dataclass(frozen=True, kw_only=True)
class StemFiles:
    """The stem files of one track.

    Attributes
    ----------
    folder : Path
    targets : dict of str to list of Path
        Target -> the files whose sum it is; one file each without ``stems.toml``.
    problems : dict of str to str
        Target -> why its files cannot be used, in one sentence; such targets are in `targets` too.
    unused : list of Path
        Audio files that belong to no target.
    mapped : bool
        Whether ``stems.toml`` assigned the files. Such stems may be mono or shorter than others.
    """

    folder: Path
    targets: dict[str, list[Path]]
    problems: dict[str, str] = field(default_factory=dict)
    unused: list[Path] = field(default_factory=list)
    mapped: bool = False

    @property
    def files(self) -> list[Path]:
        """The files of all targets."""
        return [path for paths in self.targets.values() for path in paths]

    def label(self, path: Path) -> str:
        """Return a file's name for messages: its path within the folder."""
        return path.relative_to(self.folder).as_posix()

    def checked(self) -> StemFiles:
        """Return `self`; raise ValueError if a target has a problem."""
        if self.problems:
            raise ValueError("; ".join(self.problems.values()))
        return self


def find_stems(folder: Path, *, names: Collection[str] | None = SOURCES, stem_map: StemMap | None = None) -> StemFiles:
    """Find the stem files of a track by their names.

    Case and the composition of accents are ignored, and any audio suffix is accepted. Hidden files are skipped, such as
    those that macOS adds to each file on other systems' disks (``._vocals.wav``).

    Parameters
    ----------
    folder : path
    names : collection of str, optional
        Targets to look for, each a file of this name; None stands for every audio file but the mixture.
        Ignored if `stem_map` is given.
    stem_map : StemMap, optional
        Assigns files, also those in subfolders, to targets.

    Raises
    ------
    ValueError
        If the folder does not exist, or `stem_map` does not fit its files.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder {folder.name!r}")
    targets: dict[str, list[Path]] = {}
    unused: list[Path] = []
    for path in _audio_files(folder, deep=stem_map is not None):
        name = normal_name(path.stem)
        if stem_map is not None:
            is_mixture = name == "mixture" and path.parent == folder
            target = None if is_mixture else stem_map.target(path.relative_to(folder))
        elif names is None:
            target = None if name == "mixture" else name
        else:
            target = name if name in names else None
        if target is not None:
            targets.setdefault(target, []).append(path)
        elif stem_map is None and name != "mixture":
            unused.append(path)
    problems = {target: text for target, paths in targets.items() if (text := _duplicates(target, paths, folder))}
    order = [*(name for name in names or () if name in targets), *sorted(targets)]
    return StemFiles(
        folder=folder,
        targets={target: targets[target] for target in order},
        problems=problems,
        unused=unused,
        mapped=stem_map is not None,
    )


def _duplicates(target: str, paths: list[Path], folder: Path) -> str | None:
    """Return an error message if two files have the same name apart from case, accents and suffix."""
    seen: dict[str, Path] = {}
    for path in paths:
        relative = path.relative_to(folder)
        twin = seen.setdefault(normal_name(relative.with_suffix("").as_posix()), relative)
        if twin != relative:
            return f"there are two files for {target}, {twin.as_posix()!r} and {relative.as_posix()!r}: remove one"
    return None


def stem_map_of(folder: Path) -> StemMap | None:
    """Return the ``stems.toml`` that applies to a track's folder, or None.

    It may be in the folder itself, in the one above, and in the set's root above ``train``, ``valid`` and ``test``.
    The nearest file's keys override those of the others.

    Raises
    ------
    ValueError
        See :func:`separation.datasets.stem_map.read_stem_map`.
    """
    folder = folder.absolute()
    above = [folder.parent]
    if normal_name(folder.parent.name) in SUBSETS:
        above.insert(0, folder.parent.parent)
    return read_stem_map([*above, folder])


def is_hidden(name: str) -> bool:
    """Return whether the file or folder of this name is hidden, or left behind by macOS's archiver."""
    return name.startswith(".") or name == "__MACOSX"


def list_visible(folder: Path) -> list[Path]:
    """Return the files and folders in a folder that are not hidden, by name; raise ValueError if it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    except OSError as error:
        raise ValueError(f"cannot read the folder {folder.name!r}: {error.strerror}") from error


def visible_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, as :func:`list_visible` does."""
    return [path for path in list_visible(folder) if path.is_dir()]


def subset_folders(root: Path) -> dict[str, Path]:
    """Return those of the folders ``train``, ``valid`` and ``test`` in `root` that exist, in any case."""
    folders = {normal_name(path.name): path for path in visible_folders(root)}
    return {subset: folders[subset] for subset in SUBSETS if subset in folders}


def _audio_files(folder: Path, *, deep: bool) -> list[Path]:
    visible = list_visible(folder)
    # Broken links are included, and folders that stand in a stem's place: opening them raises an error that names them.
    files = [path for path in visible if path.suffix.lower() in SUFFIXES and not (deep and path.is_dir())]
    if deep:
        resolved = folder.resolve()
        for inner in (path for path in visible if path.is_dir()):
            if inner.resolve() not in (resolved, *resolved.parents):  # a link to a folder above would recurse forever
                files += _audio_files(inner, deep=True)
    return files
