"""Training: recipes for Open-Unmix and Demucs, and one training loop for both.

- ``config``           options that all recipes share; ``open_unmix`` and ``demucs`` add theirs and the losses
- ``recipe``           the interface of a recipe
- ``trainer``          the loop: steps, validation, checkpoints
- ``loader``           batches, prepared in the background
- ``run_folder``       the files of a run
- ``tensorboard``      training curves
- ``throughput``       speed and remaining time
- ``distributed``      several processes
- ``autocast_check``   detects CPUs that compute wrongly in low precision
- ``setup``            builds a trainer from the command line's options
"""
