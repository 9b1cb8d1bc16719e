"""The commands of ``stemscope``, one module each."""
