"""Lens models: from rays to pixels and back."""

from .base import LensModel
from .brown_conrady import BrownConradyLens

__all__ = ["BrownConradyLens", "LensModel"]
