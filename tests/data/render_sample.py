"""Render the sample clip, tests/data/sample/sample.mp4, and the truth about its camera, truth.json beside it.

    .venv/bin/python tests/data/render_sample.py                  the clip again, from nothing
    .venv/bin/python tests/data/render_sample.py --still 30 F.png one frame, to look at

A courtyard in the sun, built here from boxes, cylinders and balls with procedural surfaces, filmed by a camera that
somebody carries: 60 frames of 640 x 360, a 35 mm lens on a 36 mm sensor, with exactly the barrel distortion k1, k2 of
Brown and Conrady (distorted = undistorted (1 + k1 r^2 + k2 r^4), on x/z and y/z). Cycles renders a picture without
distortion, wider than the frame and twice as fine; it is bent and reduced here, so that the truth is exact. Then the
grain of a small sensor is added. Seven minutes of one core; the same picture every time on the same machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from fractions import Fraction
from math import cos, pi, radians, sin
from pathlib import Path
from typing import Any

import av
import bpy
import cv2
import numpy as np
from mathutils import Matrix, Quaternion, Vector
from numpy.typing import NDArray

SIZE = (640, 360)
FRAMES = 60
FRAME_RATE = 24
SENSOR_WIDTH_MM = 36.0
FOCAL_MM = 35.0
K1, K2 = -0.06, 0.012

FINE = 2
"""Rendered pixels for each of the clip's, in each direction."""
MARGIN = 24
"""Pixels of the clip that are rendered beyond each edge: barrel distortion pulls them in."""
SAMPLES = 3
GRAIN = 1.6
"""Standard deviation of the grain, of 255."""

FOLDER = Path(__file__).resolve().parent / "sample"
FOCAL_PX = FOCAL_MM / SENSOR_WIDTH_MM * SIZE[0]


# --- surfaces ---------------------------------------------------------------------------------------


class Surface:
    """A material whose colour is made of Blender's texture nodes, placed in metres on the object."""

    def __init__(self, name: str, roughness: float = 0.8) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.shader = self.tree.nodes["Principled BSDF"]
        self.shader.inputs["Roughness"].default_value = roughness
        self.place = self.tree.nodes.new("ShaderNodeTexCoord").outputs["Object"]

    def node(self, kind: str, **inputs: Any) -> Any:
        """A node with its inputs set or linked, by name."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in inputs.items():
            self.give(node.inputs[name], value)
        return node

    def give(self, socket: Any, value: Any) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = value

    def noise(self, scale: float, detail: float = 3.0) -> Any:
        """Grey noise, 0 to 1, most of it near a half."""
        return self.node("TexNoise", Vector=self.place, Scale=scale, Detail=detail, Roughness=0.65).outputs["Fac"]

    def mix(self, share: Any, a: Any, b: Any, how: str = "MIX") -> Any:
        """Mix two colours."""
        node = self.tree.nodes.new("ShaderNodeMix")
        node.data_type, node.blend_type = "RGBA", how
        self.give(node.inputs["Factor"], share)
        self.give(node.inputs[6], a)
        self.give(node.inputs[7], b)
        return node.outputs[2]

    def between(self, value: Any, low: float, high: float) -> Any:
        """Stretch low..high of a grey value to 0..1."""
        node = self.node("MapRange", Value=value)
        node.inputs["From Min"].default_value, node.inputs["From Max"].default_value = low, high
        return node.outputs["Result"]

    def finish(self, colour: Any) -> bpy.types.Material:
        self.give(self.shader.inputs["Base Color"], colour)
        return self.material


def rgb(code: str) -> tuple[float, float, float, float]:
    """A colour of the web as Blender's linear light."""
    values = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return red, green, blue, 1.0


def weathered(surface: Surface, colour: Any, strength: float = 0.8) -> bpy.types.Material:
    """Stains and fine dirt over a colour: without them a wall has nothing to follow between its joints."""
    stains = surface.between(surface.noise(2.2, 3.0), 0.34, 0.62)
    dirt = surface.between(surface.noise(17.0, 2.0), 0.36, 0.62)
    dark = surface.mix(strength * 0.7, rgb("ffffff"), surface.mix(stains, rgb("8d7a66"), rgb("ffffff")))
    fine = surface.mix(strength, rgb("ffffff"), surface.mix(dirt, rgb("6a5a4c"), rgb("ffffff")))
    return surface.finish(surface.mix(1.0, surface.mix(1.0, colour, dark, "MULTIPLY"), fine, "MULTIPLY"))


def masonry(name: str, a: str, b: str, joint: str, width: float, height: float, shift: float = 0.5) -> Any:
    """Bricks or tiles of two colours, on the object's x and y."""
    surface = Surface(name)
    node = surface.node(
        "TexBrick", Vector=surface.place, Color1=rgb(a), Color2=rgb(b), Mortar=rgb(joint), Scale=1.0, Bias=0.0
    )
    node.inputs["Mortar Size"].default_value = 0.035 * height
    node.inputs["Brick Width"].default_value, node.inputs["Row Height"].default_value = width, height
    node.offset = shift
    return weathered(surface, node.outputs["Color"])


def tiles(name: str, a: str, b: str, joint: str, side: float) -> Any:
    """A chequered floor with joints."""
    surface = Surface(name, roughness=0.6)
    checker = surface.node("TexChecker", Vector=surface.place, Color1=rgb(a), Color2=rgb(b), Scale=1 / side)
    joints = surface.node("TexBrick", Vector=surface.place, Color1=rgb("ffffff"), Color2=rgb("d8d0c8"), Scale=1.0)
    joints.inputs["Mortar"].default_value = rgb(joint)
    joints.inputs["Mortar Size"].default_value = 0.02 * side
    joints.inputs["Brick Width"].default_value = joints.inputs["Row Height"].default_value = side
    joints.offset = 0.0
    return weathered(surface, surface.mix(1.0, checker.outputs["Color"], joints.outputs["Color"], "MULTIPLY"))


def planks(name: str, a: str, b: str, width: float) -> Any:
    """Boards along the object's z, with grain."""
    surface = Surface(name, roughness=0.7)
    stretched = surface.node("Mapping", Vector=surface.place, Scale=(1.0, 1.0, 0.12)).outputs["Vector"]
    grain = surface.node("TexNoise", Vector=stretched, Scale=26.0, Detail=2.0, Roughness=0.6).outputs["Fac"]
    wood = surface.mix(surface.between(grain, 0.35, 0.65), rgb(a), rgb(b))
    bands = surface.node("TexWave", Vector=surface.place, Scale=pi / (10 * width), Distortion=0.0)
    gap = surface.between(bands.outputs["Fac"], 0.0, 0.06)
    return weathered(surface, surface.mix(gap, rgb("2a1f18"), wood), 0.5)


def mottled(name: str, a: str, b: str, scale: float, strength: float = 0.7) -> Any:
    """Two colours in patches."""
    surface = Surface(name)
    return weathered(surface, surface.mix(surface.between(surface.noise(scale), 0.4, 0.6), rgb(a), rgb(b)), strength)


def stripes(name: str, a: str, b: str, scale: float) -> Any:
    """Bands around the object's z."""
    surface = Surface(name, roughness=0.5)
    bands = surface.node("TexWave", Vector=surface.place, Scale=scale, Distortion=0.0)
    bands.bands_direction = "Z"
    return weathered(surface, surface.mix(surface.between(bands.outputs["Fac"], 0.47, 0.53), rgb(a), rgb(b)), 0.45)


# --- shapes -----------------------------------------------------------------------------------------


def box(material: Any, size: tuple[float, float, float], at: tuple[float, float, float], turn_deg: float = 0.0) -> None:
    """A box that stands at `at`, bevelled a little."""
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(at[0], at[1], at[2] + size[2] / 2))
    shape = bpy.context.object
    shape.scale, shape.rotation_euler.z = size, radians(turn_deg)
    finish_shape(shape, material, bevel=0.015)


def panel(material: Any, size: tuple[float, float], at: tuple[float, float, float], facing_deg: float) -> None:
    """An upright rectangle that stands at `at`; its texture lies in its own x and y."""
    bpy.ops.mesh.primitive_plane_add(size=1.0, location=(at[0], at[1], at[2] + size[1] / 2))
    shape = bpy.context.object
    shape.scale = (size[0], size[1], 1.0)
    shape.rotation_euler = (pi / 2, 0.0, radians(facing_deg))
    finish_shape(shape, material)


def round_shape(
    material: Any, radii: tuple[float, float], height: float, at: tuple[float, float, float], sides: int = 48
) -> None:
    """A cylinder or a truncated cone that stands at `at`, lower radius first."""
    bpy.ops.mesh.primitive_cone_add(
        vertices=sides, radius1=radii[0], radius2=radii[1], depth=height, location=(at[0], at[1], at[2] + height / 2)
    )
    finish_shape(bpy.context.object, material, smooth=True)


def ball(material: Any, radius: float, at: tuple[float, float, float], rough: float = 0.0) -> None:
    """A ball that rests on `at`; `rough` moves its surface in and out, metres."""
    bpy.ops.mesh.primitive_ico_sphere_add(
        subdivisions=5, radius=radius, location=(at[0], at[1], at[2] + radius), rotation=(0.4, 0.5, 0.0)
    )
    shape = bpy.context.object
    if rough:
        texture = bpy.data.textures.new("leaves", "CLOUDS")
        texture.noise_scale = 0.11
        modifier = shape.modifiers.new("leaves", "DISPLACE")
        modifier.texture, modifier.strength = texture, rough
    finish_shape(shape, material, smooth=True)


def finish_shape(shape: Any, material: Any, *, bevel: float = 0.0, smooth: bool = False) -> None:
    """Apply the scale, so that textures are in metres, and dress the shape."""
    bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
    shape.data.materials.append(material)
    if bevel:
        modifier = shape.modifiers.new("bevel", "BEVEL")
        modifier.width, modifier.segments = bevel, 2
    if smooth:
        bpy.ops.object.shade_auto_smooth(angle=radians(40))


# --- the courtyard ----------------------------------------------------------------------------------


def build_courtyard() -> None:
    """Floor, two walls, a pergola and what stands about."""
    plaster = mottled("plaster", "ebcb9a", "e0b27a", 1.3, 0.6)
    bricks = masonry("bricks", "a5553a", "c98a5e", "d9cdb8", 0.42, 0.14)
    stone = mottled("stone", "d8cfc0", "b9ae9c", 4.0)
    wood = planks("wood", "a8743f", "7a4c26", 0.14)
    dark_wood = planks("dark wood", "6b4a2f", "4a3220", 0.16)
    blue = planks("blue door", "2f7f9e", "236680", 0.13)
    clay = mottled("clay", "c0623a", "a44f2e", 7.0, 0.5)
    leaves = mottled("leaves", "3f7a2c", "9bbf45", 16.0, 0.8)

    bpy.ops.mesh.primitive_plane_add(size=16.0, location=(0.0, 0.0, 0.0), rotation=(0.0, 0.0, radians(8)))
    finish_shape(bpy.context.object, tiles("floor", "b8603f", "ecd9b4", "6e5a4a", 0.5))

    # the back wall: bricks up to the height of a chest, plaster above; then the wall on the left
    panel(bricks, (9.0, 1.1), (0.0, 3.6, 0.0), 0.0)
    box(stone, (9.0, 0.16, 0.09), (0.0, 3.58, 1.1))
    panel(plaster, (9.0, 1.9), (0.0, 3.6, 1.19), 0.0)
    panel(bricks, (9.0, 3.09), (-3.7, 0.0, 0.0), 90.0)
    for x in (-4.0, 4.6):
        box(stone, (0.5, 0.5, 3.2), (x + 0.3, 3.6, 0.0))

    # a door and two windows
    box(stone, (1.36, 0.2, 2.22), (-0.35, 3.56, 0.0))
    box(blue, (1.1, 0.26, 2.06), (-0.35, 3.55, 0.0))
    box(stone, (1.7, 0.6, 0.14), (-0.35, 3.4, 0.0))
    for x in (-2.2, 1.75):
        box(stone, (0.95, 0.2, 1.05), (x, 3.56, 1.42))
        for side in (-1, 1):
            box(blue, (0.36, 0.26, 0.86), (x + side * 0.2, 3.55, 1.51))

    # the pergola, whose beams draw the floor's shadows
    for x in (-2.3, -0.2, 1.9):
        box(stone, (0.42, 0.42, 0.22), (x, 1.75, 0.0), 0.0)
        round_shape(stone, (0.15, 0.12), 2.0, (x, 1.75, 0.22))
        box(stone, (0.4, 0.4, 0.12), (x, 1.75, 2.22))
    box(dark_wood, (5.4, 0.16, 0.18), (-0.2, 1.75, 2.34))
    for i in range(9):
        box(dark_wood, (0.09, 2.3, 0.13), (-2.7 + 0.62 * i, 2.5, 2.52))

    # what stands about
    box(wood, (0.62, 0.62, 0.62), (1.5, 0.55, 0.0), 24.0)
    box(wood, (0.5, 0.5, 0.5), (2.25, 0.9, 0.0), -12.0)
    box(wood, (0.42, 0.42, 0.42), (1.55, 0.6, 0.62), 51.0)
    ball(stripes("ball", "f3ead6", "c8342b", 2.6), 0.27, (0.55, -0.35, 0.0))
    ball(stripes("small ball", "f2c230", "2a62a0", 4.0), 0.15, (1.0, -0.85, 0.0))
    for x, y, size in ((-1.35, 0.7, 1.0), (-2.75, 0.2, 1.2), (2.9, 2.6, 1.15)):
        round_shape(clay, (0.17 * size, 0.27 * size), 0.42 * size, (x, y, 0.0))
        round_shape(clay, (0.3 * size, 0.3 * size), 0.07 * size, (x, y, 0.42 * size))
        round_shape(dark_wood, (0.035, 0.03), 0.4 * size, (x, y, 0.48 * size), 12)
        ball(leaves, 0.33 * size, (x, y, 0.72 * size), 0.16)
    # a round basin with a pillar
    round_shape(stone, (0.62, 0.66), 0.34, (-0.75, -0.75, 0.0))
    round_shape(bricks, (0.5, 0.5), 0.04, (-0.75, -0.75, 0.33))
    round_shape(stone, (0.13, 0.1), 0.55, (-0.75, -0.75, 0.34))
    ball(stone, 0.17, (-0.75, -0.75, 0.87))


def light_courtyard() -> None:
    """A low sun and a blue sky."""
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.color, sun.angle = 4.6, (1.0, 0.9, 0.74), radians(0.8)
    lamp = bpy.data.objects.new("sun", sun)
    lamp.rotation_euler = (radians(47), 0.0, radians(38))
    bpy.context.collection.objects.link(lamp)
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = rgb("9cc4ec")
    background.inputs["Strength"].default_value = 0.85
    bpy.context.scene.world = world


# --- the camera -------------------------------------------------------------------------------------


def camera_matrix(frame: int) -> Matrix:
    """The camera's matrix in the world at a frame, 1 to FRAMES: a walk past the courtyard, by hand."""
    share = (frame - 1) / (FRAMES - 1)
    eased = 0.65 * share + 0.35 * share**2 * (3 - 2 * share)
    time = (frame - 1) / FRAME_RATE
    place = Vector((2.15 - 3.0 * eased, -5.2 + 0.8 * sin(0.5 * pi * eased), 1.72 - 0.25 * eased))
    step = 2 * pi * 1.7 * time
    place += Vector((0.010 * sin(0.5 * step + 0.4), 0.008 * sin(1.31 * step + 1.0), 0.014 * sin(step)))
    target = Vector((0.35 - 0.45 * eased, 1.6, 0.86))
    turn = (target - place).to_track_quat("-Z", "Y")
    shake = (
        0.0045 * sin(2 * pi * 1.1 * time) + 0.0020 * sin(2 * pi * 2.9 * time + 0.8),
        0.0050 * cos(2 * pi * 0.8 * time) + 0.0022 * sin(2 * pi * 2.3 * time + 2.0),
        0.0085 * sin(2 * pi * 0.6 * time + 0.5) + 0.0015 * sin(2 * pi * 3.1 * time),
    )
    for axis, angle in zip(((1, 0, 0), (0, 1, 0), (0, 0, 1)), shake, strict=True):
        turn = turn @ Quaternion(axis, angle)
    return Matrix.LocRotScale(place, turn, None)


def distortion_maps() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where in the rendered picture each pixel of the distorted picture lies, at the rendered size."""
    width, height = (side * FINE for side in SIZE)
    focal = FOCAL_PX * FINE
    y, x = np.mgrid[0:height, 0:width] + 0.5
    distorted = np.stack([(x - width / 2) / focal, (y - height / 2) / focal])
    ray = distorted.copy()
    for _ in range(30):
        r2 = (ray**2).sum(axis=0)
        ray = distorted / (1 + K1 * r2 + K2 * r2**2)
    r2 = (ray**2).sum(axis=0)
    assert np.abs(ray * (1 + K1 * r2 + K2 * r2**2) - distorted).max() < 1e-12
    # OpenCV's pixel centres are whole numbers
    u = ray[0] * focal + width / 2 + MARGIN * FINE - 0.5
    v = ray[1] * focal + height / 2 + MARGIN * FINE - 0.5
    assert min(u.min(), v.min()) > 2 and u.max() < width + 2 * MARGIN * FINE - 3
    assert v.max() < height + 2 * MARGIN * FINE - 3
    return u.astype(np.float32), v.astype(np.float32)


def set_up_render(folder: Path) -> Any:
    """Cycles on the CPU, quick and the same every time; the camera."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = False
    scene.cycles.max_bounces, scene.cycles.diffuse_bounces, scene.cycles.glossy_bounces = 2, 1, 1
    scene.cycles.use_fast_gi, scene.cycles.fast_gi_method = True, "REPLACE"
    scene.cycles.ao_bounces_render = 1
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BLACKMAN_HARRIS", 1.5
    scene.render.use_persistent_data = True
    width, height = ((side + 2 * MARGIN) * FINE for side in SIZE)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - Medium High Contrast"
    scene.view_settings.exposure = 0.25
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode, scene.render.image_settings.color_depth = "RGB", "16"
    scene.render.image_settings.compression = 0
    scene.render.filepath = str(folder / "frame.png")
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", SENSOR_WIDTH_MM
    data.lens = FOCAL_PX * FINE * SENSOR_WIDTH_MM / width
    camera = bpy.data.objects.new("camera", data)
    bpy.context.collection.objects.link(camera)
    scene.camera = camera
    return camera


def render_frame(camera: Any, frame: int, maps: tuple[NDArray[np.float32], NDArray[np.float32]]) -> NDArray[np.uint8]:
    """One frame of the clip, blue first."""
    scene = bpy.context.scene
    camera.matrix_world = camera_matrix(frame)
    scene.cycles.seed = frame
    bpy.ops.render.render(write_still=True)
    fine = cv2.imread(scene.render.filepath, cv2.IMREAD_UNCHANGED).astype(np.float32) / 257
    bent = cv2.remap(fine, *maps, cv2.INTER_CUBIC)
    picture = cv2.resize(bent, SIZE, interpolation=cv2.INTER_AREA)
    # grain is the same in all three channels for the most part, as in a camera that mixes them
    rng = np.random.default_rng(frame)
    grain = rng.normal(0, GRAIN, (SIZE[1], SIZE[0], 1)) + rng.normal(0, 0.4 * GRAIN, (SIZE[1], SIZE[0], 3))
    return np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8)


def truth() -> dict[str, Any]:
    """What tests/sample_error.py compares with."""
    frames = [
        {"frame": i, "focal_px": FOCAL_PX, "matrix_world": [list(row) for row in camera_matrix(i)]}
        for i in range(1, FRAMES + 1)
    ]
    return {
        "width": SIZE[0],
        "height": SIZE[1],
        "fps": FRAME_RATE,
        "sensor_width": SENSOR_WIDTH_MM,
        "distortion": {"k1": K1, "k2": K2},
        "frames": frames,
    }


def encode(path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    """H.264 in MP4, one thread so that it comes out the same."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "19", "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        context = stream.codec_context
        context.thread_count = 1
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--still", nargs=2, metavar=("FRAME", "PNG"), help="render one frame instead of the clip")
    still = parser.parse_args().still
    bpy.ops.wm.read_factory_settings(use_empty=True)
    build_courtyard()
    light_courtyard()
    maps = distortion_maps()
    with tempfile.TemporaryDirectory() as folder:
        camera = set_up_render(Path(folder))
        if still:
            cv2.imwrite(still[1], render_frame(camera, int(still[0]), maps))
            return
        FOLDER.mkdir(exist_ok=True)
        encode(FOLDER / "sample.mp4", [render_frame(camera, frame, maps) for frame in range(1, FRAMES + 1)])
    (FOLDER / "truth.json").write_text(json.dumps(truth(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
