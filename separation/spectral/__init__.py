"""Time-frequency processing: the STFT (``stft``), masks (``masks``), the Wiener filter (``wiener``), the mel scale (``mel``)."""
