"""Axes, pixel origin and units of the solver.

Pixel (0, 0) is the top left corner of the top left pixel, so pixel centres lie at +0.5; x runs right, y down. A camera
looks along +z with x right and y down; `cam_from_world` takes a world point into it. Angles are radians; distances are
scene units, metres where the scale is known. Blender's axes and its lens units appear in `operators/build` only.

OpenCV puts the centre of the top left pixel at (0, 0): its coordinates are ours less 0.5.
"""

from __future__ import annotations

OPENCV_OFFSET_PX = 0.5

DEFAULT_SENSOR_WIDTH_MM = 36.0
