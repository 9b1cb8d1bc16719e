"""Sound in and out: read any file safely, resample, change channels, write stems."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from separation.containers import ends_early, mp3_tells_its_length, peek

__all__ = [
    "FORMATS",
    "MAX_CHANNELS",
    "Audio",
    "AudioError",
    "Resampler",
    "StemWriter",
    "down_mix",
    "read",
    "read_blocks",
    "resample",
]

MAX_CHANNELS = 8
BLOCK = 1 << 16  # frames handled at a time when copying: small enough to forget, large enough to be fast

#: What stems can be written as: the libsndfile format and subtype of each.
FORMATS = {
    "wav": ("WAV", "PCM_24"),
    "flac": ("FLAC", "PCM_24"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}

# Containers that hold sound and cannot name another file to be opened in their place. A
# playlist (HLS, ffconcat, ...) dressed up as song.mp3 would otherwise make the decoder read,
# and the server hand out, any file of the machine it points to.
_LIBSNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3", "CAF", "AU"}
_PYAV_FORMATS = ("mov", "mp4", "matroska", "webm", "aac", "ogg", "mp3", "wav", "flac", "aiff", "caf")


_MALFORMED = 3  # libsndfile's error for a format that it knows and a file that is not right
_UNKNOWN = 2**62  # frames, or more: libsndfile's word for a FLAC that came from a pipe and does not tell

# Names in libsndfile's log of the lengths that a file's header claims.
_CLAIMS = {
    "WAV": {"data"},
    "WAVEX": {"data"},
    "AIFF": {"SSND"},
    "CAF": {"data"},
    "AU": {"Data Size"},
    "W64": {"riff"},
    "RF64": {"Riff size"},
}


class AudioError(ValueError):
    """A file that cannot be used as sound; the message is one sentence for its owner."""


@dataclass(frozen=True, kw_only=True)
class Audio:
    """A piece of sound.

    Attributes
    ----------
    waveform : Tensor, shape (channels, time), float32
        Full scale is +-1; a float file may hold more. Finite, 1 to 8 channels, at least one frame.
    sample_rate : int
        Hz.
    """

    waveform: Tensor
    sample_rate: int

    def __post_init__(self) -> None:
        if self.waveform.dim() != 2 or self.waveform.dtype != torch.float32:
            shape, dtype = tuple(self.waveform.shape), self.waveform.dtype
            raise AudioError(f"expected a float32 waveform of shape (channels, time), got {dtype} {shape}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise AudioError(f"the sound has {self.channels} channels; 1 to {MAX_CHANNELS} are supported")
        if self.frames == 0:
            raise AudioError("there is no sound in it (0 samples)")
        if self.sample_rate <= 0:
            raise AudioError(f"the sample rate must be positive, got {self.sample_rate} Hz")
        if not bool(torch.isfinite(self.waveform).all()):
            count = int((~torch.isfinite(self.waveform)).sum())
            raise AudioError(f"{count} of its samples are NaN or infinite")

    @property
    def channels(self) -> int:
        return self.waveform.shape[0]

    @property
    def frames(self) -> int:
        return self.waveform.shape[1]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate


# -- reading ---------------------------------------------------------------------------------------


def read(path: str | Path, *, start: float = 0.0, duration: float | None = None) -> Audio:
    """Decode a sound file, or an excerpt of it, at its own rate and with its own channels.

    libsndfile reads WAV, AIFF, FLAC, OGG (Vorbis and Opus), MP3, CAF and AU; what it does not
    know goes to PyAV: M4A, AAC, MP4, WebM, Matroska, and MP3 and FLAC files that do not tell their
    length. The suffix is ignored, the content decides.

    Parameters
    ----------
    path : path
        A regular file.
    start, duration : float, seconds
        The excerpt; `duration` beyond the end means up to the end.

    Raises
    ------
    AudioError
        One sentence that names the file: missing, empty, not sound, cut off, NaN or infinite
        samples, more than 8 channels, or an excerpt outside of it.
    """
    path = Path(path)
    if not (start >= 0 and np.isfinite(start)):
        raise AudioError(f"the excerpt must start at 0 s or later, got {start}")
    if duration is not None and not (duration > 0 and np.isfinite(duration)):
        raise AudioError(f"the excerpt must last longer than 0 s, got {duration}")
    try:
        if not path.is_file():
            raise AudioError("no such file" if not path.exists() else "not a file")
        if path.stat().st_size == 0:
            raise AudioError("the file is empty")
        with path.open("rb", buffering=0) as file:
            waveform, rate = _decode(file, start, duration)
        return Audio(waveform=waveform, sample_rate=rate)
    except AudioError as error:
        raise AudioError(f"cannot read {path.name!r}: {error}") from error
    except OSError as error:
        raise AudioError(f"cannot read {path.name!r}: {error.strerror or 'the disk refused'}") from error


def _decode(file: IO[bytes], start: float, duration: float | None) -> tuple[Tensor, int]:
    if ends_early(file):
        raise AudioError("the file is cut off: its last part is not all there")
    try:
        # The descriptor, not the file object: no name to guess a format from, and no way back into
        # Python on which a signal, such as Ctrl-C, would get lost.
        sound = soundfile.SoundFile(file.fileno(), closefd=False)
    except soundfile.LibsndfileError as error:
        if error.code == _MALFORMED and peek(file, 0, 4) == b"caff":  # so it says if a CAF is cut; PyAV would not mind
            raise AudioError("the file is cut off or damaged") from error
        file.seek(0)
        return _decode_with_pyav(file, start, duration)
    with sound:
        if sound.format not in _LIBSNDFILE_FORMATS:
            raise AudioError(f"{sound.format} files are not supported")
        if sound.frames < _UNKNOWN and (sound.format != "MP3" or mp3_tells_its_length(file)):
            _refuse_truncated(sound)
            return _decode_with_libsndfile(sound, start, duration)
    file.seek(0)
    return _decode_with_pyav(file, start, duration)


def _decode_with_libsndfile(sound: soundfile.SoundFile, start: float, duration: float | None) -> tuple[Tensor, int]:
    rate = sound.samplerate
    first = _frames_in(start, rate)
    wanted = sys.maxsize if duration is None else max(1, _frames_in(duration, rate))
    blocks: list[np.ndarray] = []
    held = 0
    try:
        if 0 < sound.frames <= first:
            raise AudioError(f"the excerpt starts at {start:g} s, the sound ends at {sound.frames / rate:.2f} s")
        if first:
            sound.seek(first)
        while held < wanted:  # in blocks: the header may announce more than fits into memory
            block = sound.read(min(BLOCK, wanted - held), dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(block)
            held += len(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"its sound is cut off or damaged ({_sentence(error)})") from error
    expected = min(wanted, sound.frames - first)
    if held < expected:
        raise AudioError(f"the file is cut off: it announces {expected} samples and holds {held}")
    return _joined([block.T for block in blocks], sound.channels), rate


def _frames_in(seconds: float, rate: int) -> int:
    return round(min(seconds * rate, 2.0**62))


def _joined(blocks: list[np.ndarray], channels: int) -> Tensor:
    """Blocks (channels, some time) one after the other."""
    waveform = np.empty((channels, sum(block.shape[1] for block in blocks)), dtype=np.float32)
    if blocks:
        np.concatenate(blocks, axis=1, out=waveform)
    return torch.from_numpy(waveform)


# -- files that end too early ----------------------------------------------------------------------


def _refuse_truncated(sound: soundfile.SoundFile) -> None:
    """libsndfile quietly shortens a file that ends before its header says; only its log tells."""
    for line in sound.extra_info.splitlines():
        name, _, rest = line.strip().partition(":")
        numbers = [int(word) for word in rest.replace("(should be", " ").replace(")", " ").split() if word.isdigit()]
        if name.strip() in _CLAIMS.get(sound.format, ()) and "should be" in rest and len(numbers) == 2:
            claimed, present = numbers
            # A recorder that could not seek back leaves 0 or the largest number it has: no claim, no error.
            unknown = any(largest - 0xFFFF <= claimed <= largest + 1 for largest in (2**31 - 1, 2**32 - 1))
            if present < claimed and not unknown:
                raise AudioError(f"the file is cut off: it announces {claimed} bytes and holds {present}")


# -- what libsndfile does not know -----------------------------------------------------------------


class _Nameless:
    """All of a file that the demuxer gets: with no path, there is none to resolve another one against."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):  # a damaged file leads anywhere
            return -1


def _decode_with_pyav(file: IO[bytes], start: float, duration: float | None) -> tuple[Tensor, int]:
    import av  # slow to import, and seldom needed

    whitelist = {"format_whitelist": ",".join(_PYAV_FORMATS)}
    try:
        with av.open(_Nameless(file), options=whitelist, metadata_errors="replace") as container:
            if not set(container.format.name.split(",")) & set(_PYAV_FORMATS):
                raise AudioError(f"{container.format.name} files are not supported")
            if not container.streams.audio:
                raise AudioError("there is no sound in it")
            return _decode_stream(cast(Any, container), start, duration)
    except av.FFmpegError as error:
        raise AudioError(f"it is not a sound file that can be decoded ({_sentence(error)})") from error


def _decode_stream(container: Any, start: float, duration: float | None) -> tuple[Tensor, int]:
    import av

    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise AudioError("its sound is coded in a way that is not known here")
    rate, channels = stream.rate, stream.channels
    if channels > MAX_CHANNELS:
        raise AudioError(f"the sound has {channels} channels; 1 to {MAX_CHANNELS} are supported")
    first = _frames_in(start, rate)
    last = None if duration is None else first + max(1, _frames_in(duration, rate))
    converter = av.AudioResampler(format="fltp")  # only the number format changes
    blocks: list[np.ndarray] = []
    position = 0
    for frame in _frames(container, stream):
        if frame.sample_rate != rate or frame.layout.nb_channels != channels:
            raise AudioError("its rate or number of channels changes on the way")
        for converted in converter.resample(frame):
            block = converted.to_ndarray()
            begin, end = max(first - position, 0), block.shape[1] if last is None else max(last - position, 0)
            position += block.shape[1]
            if block[:, begin:end].shape[1]:
                blocks.append(block[:, begin:end])
        if last is not None and position >= last:
            break
    if position == 0:
        raise AudioError("there is no sound in it (0 samples)")
    if not blocks:
        raise AudioError(f"the excerpt starts at {start:g} s, the sound ends at {position / rate:.2f} s")
    return _joined(blocks, channels), rate


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames. A raw stream, such as a recorded broadcast, may break off within its last one."""
    import av

    broken: Exception | None = None
    for packet in container.demux(stream):
        if broken is not None and packet.size:
            break
        try:
            yield from packet.decode()
        except av.InvalidDataError as error:
            broken = error
            if container.format.name not in ("aac", "mp3"):
                break
    else:
        return
    raise AudioError("its sound is cut off or damaged") from broken


def _sentence(error: Exception) -> str:
    """What a decoder says, without the file names and addresses some of them add."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or "unknown format"
    return str(text).strip().rstrip(".").lower()


# -- rate and channels -----------------------------------------------------------------------------


class Resampler:
    """A resampler that is fed block by block and ends at an exact length.

    libsoxr at its "very high quality": linear phase, no delay, 145 dB of stop-band rejection.
    """

    def __init__(self, channels: int, from_rate: int, to_rate: int, *, frames: int) -> None:
        """`frames` is the length of everything that will have come out at the end."""
        self.left = frames
        same = from_rate == to_rate
        self._stream = None if same else soxr.ResampleStream(from_rate, to_rate, channels, "float32", "VHQ")

    def __call__(self, block: Tensor, *, last: bool = False) -> Tensor:
        """(channels, time) in, (channels, another time) out; `last` brings out all that remains."""
        if self._stream is not None:
            data = np.ascontiguousarray(block.numpy().T)
            block = torch.from_numpy(self._stream.resample_chunk(data, last=last).T)
        block = block[:, : self.left]
        self.left -= block.shape[1]
        if last and self.left:
            block = torch.nn.functional.pad(block, (0, self.left))
            self.left = 0
        return block


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """(channels, time) -> (channels, ceil(time * to_rate / from_rate)); see :class:`Resampler`."""
    if from_rate == to_rate:
        return waveform
    channels, frames = waveform.shape
    length = -(-frames * to_rate // from_rate)
    return Resampler(channels, from_rate, to_rate, frames=length)(waveform, last=True)


# Gain of each channel in the left and the right one, in the WAVE order of speakers, after
# ITU-R BS.775: centre and surrounds at -3 dB, the low-frequency effects channel left out.
_L, _R, _C, _LFE, _LS, _RS, _BC = (
    (1.0, 0.0),
    (0.0, 1.0),
    (0.5**0.5,) * 2,
    (0.0, 0.0),
    (0.5**0.5, 0.0),
    (0.0, 0.5**0.5),
    (0.5, 0.5),
)
_DOWN_MIX = {
    3: (_L, _R, _C),
    4: (_L, _R, _LS, _RS),
    5: (_L, _R, _C, _LS, _RS),
    6: (_L, _R, _C, _LFE, _LS, _RS),
    7: (_L, _R, _C, _LFE, _BC, _LS, _RS),
    8: (_L, _R, _C, _LFE, _LS, _RS, _LS, _RS),
}


def down_mix(waveform: Tensor) -> Tensor:
    """More than two channels to stereo, as ITU-R BS.775 has it; mono and stereo stay as they are.

    The channels are taken in WAVE order: 3 = L R C, 4 = L R Ls Rs, 5 = L R C Ls Rs,
    6 = 5.1 (L R C LFE Ls Rs), 7 = 6.1, 8 = 7.1. Centre and surrounds enter at -3 dB, LFE is left
    out. The sum is not scaled down: float samples may exceed full scale.
    """
    channels = waveform.shape[0]
    if channels <= 2:
        return waveform
    gains = torch.tensor(_DOWN_MIX[channels], dtype=waveform.dtype, device=waveform.device)
    return gains.T @ waveform


# -- writing ---------------------------------------------------------------------------------------


class StemWriter:
    """Writes stems block by block, all with one gain.

    The blocks go to float files first, since only the end tells whether a fixed-point file
    would clip; :meth:`finish` then writes the final files and removes these.

    Parameters
    ----------
    folder : path
        Exists; receives ``<source>.<format>``.
    sources : sequence of str
        Names of the stems.
    channels, sample_rate : int
        Of every stem.
    format : "wav", "flac", "mp3" or "ogg"
        WAV and FLAC are written with 24 bits.
    float32 : bool
        WAV only: 32-bit float samples, which cannot clip.

    Raises
    ------
    ValueError
        If the format cannot hold this rate, number of channels or float samples.
    """

    def __init__(
        self,
        folder: Path,
        sources: tuple[str, ...],
        *,
        channels: int,
        sample_rate: int,
        format: str = "wav",
        float32: bool = False,
    ) -> None:
        check_format(format, float32=float32, channels=channels, sample_rate=sample_rate)
        self.sample_rate = sample_rate
        self.format = format
        self.float32 = float32
        self.peak = 0.0
        self.paths = {source: folder / f"{source}.{format}" for source in sources}
        self._drafts = {source: folder / f".{source}.draft" for source in sources}
        self._files: dict[str, soundfile.SoundFile] = {}
        try:
            with _disk_errors():
                for source, path in self._drafts.items():
                    self._files[source] = soundfile.SoundFile(
                        path, "w", samplerate=sample_rate, channels=channels, format="W64", subtype="FLOAT"
                    )
        except OSError:
            self.close()
            raise

    def write(self, block: Tensor) -> None:
        """Append (sources, channels, time)."""
        self.peak = max(self.peak, float(block.abs().max()) if block.numel() else 0.0)
        with _disk_errors():
            for file, stem in zip(self._files.values(), block, strict=True):
                file.write(stem.T.contiguous().numpy())

    def finish(self) -> float:
        """Write the final files; returns the gain that all stems share, 1 unless one of them would clip."""
        ceiling = 1 - 2**-15
        gain = 1.0 if self.float32 or self.peak <= ceiling else ceiling / self.peak
        self.close()
        with _disk_errors():
            for source in self.paths:
                self._finish_one(source, gain)
        return gain

    def _finish_one(self, source: str, gain: float) -> None:
        draft = self._drafts[source]
        container, subtype = FORMATS[self.format]
        with (
            soundfile.SoundFile(draft) as reader,
            soundfile.SoundFile(
                self.paths[source],
                "w",
                samplerate=self.sample_rate,
                channels=reader.channels,
                format=container,
                subtype="FLOAT" if self.float32 else subtype,
            ) as writer,
        ):
            for block in reader.blocks(BLOCK, dtype="float32", always_2d=True):
                writer.write(block * np.float32(gain))
        draft.unlink()

    def close(self) -> None:
        """Close the drafts; nothing is lost that was written."""
        with _disk_errors():
            for file in self._files.values():
                file.close()


@contextmanager
def _disk_errors() -> Iterator[None]:
    """soundfile tells a full disk by whatever went wrong next; say it as the system would."""
    try:
        yield
    except (soundfile.SoundFileError, AssertionError) as error:
        raise OSError(errno.ENOSPC, "the stems cannot be written: the disk is full or refuses") from error


def check_format(format: str, *, float32: bool, channels: int, sample_rate: int) -> None:
    """Refuse what a file format cannot hold, before any work is done."""
    if format not in FORMATS:
        raise ValueError(f"stems can be written as {', '.join(FORMATS)}, not as {format!r}")
    if float32 and format != "wav":
        raise ValueError(f"--float32 needs WAV files; {format} holds no float samples")
    if format == "flac" and sample_rate > 655350:
        raise ValueError(f"FLAC holds at most 655350 Hz, the sound has {sample_rate} Hz: choose wav")
    if format == "mp3" and (sample_rate not in _MP3_RATES or channels > 2):
        raise ValueError(
            f"MP3 holds 1 or 2 channels at {_MP3_RATES[0]} to {_MP3_RATES[-1]} Hz, "
            f"the stems have {channels} at {sample_rate} Hz: choose wav or flac"
        )
    if format == "ogg" and not 8000 <= sample_rate <= 192000:
        raise ValueError(f"Ogg Vorbis holds 8000 to 192000 Hz, the sound has {sample_rate} Hz: choose wav or flac")


_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def read_blocks(path: Path) -> Iterator[Tensor]:
    """A file that libsndfile reads, as (channels, time) blocks of at most 65,536 frames."""
    with _disk_errors(), soundfile.SoundFile(path) as file:  # libsndfile may find out only here that one is not whole
        for block in file.blocks(BLOCK, dtype="float32", always_2d=True):
            yield torch.from_numpy(block.T.copy())
