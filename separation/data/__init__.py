"""Multitracks: MUSDB18 and plain folders, decoded once into a store, cut, changed and mixed into batches."""
