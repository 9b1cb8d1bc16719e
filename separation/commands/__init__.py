"""The commands of ``python -m separation``, a module each."""
