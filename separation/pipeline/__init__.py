"""Separate an audio file into a folder of stems, and many files in one run.

- ``run``            running a separator on audio of any sample rate, channel count and length
- ``to_folder``      writing stems to disk as they are computed
- ``atomic_folder``  replacing a folder in one step, without losing other files in it
- ``ownership``      which files in a folder belong to which result
- ``result``         progress, result and ``result.json``
- ``consistency``    the residual, and stems that sum to the mixture
- ``storage``        paths, URLs of shared storage, and songs in memory
- ``staged_folder``  result folders in shared storage
- ``claims``         one machine per result folder at a time
- ``batch``          finding songs, separating one of them, skipping finished ones
- ``many``           separating many songs, in turn, in several processes or on a cluster
"""
