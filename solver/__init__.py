"""Lens Solver's solver: footage in, lens and camera out. It needs no Blender and never imports it."""
