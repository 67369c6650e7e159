"""Lens Solver: what the real camera did, from the footage alone."""

# Nothing is imported at module level: tests collect this file where bpy is absent, and enabling the add-on stays fast.


def register() -> None:
    """Register everything with Blender."""
    from . import operators, panels

    operators.register()
    panels.register()


def unregister() -> None:
    """Take everything away again, in reverse order."""
    from . import operators, panels

    panels.unregister()
    operators.unregister()
