"""How well a mixture was taken apart: the field's metrics, exact and fast."""
