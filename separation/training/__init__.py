"""Training: recipes for Open-Unmix and Demucs, and one training loop for both.

- ``config``           options that all recipes share
- ``recipe``           the interface between a recipe and the trainer
- ``open_unmix``       the Open-Unmix recipe: options and loss
- ``demucs``           the Demucs recipe: options and loss
- ``trainer``          the training loop: steps, epochs, checkpoints
- ``average``          the moving average of the weights
- ``validation``       scores on whole tracks, the best epoch, early stopping
- ``loader``           batches, mixed in the background
- ``run_folder``       the files of a run
- ``tensorboard``      training curves
- ``throughput``       speed and remaining time
- ``distributed``      data-parallel training in several processes
- ``autocast_check``   the precision of training, and detection of CPUs that compute wrongly in half precision
- ``setup``            preparing a run from command-line arguments
"""
