"""Every separation method behind one interface, and the registry of their names.

``METHODS`` maps names to methods, and ``create`` builds a separator. Add a custom method to ``METHODS``.
"""

from separation.separators.registry import METHODS, Method, create

__all__ = ["METHODS", "Method", "create"]
