"""Write both sample tracks to ``assets/samples``, or to another folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.samples.files import write_song
from tools.samples.night_drive import NIGHT_DRIVE
from tools.samples.paper_boats import PAPER_BOATS

SAMPLES = Path(__file__).parents[2] / "assets" / "samples"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.samples", description=__doc__)
    parser.add_argument("--out", type=Path, default=SAMPLES, help="folder to write the tracks to")
    args = parser.parse_args()
    for song in (NIGHT_DRIVE, PAPER_BOATS):
        write_song(song, args.out)


if __name__ == "__main__":
    main()
