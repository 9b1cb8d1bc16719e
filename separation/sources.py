"""The names of sources, and the order in which they are listed."""

__all__ = ["ACCOMPANIMENT", "PARTS_OF_OTHER", "SOURCES", "is_rest", "missing_source", "rest_of"]

SOURCES = ("vocals", "drums", "bass", "other")  #: MUSDB18's four targets

ACCOMPANIMENT = "accompaniment"  #: the sum of all sources that are not listed separately, as in SiSEC and museval

PARTS_OF_OTHER = ("piano", "guitar")  #: sources of some methods that belong to "other" in MUSDB18


def rest_of(source: str) -> str:
    """Return the name of the stem with everything except a source, such as "instrumental" or "no_drums"."""
    names = {"vocals": "instrumental", ACCOMPANIMENT: "vocals"}
    return names.get(source, f"no_{source}")


def is_rest(name: str) -> bool:
    """Return whether a stem of that name holds the rest of the mixture, that is, all that is in no other stem."""
    return name in (ACCOMPANIMENT, "instrumental") or name.startswith("no_")


def missing_source(rest: str) -> str:
    """Return the source that a stem with the rest of the mixture does not hold: "drums" for "no_drums"."""
    return "vocals" if rest in (ACCOMPANIMENT, "instrumental") else rest.removeprefix("no_")
