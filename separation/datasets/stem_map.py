"""``stems.toml``: assigns the files of a track to targets, for sets with more stems than targets."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any

from separation.toml_files import load_toml

__all__ = ["MAP_FILE", "StemMap", "normal_name", "read_stem_map"]

MAP_FILE = "stems.toml"
_UNMENTIONED = ("other", "refuse")


@dataclass(frozen=True, kw_only=True)
class StemMap:
    """The content of ``stems.toml``.

    A glob is compared with a file's path within the track's folder; one without a slash also with the file's name
    and the names of its folders. The suffix may be omitted, and case is ignored.

    Attributes
    ----------
    targets : mapping of str to tuple of str
        Target -> globs. The sum of the files that match is the target.
    ignore : tuple of str
        Globs of files that belong to no target.
    unmentioned : "other" or "refuse"
        Whether a file that no glob matches belongs to "other" or makes the track unusable.
    """

    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    unmentioned: str = "refuse"

    def target(self, path: PurePath) -> str | None:
        """Return the target of a file, given by its path within the track's folder; None if it is ignored.

        Raises
        ------
        ValueError
            If the map has no targets, or the file matches several, or none and `unmentioned` is "refuse".
        """
        if not self.targets:
            raise ValueError(f"{MAP_FILE} has no [targets]")
        if _matches(path, self.ignore):
            return None
        matches = [target for target, globs in self.targets.items() if _matches(path, globs)]
        if len(matches) > 1:
            raise ValueError(f"{MAP_FILE} puts {path.as_posix()!r} into two targets, {matches[0]} and {matches[1]}")
        if not matches and self.unmentioned == "refuse":
            raise ValueError(
                f"{MAP_FILE} does not mention {path.as_posix()!r}: add it to a target or to ignore, "
                'or set unmentioned = "other"'
            )
        return matches[0] if matches else "other"


def normal_name(text: str) -> str:
    """Return a name for comparison: in lower case, with composed accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _matches(path: PurePath, globs: Sequence[str]) -> bool:
    whole = [path.as_posix(), path.with_suffix("").as_posix()]
    parts = [*path.parts, path.stem]
    for glob in globs:
        names = whole if "/" in glob else [*whole, *parts]
        if any(fnmatchcase(normal_name(name), normal_name(glob)) for name in names):
            return True
    return False


def read_stem_map(folders: Sequence[Path]) -> StemMap | None:
    """Read ``stems.toml`` from several folders; return None if none of them has one.

    Later folders override the keys of earlier ones.

    Raises
    ------
    ValueError
        If a file cannot be read, or has unknown keys or wrong values.
    """
    merged: dict[str, Any] = {}
    for folder in folders:
        path = folder / MAP_FILE
        if path.is_file():
            merged |= _read(path)
    return StemMap(**merged) if merged else None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_toml(path)
    except ValueError as error:
        raise ValueError(f"cannot read {MAP_FILE} in {path.parent.name!r}: {error.__cause__}") from error
    known = set(StemMap.__dataclass_fields__)
    if unknown := sorted(content.keys() - known):
        raise ValueError(f"{MAP_FILE} has the unknown key {unknown[0]!r}; the keys are {', '.join(sorted(known))}")
    if content.get("unmentioned", "refuse") not in _UNMENTIONED:
        raise ValueError(f"unmentioned in {MAP_FILE} must be other or refuse, got {content['unmentioned']!r}")
    if "targets" in content:
        content["targets"] = _targets(content["targets"])
    if "ignore" in content:
        content["ignore"] = _globs(content["ignore"], "ignore")
    return content


def _targets(table: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict):
        raise ValueError(f"[targets] in {MAP_FILE} must be a table of target = [globs]")
    found: dict[str, tuple[str, ...]] = {}
    for name, globs in table.items():
        target = normal_name(name)
        if target == "mixture":
            raise ValueError(
                f"{MAP_FILE} has the target mixture: the mixture is the sum of all targets and cannot be one"
            )
        if target in found:
            raise ValueError(f"{MAP_FILE} names the target {target} twice")
        found[target] = _globs(globs, name)
    return found


def _globs(value: Any, name: str) -> tuple[str, ...]:
    globs = [value] if isinstance(value, str) else value
    if not isinstance(globs, list) or not all(isinstance(glob, str) for glob in globs):
        raise ValueError(f"{name} in {MAP_FILE} must be a list of globs, got {value!r}")
    return tuple(globs)
