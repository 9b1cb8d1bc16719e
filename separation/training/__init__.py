"""Training: recipes for Open-Unmix and Demucs, and one loop for both.

``config`` and the recipes' own dataclasses hold every number, ``open_unmix`` and ``demucs`` the losses,
``loop`` the steps, ``batches`` what they are taken on, ``progress`` how far they are, ``run_folder`` what is
left on disk, ``curves`` what TensorBoard shows, ``distributed`` what several processes share; ``start`` puts
them together.
"""
