"""The names of sources, and the order in which they are listed."""

__all__ = ["ACCOMPANIMENT", "PARTS_OF_OTHER", "SOURCES"]

SOURCES = ("vocals", "drums", "bass", "other")  #: MUSDB18's four targets

ACCOMPANIMENT = "accompaniment"  #: everything but the other sources of a method, in the terms of SiSEC and museval

PARTS_OF_OTHER = ("guitar", "piano")  #: sources of some methods that belong to "other" in MUSDB18
