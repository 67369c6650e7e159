"""What Blender runs: settings, operators, the command line.

Nothing is imported here: the command line uses `operators.command_line` without Blender until it builds a scene.
"""

from __future__ import annotations

from typing import Any

_unregister: list[Any] = []


def register() -> None:
    """Register classes, the settings and the command."""
    import bpy

    from . import command_line, footage, result_properties, settings, solve

    for cls in (*result_properties.classes, *settings.classes, *footage.classes, *solve.classes):
        bpy.utils.register_class(cls)
        _unregister.append(lambda cls=cls: bpy.utils.unregister_class(cls))
    settings.register_pointers()
    _unregister.append(settings.unregister_pointers)
    command = command_line.register_command()
    _unregister.append(lambda: command_line.unregister_command(command))


def unregister() -> None:
    """Take everything away in reverse order; work that runs is stopped first."""
    from . import job

    job.stop_all()
    while _unregister:
        _unregister.pop()()
