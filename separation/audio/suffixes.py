"""The suffixes of audio files, by which they are found in folders."""

__all__ = ["SUFFIXES"]

#: In lower case. Files are opened by their content, whatever their suffix.
SUFFIXES = frozenset(
    {
        *(".wav", ".wave", ".w64", ".rf64", ".aiff", ".aif", ".aifc", ".caf", ".au", ".snd"),
        *(".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".mkv", ".mka"),
        *(".ac3", ".eac3", ".wma", ".wv", ".tta", ".ape", ".dts", ".mpc", ".tak", ".shn"),
    }
)
