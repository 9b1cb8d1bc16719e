"""Time-frequency processing: the STFT (``stft``), masks (``masks``) and the Wiener filter (``wiener``)."""
