"""``stems.toml``: what it may say, and which files it assigns to which target."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from separation.datasets.stem_map import StemMap, normal_name, read_stem_map


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stems.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("glob", "path", "matched"),
    [
        ("vocals*", "vocals.wav", True),
        ("vocals*", "Vocals 2.WAV", True),
        ("vocals", "vocals.wav", True),
        ("vocals.wav", "vocals.wav", True),
        ("vocals.flac", "vocals.wav", False),
        ("vocals", "vocals 2.wav", False),
        ("vocals", "vocals/b7e1.wav", True),
        ("vocals", "lead/vocals/b7e1.wav", True),
        ("vocals/*", "vocals/b7e1.wav", True),
        ("vocals/*", "lead/vocals/b7e1.wav", False),
        ("*_STEM_0[12]", "Song_STEMS/Song_STEM_01.wav", True),
        ("*_STEM_0[12]", "Song_STEMS/Song_STEM_03.wav", False),
        ("Musik/Sänger*", "Musik/Sa\N{COMBINING DIAERESIS}nger 1.wav", True),
        ("lead.vox", "lead.vox.wav", True),
    ],
)
def test_globs_are_compared_with_paths_and_names(glob: str, path: str, matched: bool) -> None:
    stem_map = StemMap(targets={"vocals": (glob,)}, unmentioned="other")
    assert stem_map.target(PurePosixPath(path)) == ("vocals" if matched else "other")


def test_ignored_files_have_no_target() -> None:
    stem_map = StemMap(targets={"vocals": ("vocals*",)}, ignore=("*click*",))
    assert stem_map.target(PurePosixPath("vocals click.wav")) is None


def test_a_file_in_two_targets_is_refused() -> None:
    stem_map = StemMap(targets={"vocals": ("voc*",), "other": ("*guitar",)})
    with pytest.raises(ValueError, match=r"puts 'vocal guitar\.wav' into two targets, vocals and other"):
        stem_map.target(PurePosixPath("vocal guitar.wav"))


def test_a_file_that_is_not_mentioned_is_refused_by_default() -> None:
    with pytest.raises(ValueError, match=r"does not mention 'keys/piano\.wav': add it to a target or to ignore"):
        StemMap(targets={"vocals": ("voc*",)}).target(PurePosixPath("keys/piano.wav"))


def test_nothing_is_mapped_without_targets() -> None:
    with pytest.raises(ValueError, match=r"stems\.toml has no \[targets\]"):
        StemMap(unmentioned="other").target(PurePosixPath("keys/piano.wav"))


def test_later_folders_override_the_keys_of_earlier_ones(tmp_path: Path) -> None:
    root = write(tmp_path, 'ignore = ["click"]\nunmentioned = "other"\n[targets]\nvocals = "v*"\nDrums = ["d*"]')
    track = write(tmp_path / "track", '[targets]\nbass = ["low*", "b*"]')
    assert read_stem_map([tmp_path / "nothing"]) is None
    targets = {"vocals": ("v*",), "drums": ("d*",)}
    assert read_stem_map([root]) == StemMap(targets=targets, ignore=("click",), unmentioned="other")
    expected = StemMap(targets={"bass": ("low*", "b*")}, ignore=("click",), unmentioned="other")
    assert read_stem_map([root, track]) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[targets", r"cannot read stems\.toml in 'set'"),
        pytest.param(
            "targets = " + "[" * 100_000, r"cannot read stems\.toml in 'set': maximum recursion depth", id="nested"
        ),
        ('target = ["a"]', "unknown key 'target'; the keys are ignore, targets, unmentioned"),
        ('unmentioned = "drop"', "unmentioned in stems.toml must be other or refuse, got 'drop'"),
        ('targets = ["a"]', r"\[targets\] in stems\.toml must be a table"),
        ("[targets]\nvocals = 3", "vocals in stems.toml must be a list of globs, got 3"),
        ("[targets]\nvocals = [3]", r"vocals in stems.toml must be a list of globs, got \[3\]"),
        ("ignore = true", "ignore in stems.toml must be a list of globs, got True"),
        ('[targets]\nmixture = ["a"]', "the mixture is the sum of all targets and cannot be one"),
        ('[targets]\nVocals = ["a"]\nvocals = ["b"]', "names the target vocals twice"),
    ],
)
def test_wrong_content_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        read_stem_map([write(tmp_path / "set", text)])
    assert "\n" not in str(raised.value)


def test_a_map_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stems.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ValueError, match=r"cannot read stems\.toml"):
        read_stem_map([tmp_path])


def test_names_are_compared_without_case_and_with_any_accents() -> None:
    assert normal_name("STRAßE Cafe\N{COMBINING ACUTE ACCENT}") == normal_name("strasse CAFÉ")
    assert normal_name("vocals") != normal_name("vocal")
