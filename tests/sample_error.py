"""Print how far a solve is from the truth of a rendered clip.

    python tests/sample_error.py RECORD.json TRUTH.json

RECORD is what batch.py wrote. TRUTH holds `frames` with `frame`, `focal_px` and Blender's camera
matrix `matrix_world`, and `distortion` with `k1` and `k2`. A solve knows the world up to a
similarity, so positions are compared after the one that fits best.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAMERA_FROM_BLENDER_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Blender's camera looks along -z with y up, the solver's along +z with y down."""


def similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Scale s, rotation R (3, 3) and translation t (3,) with target ~ s R source + t, both (N, 3).

    References
    ----------
    Umeyama, Least-squares estimation of transformation parameters between two point patterns (1991).
    """
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / (a**2).sum())
    return scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0)


def errors(record: dict[str, Any], truth: dict[str, Any]) -> dict[str, float]:
    """Errors of a solve: focal length and path in percent, rotation in degrees, frames not solved."""
    true = {frame["frame"]: frame for frame in truth["frames"]}
    solved = [frame for frame in record["frames"] if frame["solved"] and frame["frame"] in true]
    if len(solved) < 3:
        raise ValueError(f"3 solved frames of the truth's are needed, found {len(solved)}")
    pairs = [(frame, true[frame["frame"]]) for frame in solved]
    focal = np.array([found["focal_px"] / known["focal_px"] - 1 for found, known in pairs])
    cam_from_world = np.array([found["cam_from_world"] for found, _ in pairs])
    centres = -np.einsum("fji,fj->fi", cam_from_world[:, :3, :3], cam_from_world[:, :3, 3])
    world_from_cam = np.array([known["matrix_world"] for _, known in pairs])
    true_centres = world_from_cam[:, :3, 3]
    scale, rotation, translation = similarity(centres, true_centres)
    off = np.linalg.norm(scale * centres @ rotation.T + translation - true_centres, axis=1)
    travelled = np.linalg.norm(np.diff(true_centres, axis=0), axis=1).sum()
    true_rotations = CAMERA_FROM_BLENDER_CAMERA @ world_from_cam[:, :3, :3].transpose(0, 2, 1)
    relative = cam_from_world[:, :3, :3] @ rotation.T @ true_rotations.transpose(0, 2, 1)
    cosine = np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)
    return {
        "focal_percent": float(np.median(np.abs(focal)) * 100),
        "path_percent": float(np.sqrt((off**2).mean()) / travelled * 100),
        "rotation_deg": float(np.rad2deg(np.sqrt((np.arccos(cosine) ** 2).mean()))),
        "k1": record["lens"]["k1"] - truth["distortion"]["k1"],
        "k2": record["lens"]["k2"] - truth["distortion"]["k2"],
        "frames_missing": float(len(true) - len(solved)),
    }


def main() -> int:
    record, truth = (json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:3])
    if not record["frames"]:
        print("Not solved:", *record["reasons"])
        return 1
    found = errors(record, truth)
    print("Error against the clip's truth:")
    print(f"  focal length    {found['focal_percent']:.3f} %")
    print(f"  camera path     {found['path_percent']:.3f} % of the distance travelled")
    print(f"  rotation        {found['rotation_deg']:.4f} degrees")
    print(f"  distortion      k1 {found['k1']:+.4f}, k2 {found['k2']:+.4f}")
    print(f"  frames missing  {found['frames_missing']:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
