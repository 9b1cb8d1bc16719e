"""The names of sources, and the order in which they are listed."""

__all__ = ["SOURCES"]

SOURCES = ("vocals", "drums", "bass", "other")  #: MUSDB18's four targets
