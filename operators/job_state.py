"""What the panels show of the work that runs: kept in memory, in no file.

Blender 4.2 keeps a property's `get` function for ever, and with it the globals of its module. So these functions have a
module of their own, without bpy: held by them, the bpy wheel would end with a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The work on a scene.

    Attributes
    ----------
    running : bool
    fraction : float, 0 to 1
    message : str
        The stage the work is at.
    failure : str
        Why the last attempt failed; empty where it did not.
    """

    running: bool = False
    fraction: float = 0.0
    message: str = ""
    failure: str = ""


IDLE = State()

states: dict[int, State] = {}
"""By the scene's `session_uid`."""


def _state(settings: Any) -> State:
    return states.get(settings.id_data.session_uid, IDLE)


def is_running(settings: Any) -> bool:
    """Whether the scene of the settings is being solved."""
    return _state(settings).running


def fraction(settings: Any) -> float:
    """How much of the work is done."""
    return _state(settings).fraction


def message(settings: Any) -> str:
    """What the work is at."""
    return _state(settings).message


def failure(settings: Any) -> str:
    """Why the last attempt failed."""
    return _state(settings).failure
