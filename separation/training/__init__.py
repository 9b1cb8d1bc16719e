"""Training: recipes for Open-Unmix and Demucs, and one loop for both.

``config`` and the recipes' own dataclasses hold every number, ``open_unmix`` and ``demucs`` the losses,
``loop`` the steps, ``run_folder`` what is left on disk, ``distributed`` what several processes share,
``start`` puts them together.
"""
