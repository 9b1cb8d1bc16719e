"""Separate an audio file into a folder of stems, and many files in one run.

- ``run``            running a separator on audio of any sample rate, channel count and length
- ``to_folder``      writing stems to disk as they are computed
- ``atomic_folder``  replacing a folder in one step, without losing other files in it
- ``ownership``      which files in a folder belong to which result
- ``result``         progress, result and ``result.json``
- ``consistency``    the residual, and stems that sum to the mixture
- ``batch``          separating many songs, in turn, in several processes or on a cluster
"""
