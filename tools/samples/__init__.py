"""Synthesises Stemscope's two sample tracks: ``python -m tools.samples`` (``make samples``).

- ``night-drive``: synth-pop at 112 bpm in A minor. A female voice over four-on-the-floor
  drums, a driving synth bass, pads and an arpeggio.
- ``paper-boats``: a slow 6/8 ballad in D major. A male voice over brushed drums, a round
  electric bass, a picked steel-string guitar (two takes) and a soft organ with strings.

Each folder in ``assets/samples`` gets ``vocals``, ``drums``, ``bass`` and ``other`` as Ogg Vorbis, ``mixture.flac``
and ``track.json``. The mixture is the sum of the stems *as decoded from the written files*,
rounded to 16 bit, so the stems are exact references for it.

The package uses no recordings or sample libraries: drums are shaped sines and noise, strings are
Karplus-Strong loops, and the voices are a Liljencrants-Fant glottal pulse filtered by a
cascade of moving formant resonators. Every random number comes from ``SEED``; the same
library versions write the same bytes.

- ``signals``      notes, envelopes, oscillators, filters
- ``mixing``       stereo placement, reverberation, delay, compression, levels
- ``drums``        drums and percussion
- ``instruments``  basses, guitar, organ, strings, pads
- ``singers``      vocal tracts, consonants, syllables
- ``voice``        the singing voice
- ``files``        writing a song
- ``night_drive``, ``paper_boats``  the songs

The music, the audio and this package are dedicated to the public domain (CC0 1.0).
"""
