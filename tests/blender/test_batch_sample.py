"""`batch.py` with the real solver on the sample clip, and on what is made of its frames that cannot be solved."""

from __future__ import annotations

import json
from pathlib import Path

import av
import bpy
import cv2
import numpy as np
import pytest
from conftest import ROOT
from test_batch import frames, run

from tests.sample_error import errors

SAMPLE = ROOT / "tests" / "data" / "sample"


def sample_frames() -> list[np.ndarray]:
    with av.open(str(SAMPLE / "sample.mp4")) as container:
        return [frame.to_ndarray(format="gray8") for frame in container.decode(video=0)]


def test_sample_clip_to_scene(tmp_path: Path) -> None:
    ended = run(str(SAMPLE / "sample.mp4"), "--output", str(tmp_path), folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sample.blend", "sample.json", "sample_overlay.png"]
    truth = json.loads((SAMPLE / "truth.json").read_text())
    error = errors(json.loads((tmp_path / "sample.json").read_text()), truth)
    assert error["frames_missing"] == 0 and error["focal_percent"] < 0.3 and error["path_percent"] < 0.05, error

    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "sample.blend"))
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end) == (1, 60)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (640, 360)
    assert scene.camera.data.lens == pytest.approx(35.0, rel=0.003)
    matrices = []
    for frame in range(1, 61):
        scene.frame_set(frame)
        matrices.append(np.array(scene.camera.matrix_world))
    # what Blender shows is what the record says, and so what was compared with the truth
    found, known = np.array(matrices), np.array([frame["matrix_world"] for frame in truth["frames"]])
    path, true_path = (np.linalg.norm(np.diff(m[:, :3, 3], axis=0), axis=1).sum() for m in (found, known))
    steps, true_steps = (np.linalg.norm(m[:, :3, 3] - m[0, :3, 3], axis=1) for m in (found, known))
    np.testing.assert_allclose(steps / path, true_steps / true_path, atol=0.003)


def test_what_cannot_be_solved_leaves_its_reason(tmp_path: Path) -> None:
    pictures = sample_frames()
    rng = np.random.default_rng(0)

    def grainy(picture: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(picture + rng.normal(0, 1.6, picture.shape)), 0, 255).astype(np.uint8)

    shots = {
        "one": (frames(tmp_path / "one", pictures[:1]), "Give the focal length"),
        "two": (frames(tmp_path / "two", pictures[:2]), "2 frames"),
        "grey": (frames(tmp_path / "grey", [grainy(np.full((360, 640), 120)) for _ in range(6)]), "texture"),
        "standing": (frames(tmp_path / "standing", [grainy(pictures[20]) for _ in range(8)]), "still"),
        "cut": (
            frames(tmp_path / "cut", [*pictures[:8], *(cv2.flip(picture, 1) for picture in pictures[40:48])]),
            "between frames 8 and 9",
        ),
    }
    output = tmp_path / "out"
    ended = run(*(footage for footage, _ in shots.values()), "--output", str(output), folder=tmp_path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr and "Internal error" not in ended.stderr, ended.stderr
    assert sorted(path.name for path in output.iterdir()) == sorted(f"{name}.json" for name in shots)
    for name, (_, words) in shots.items():
        record = json.loads((output / f"{name}.json").read_text())
        assert record["status"] == "refused" and record["frames"] == [] and len(record["reasons"]) == 1
        assert words in record["reasons"][0] and record["reasons"][0].endswith(".")
        assert ended.stderr.count(f"{name}: not solved. {record['reasons'][0]}\n") == 1
