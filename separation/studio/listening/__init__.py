"""Blind listening tests, and the agreement of their ratings with the metrics."""
