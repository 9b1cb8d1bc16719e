"""A visitor's input: song, references, estimates, methods and options; refused early if unusable."""
