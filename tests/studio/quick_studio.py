"""The studio as app.py starts it, but made for tests that click much and read no scores.

BSSEval fits filters of 16 taps instead of 512, which takes no time instead of seconds per method; tests/evaluation
compares the scores of 512 with museval. The page asks more often how its job is doing, and downloads are tried once.
"""

from separation.evaluation import projection
from separation.studio.app import launch
from separation.studio.pages import job_control
from separation.weights import download

projection.TAPS = 16
job_control.POLL_SECONDS = 0.3
download.ATTEMPTS = 1

if __name__ == "__main__":
    launch()
