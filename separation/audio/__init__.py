"""Audio in memory and in files.

- ``signal``         signals that are read in blocks: the protocols, and audio in memory
- ``files``          an audio file read into memory (`read`) or decoded to disk (`Recording`)
- ``decoding``       opens any audio file safely: libsndfile first (``decode_sndfile``), else PyAV (``decode_pyav``)
- ``stream``         an open file as a stream of decoded blocks
- ``ogg``            Ogg files: their pages, and the streams that follow one another in them
- ``core_audio``     the channel layouts of QuickTime, CAF and AIFF files
- ``integrity``      whether a file is truncated or was never finished
- ``losses``         what is lost of a damaged file while it is decoded
- ``limits``         limits on untrusted files, enforced while decoding
- ``blocks``         a signal block by block, and padded beyond its ends
- ``resampling``     sample-rate conversion of exact length
- ``speakers``       what the channels of a file are
- ``channels``       down-mixing
- ``encoding``       stems written to WAV, FLAC, MP3 and Ogg
- ``stem_mp4``       Native Instruments' stem files
"""
