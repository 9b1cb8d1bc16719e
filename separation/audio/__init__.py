"""Audio in memory and in files.

- ``signal``         signals that are read in blocks: the protocols, and audio in memory
- ``files``          an audio file read into memory (`read`) or decoded to disk (`Recording`)
- ``decoding``       opening any audio file safely: libsndfile first (``decode_sndfile``), else PyAV (``decode_pyav``)
- ``stream``         an open file as a stream of decoded blocks
- ``ogg``            the pages and chained streams of Ogg files
- ``core_audio``     the channel layouts of QuickTime, CAF and AIFF files
- ``integrity``      detection of truncated and unfinished files
- ``losses``         gaps in damaged files: counted, filled with silence and reported
- ``limits``         limits on untrusted files, enforced while decoding
- ``blocks``         reading a signal block by block, or zero-padded beyond its ends
- ``resampling``     sample-rate conversion of exact length
- ``speakers``       names and down-mix gains of the channels of a file
- ``channels``       down-mixing
- ``encoding``       stems written to WAV, FLAC, MP3 and Ogg
- ``stem_mp4``       Native Instruments' stem files, in which MUSDB18 is distributed
"""
