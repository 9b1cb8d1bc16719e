"""Multitrack data sets and training mixtures.

- ``musdb18``        MUSDB18 and MUSDB18-HQ
- ``stem_folders``   folders of ``<track>/<source>.wav``
- ``dataset``        either of them, opened by its root folder
- ``store``          tracks decoded once into a memory-mapped file
- ``mix_config``     options of the training mixtures
- ``sampler``        random training mixtures from the store
- ``augmentation``   the augmentations that the sampler applies
"""
