"""Parallel execution: ``threads`` in this process, ``executor`` for processes and dask, ``devices`` for GPUs."""
