"""Evaluation of separated stems.

- ``bss_eval``       SDR, ISR, SIR and SAR (BSSEval v4), as museval computes them
- ``mask_scores``    precision and recall of time-frequency masks
- ``track_scores``   all scores of one track
- ``folder_scores``  a folder of stems against a folder of the true sources
- ``file_signals``   audio files read in blocks while they are scored
- ``evaluate``       separating and scoring a whole data set
- ``museval_json``   scores on disk, in museval's format
- ``statistics``     confidence intervals and significance tests
- ``comparison``     methods compared per target
- ``published``      scores published by others
"""
