"""The networks: torch modules and nothing else.

Loading weights is the business of :mod:`separation.checkpoints`, separating a
song that of :mod:`separation.separators`.
"""
