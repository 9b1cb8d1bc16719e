"""Separate an audio file into a folder of stems, and many files in one run.

- ``run``            a separator on audio of any sample rate, channel count and length
- ``to_folder``      stems written to disk as they are computed
- ``atomic_folder``  a folder that is replaced in one step and keeps the files of others
- ``ownership``      which files in a folder belong to which result
- ``result``         progress, result and ``result.json``
- ``consistency``    the residual, and stems that sum to the mixture
- ``batch``          many songs, one after the other, in processes or on a cluster
"""
