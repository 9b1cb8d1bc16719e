"""Training: for now the plain script behind the first bundled models."""
