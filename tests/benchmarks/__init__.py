"""Side by side with upstream, in one run; ``make benchmarks``."""
