"""What a visitor provides: the song, references and estimates, methods and options; refused early if it cannot work."""
