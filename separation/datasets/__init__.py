"""Multitrack data sets and training mixtures.

- ``musdb18``        MUSDB18 and MUSDB18-HQ
- ``stem_folders``   folders of ``<track>/<source>.wav``
- ``stem_files``     the search for stem files in a track's folder
- ``stem_map``       ``stems.toml``, which maps files to targets
- ``stem_audio``     checking and reading of stem files
- ``dataset``        opening a data set of any kind by its root folder
- ``store``          tracks decoded once into a memory-mapped file
- ``excerpts``       many excerpts of the store's samples at once
- ``mix_config``     options of the training mixtures
- ``sampler``        random training mixtures from the store
- ``augmentation``   the augmentations that the sampler applies
"""
