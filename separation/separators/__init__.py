"""All separation methods with a common interface, and their registry.

``METHODS`` maps names to methods, and ``create`` builds a separator. Add a custom method to ``METHODS``, or describe
a combination of methods in a TOML file (:mod:`separation.separators.presets`).
"""

from separation.separators.factory import create
from separation.separators.registry import DEFAULT_METHOD, METHODS, Method, find_method

__all__ = ["DEFAULT_METHOD", "METHODS", "Method", "create", "find_method"]
