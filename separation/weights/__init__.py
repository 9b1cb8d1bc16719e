"""Model files: their locations, licences and safe reading.

- ``model``        one model: files, sources, licence, architecture
- ``catalogue``    the known models: bundled, released, and the user's own
- ``download``     download and verify
- ``tensorflow``   read TensorFlow checkpoints without TensorFlow
- ``demucs_file``  network descriptions in the files of Demucs v3 and v4
- ``state_dict``   read tensors from safetensors or torch files without executing anything
- ``roformer``     checkpoints of RoFormers with their YAML configurations
- ``openunmix``    folders of upstream's Open-Unmix trainer, read and written
"""
