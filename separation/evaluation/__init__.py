"""Evaluation of separated stems.

- ``metrics``        the names of all metrics and their units
- ``bss_eval``       SDR, ISR, SIR and SAR (BSSEval v4), as museval computes them; ``projection`` fits their filters
- ``whole_track``    uSDR and SI-SDR; ``spectral_scores`` and ``log_wmse`` the ``extra_scores``
- ``mask_scores``    precision and recall of time-frequency masks
- ``verification``   the scores of a track compared with museval's own
- ``track_scores``   all scores of one track
- ``signals``        signals that are read in blocks; ``spectra`` sums over their frames
- ``folder_scores``  a folder of stems against a folder of the true sources
- ``file_signals``   audio files read in blocks while they are scored
- ``evaluate``       separating and scoring a whole data set
- ``museval_json``   scores on disk, in museval's format
- ``statistics``     confidence intervals and significance tests
- ``comparison``     methods compared per target
- ``published``      scores published by others
"""
