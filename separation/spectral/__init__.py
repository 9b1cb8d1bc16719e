"""Time-frequency processing: STFT (``stft``), masks (``masks``), Wiener filter (``wiener``), mel scale (``mel``)."""
