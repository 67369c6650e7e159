"""Make docs/result.jpg: the tracks of the solved sample clip, and something put into three of its frames.

    python3.11 run.py solve && .venv/bin/python docs/render_result.py

A pawn stands on the courtyard's floor. The floor is the plane that most of the solved points below the camera lie on;
camera, lens and points are those of out/sample.blend, as an artist opens it. Each frame is undistorted with the solved
lens, and Cycles' picture of the pawn and of its shadow is laid over it. Only the sun's direction is told.
"""

from __future__ import annotations

import json
import tempfile
from math import radians
from pathlib import Path
from typing import Any

import av
import bpy
import cv2
import numpy as np
from mathutils import Euler, Matrix, Vector
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "out"
SAMPLE = ROOT / "tests" / "data" / "sample"
FRAMES = (1, 30, 60)
CLICKED_FRAME, CLICKED_PIXEL = 30, (305.0, 313.0)
"""Where on the undistorted frame the pawn is put."""
TILE_FRAME = 3
"""The overlay sheet's tile for the fourth picture, counted from 0."""
TALL = 0.4
"""Height of the pawn over the camera's height above the floor."""
SUN = Euler((radians(47), 0.0, radians(38)))
PROFILE = (
    *((0.0, 0.0), (0.23, 0.0), (0.25, 0.05), (0.22, 0.11), (0.15, 0.17), (0.1, 0.34), (0.075, 0.56), (0.15, 0.6)),
    *((0.15, 0.63), (0.08, 0.66), (0.135, 0.72), (0.165, 0.81), (0.145, 0.9), (0.085, 0.97), (0.0, 1.0)),
)
"""Half the pawn's outline: radius and height."""


def pictures() -> dict[int, NDArray[np.uint8]]:
    """The frames of the clip by number, blue first."""
    with av.open(str(SAMPLE / "sample.mp4")) as container:
        frames = enumerate(container.decode(video=0), 1)
        return {number: frame.to_ndarray(format="bgr24").astype(np.uint8) for number, frame in frames}


def undistorted(picture: NDArray[np.uint8], lens: dict[str, Any]) -> NDArray[np.uint8]:
    """The picture that a lens without distortion would have made."""
    height, width = picture.shape[:2]
    focal, (cx, cy) = lens["focal_px"], lens["principal_point_px"]
    y, x = np.mgrid[0:height, 0:width] + 0.5
    x, y = (x - width / 2) / focal, (y - height / 2) / focal
    r2 = x**2 + y**2
    bend = 1 + lens["k1"] * r2 + lens["k2"] * r2**2 + lens["k3"] * r2**3
    u, v = x * bend * focal + cx - 0.5, y * bend * focal + cy - 0.5
    return cv2.remap(picture, u.astype(np.float32), v.astype(np.float32), cv2.INTER_CUBIC)


def find_floor(points: NDArray[np.float64], up: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Unit normal n and offset d, n x = d, of the plane across `up` (to 25 degrees) near which most points lie."""
    rng = np.random.default_rng(0)
    near = 0.01 * float(np.linalg.norm(np.std(points, axis=0)))
    best, best_count = (up, 0.0), 0
    for _ in range(20_000):
        a, b, c = points[rng.choice(len(points), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length < 1e-9:
            continue
        normal = normal / length * np.sign(normal @ up)
        count = int((np.abs((points - a) @ normal) < near).sum()) if normal @ up > np.cos(radians(25)) else 0
        if count > best_count:
            best, best_count = (normal, float(a @ normal)), count
    members = points[np.abs(points @ best[0] - best[1]) < near]
    centre = members.mean(axis=0)
    normal = np.linalg.svd(members - centre)[2][2]
    normal = normal * np.sign(normal @ up)
    return normal, float(normal @ centre)


def material(name: str, colour: tuple[float, float, float, float], roughness: float) -> Any:
    """A plain glossy surface."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    shader = made.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value, shader.inputs["Roughness"].default_value = colour, roughness
    shader.inputs["Coat Weight"].default_value = 0.6
    return made


def make_pawn(height: float) -> Any:
    """A pawn that stands on its origin."""
    sides = 64
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    vertices = [
        (r * height * np.cos(a), r * height * np.sin(a), z * height) for r, z in PROFILE for a in angles
    ]  # a ring for each point of the outline
    faces = [
        (i * sides + j, i * sides + (j + 1) % sides, (i + 1) * sides + (j + 1) % sides, (i + 1) * sides + j)
        for i in range(len(PROFILE) - 1)
        for j in range(sides)
    ]
    mesh = bpy.data.meshes.new("pawn")
    mesh.from_pydata(vertices, [], faces)
    mesh.materials.append(material("pawn", (0.13, 0.02, 0.24, 1.0), 0.25))
    mesh.shade_smooth()
    pawn = bpy.data.objects.new("pawn", mesh)
    pawn.modifiers.new("smooth", "SUBSURF").render_levels = 2
    bpy.context.scene.collection.objects.link(pawn)
    return pawn


def stand(scene: Any) -> None:
    """Put the pawn, a floor that only catches its shadow, the sun and the sky into the solved scene."""
    camera = scene.camera
    mesh = next(shape for shape in scene.objects if shape.type == "MESH")
    points = np.empty(3 * len(mesh.data.vertices))
    mesh.data.vertices.foreach_get("co", points)
    scene.frame_set(CLICKED_FRAME)
    eye = np.array(camera.matrix_world.translation)
    up = np.array(camera.matrix_world.col[1].xyz)
    points = points.reshape(-1, 3)
    normal, offset = find_floor(points[(points - eye) @ up < 0], up)
    width, height = scene.render.resolution_x, scene.render.resolution_y
    focal = camera.data.lens / camera.data.sensor_width * width
    ray = Vector((CLICKED_PIXEL[0] - width / 2, height / 2 - CLICKED_PIXEL[1], -focal))
    direction = np.array(camera.matrix_world.to_3x3() @ ray)
    above = float(normal @ eye - offset)
    place = Vector((eye - direction * above / float(normal @ direction)).tolist())
    turn = Vector(normal.tolist()).to_track_quat("Z", "Y")

    pawn = make_pawn(TALL * above)
    pawn.matrix_world = Matrix.LocRotScale(place, turn, None)
    catcher = bpy.data.meshes.new("floor")
    side = 3 * above
    catcher.from_pydata([(-side, -side, 0), (side, -side, 0), (side, side, 0), (-side, side, 0)], [], [(0, 1, 2, 3)])
    floor = bpy.data.objects.new("floor", catcher)
    scene.collection.objects.link(floor)
    floor.matrix_world = pawn.matrix_world
    floor.is_shadow_catcher = True

    truth = json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))
    true = Matrix(truth["frames"][CLICKED_FRAME - 1]["matrix_world"]).to_3x3()
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.color, light.angle = 4.6, (1.0, 0.9, 0.74), radians(0.8)
    sun = bpy.data.objects.new("sun", light)
    scene.collection.objects.link(sun)
    sun.matrix_world = (camera.matrix_world.to_3x3() @ true.inverted() @ SUN.to_matrix()).to_4x4()
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    background = scene.world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value, background.inputs["Strength"].default_value = (0.33, 0.55, 0.83, 1), 0.85
    mesh.hide_render = True


def render(scene: Any, frame: int, folder: Path) -> NDArray[np.float32]:
    """Blue, green, red and alpha, 0 to 1, of what was put in."""
    scene.frame_set(frame)
    scene.render.filepath = str(folder / f"{frame}.png")
    bpy.ops.render.render(write_still=True)
    picture = cv2.imread(scene.render.filepath, cv2.IMREAD_UNCHANGED).astype(np.float32) / 255
    picture[..., :3] *= picture[..., 3:]  # PNG's colours are not multiplied by its alpha
    return picture


def main() -> None:
    record = json.loads((OUT / "sample.json").read_text(encoding="utf-8"))
    bpy.ops.wm.open_mainfile(filepath=str(OUT / "sample.blend"))
    scene = bpy.context.scene
    stand(scene)
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 96, False
    scene.render.film_transparent = True
    scene.render.use_compositing = scene.render.use_sequencer = False
    scene.view_settings.look, scene.view_settings.exposure = "AgX - Medium High Contrast", 0.25
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    plates = pictures()
    height, width = plates[1].shape[:2]

    sheet = cv2.imread(str(OUT / "sample_overlay.png"))
    # the sheet as `solver.overlay` lays it out: a header, then three tiles a row
    tile_width = (sheet.shape[1] - 4 * 8) // 3
    tile_height = round(height * tile_width / width)
    row, column = divmod(TILE_FRAME, 3)
    top, left = 74 + row * (tile_height + 8), 8 + column * (tile_width + 8)
    tile = cv2.resize(sheet[top : top + tile_height, left : left + tile_width], (width, height))
    panels = [tile]
    with tempfile.TemporaryDirectory() as folder:
        for frame in FRAMES:
            made = render(scene, frame, Path(folder))
            plate = undistorted(plates[frame], record["lens"]).astype(np.float32)
            mixed = plate * (1 - made[..., 3:]) + 255 * made[..., :3]
            panels.append(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
    gap = 4
    framed = [cv2.copyMakeBorder(panel, 0, gap, 0, gap, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for panel in panels]
    whole = np.vstack([np.hstack(framed[:2]), np.hstack(framed[2:])])[:-gap, :-gap]
    cv2.imwrite(str(ROOT / "docs" / "result.jpg"), whole, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
