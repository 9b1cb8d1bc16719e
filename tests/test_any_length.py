"""Memory is set by the segment: an hour takes no more than two minutes. Small networks, real files, real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.separators import METHODS
from tests.separators.test_registry import write_tiny

RATE = 4000  # an hour is soon done

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
warm_up = separate_song(Job(file=Path(song).with_name("warm-up.wav"), folder=Path(folder) / "warm-up", order=order))
assert warm_up.error is None, warm_up.error
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcome = separate_song(Job(file=Path(song), folder=Path(folder) / "stems", order=order))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"error": outcome.error, "before": before / 1024, "peak": peak / 1024, "document": outcome.document}))
"""


def write_noise(path: Path, seconds: float) -> None:
    generator = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", samplerate=RATE, channels=2, subtype="PCM_16") as file:
        for _ in range(round(seconds / 10)):
            file.write(generator.uniform(-0.3, 0.3, (10 * RATE, 2)))


#: Minutes. ICA looks at a million samples from all over, for which it reads everything once; medians are slow.
LENGTHS = {"open-unmix": (2, 60), "demucs": (2, 60), "hpss": (1, 5), "ica": (10, 60), "mix": (2, 60)}


@pytest.mark.parametrize("method", LENGTHS)
def test_an_hour_takes_no_more_memory_than_two_minutes(method: str, tmp_path: Path) -> None:
    model = str(write_tiny(tmp_path / "model", method, sample_rate=RATE)) if METHODS[method].has_model else ""
    write_noise(tmp_path / "warm-up.wav", 10)
    peaks = []
    for length in LENGTHS[method]:
        write_noise(tmp_path / "song.wav", length * 60)
        command = [sys.executable, "-c", CHILD, str(tmp_path / "song.wav"), str(tmp_path / str(length)), method, model]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said = json.loads(done.stdout)
        assert said["error"] is None
        assert said["document"]["frames"] == length * 60 * RATE
        for path in said["document"]["stems"].values():
            assert soundfile.info(path).frames == length * 60 * RATE
        peaks.append(said["peak"])
    assert peaks[1] < 1.05 * peaks[0]
