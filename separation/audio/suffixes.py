"""File name suffixes by which audio files are found in folders."""

__all__ = ["SUFFIXES"]

#: In lower case. Files are opened by their content; the suffix does not matter.
SUFFIXES = frozenset(
    {
        *(".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2"),
        *(".m4a", ".m4b", ".mp4", ".aac", ".aiff", ".aif", ".aifc", ".caf", ".au", ".snd"),
        *(".wv", ".tta", ".wma", ".ac3", ".eac3", ".dts", ".thd"),
        *(".webm", ".mkv", ".mka", ".mov", ".avi", ".flv", ".ts"),
    }
)
