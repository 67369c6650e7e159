"""The tab "Lens Solver" in the sidebars of the 3D viewport and the clip editor."""

from __future__ import annotations


def register() -> None:
    """Register the panels."""
    import bpy

    from . import sidebar

    for cls in sidebar.classes:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the panels."""
    import bpy

    from . import sidebar

    for cls in reversed(sidebar.classes):
        bpy.utils.unregister_class(cls)
