"""Blind listening tests, and how their ratings agree with the metrics."""
