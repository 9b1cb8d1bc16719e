"""Memory is set by the segment, not by the length of the song. Small networks, real files, real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.separators import METHODS
from tests.separators.helpers import write_tiny

RATE = 4000  # keeps an hour short

#: Separate a file as the command line does, and say how much memory that took beyond what was there before.
CHILD = """
import json, resource, sys
from pathlib import Path
import torch
from separation.pipeline.batch import Job, JobOptions, check_options, separate_song

torch.set_num_threads(1)
song, folder, method, model = sys.argv[1:]
order = JobOptions(method=method, model=model or None, device="cpu")
check_options(order)
warm_up = separate_song(Job(file=Path(song).with_name("warm-up.wav"), folder=Path(folder) / "warm-up", options=order))
assert warm_up.error is None, warm_up.error
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcome = separate_song(Job(file=Path(song), folder=Path(folder) / "stems", options=order))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"error": outcome.error, "before": before / 1024, "peak": peak / 1024, "document": outcome.document}))
"""


def write_noise(path: Path, seconds: float) -> None:
    generator = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", samplerate=RATE, channels=2, subtype="PCM_16") as file:
        for _ in range(round(seconds / 10)):
            file.write(generator.uniform(-0.3, 0.3, (10 * RATE, 2)))


#: The two lengths to compare, in minutes. ICA keeps a million samples, so that its shorter length is 10 minutes.
LONG = {
    "open-unmix": (2, 60),
    "demucs": (2, 60),
    "htdemucs": (2, 10),
    "hpss": (1, 5),
    "ica": (10, 60),
    "mix": (2, 60),
    "spleeter": (2, 60),
    "roformer": (2, 10),
}


@pytest.mark.slow  # up to minutes each; the test below compares shorter lengths
@pytest.mark.parametrize("method", LONG)
def test_long_songs_need_no_more_memory_than_short_ones(method: str, tmp_path: Path) -> None:
    assert_equal_peaks(method, LONG[method], tmp_path)


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    assert_equal_peaks("open-unmix", (2, 4), tmp_path)


def assert_equal_peaks(method: str, minutes: tuple[int, int], tmp_path: Path) -> None:
    """Check that the longer of two songs is separated whole, in at most 5 % more memory than the shorter."""
    model = str(write_tiny(tmp_path / "model", method, sample_rate=RATE)) if METHODS[method].has_model else ""
    write_noise(tmp_path / "warm-up.wav", 10)
    peaks = []
    for length in minutes:
        write_noise(tmp_path / "song.wav", length * 60)
        command = [sys.executable, "-c", CHILD, str(tmp_path / "song.wav"), str(tmp_path / str(length)), method, model]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        report = json.loads(done.stdout)
        assert report["error"] is None
        assert report["document"]["frames"] == length * 60 * RATE
        for path in report["document"]["stems"].values():
            assert soundfile.info(path).frames == length * 60 * RATE
        peaks.append(report["peak"])
    assert peaks[1] < 1.05 * peaks[0]
