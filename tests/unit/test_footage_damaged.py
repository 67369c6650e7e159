"""Damaged files: whatever bytes change or are missing, there are frames or an InputError, no crash and no noise.

The damage is done in a process of its own, since a library could take the process down with it; a test then sees that
from the exit code.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from tests.unit.footage_files import texture, video_frame, write_exr, write_picture, write_video

ROOT = Path(__file__).parents[2]
N_ROUNDS = 40

# Arguments: the sound file, a name for the damaged one, the number of rounds. Prints a line a round.
PROGRAM = """
import random, sys
from pathlib import Path
from solver.errors import InputError
from solver.footage import open_footage
sound, path, n_rounds = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3])
for seed in range(n_rounds):
    rng, data = random.Random(seed), bytearray(sound)
    if seed % 3 == 0:
        del data[rng.randrange(len(data)):]
    elif seed % 3 == 1:
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        place = rng.randrange(min(len(data), 600))
        data[place:place + 4] = rng.randbytes(4)
    path.write_bytes(data)
    try:
        footage = open_footage(path)
        width, height = footage.size
        n_frames = 0
        for frame in footage.luminance():
            assert frame.pixels.shape == (height, width)
            assert 0 <= frame.pixels.min() and frame.pixels.max() <= 255
            n_frames += 1
        assert n_frames == len(footage)
        assert footage.image(0).shape == (height, width, 3)
        print("read", flush=True)
    except InputError as error:
        assert str(error).endswith(".") and str(path) in str(error), error
        print("refused", flush=True)
"""


def write_sample(path: Path, kind: str) -> None:
    """One small sound file of each kind."""
    colour = texture(1, (48, 64, 3))
    if kind in ("png", "jpg", "tif", "bmp", "webp"):
        write_picture(path, colour)
    elif kind == "png16":
        write_picture(path, texture(1, (48, 64, 3), 65535))
    elif kind.startswith("exr"):
        header: dict[str, object] = {"compression": getattr(OpenEXR, f"{kind.split('-')[1]}_COMPRESSION")}
        if "tiled" in kind:
            tiles = OpenEXR.TileDescription()
            tiles.xSize = tiles.ySize = 16
            header |= {"type": OpenEXR.tiledimage, "tiles": tiles}
        linear = (colour / 100).astype(np.float16)
        write_exr(path, {name: linear[..., i].copy() for i, name in enumerate("RGB")}, **header)
    else:
        codec, pix_fmt = {
            "mp4": ("libx264", "yuv420p"),
            "mov": ("prores_ks", "yuv422p10le"),
            "mkv": ("libx264", "yuv420p"),
            "avi": ("mpeg4", "yuv420p"),
            "ts": ("libx264", "yuv420p"),
        }[kind]
        top = 1023 if codec == "prores_ks" else 255
        frames = [video_frame(np.roll(texture(2, (48, 64), top), shift, 1), pix_fmt) for shift in range(12)]
        options = {"movflags": "faststart"} if kind in ("mp4", "mov") else {}
        write_video(path, frames, codec=codec, container_options=options)


KINDS = ["png", "png16", "jpg", "tif", "bmp", "webp", "mp4", "mov", "mkv", "avi", "ts"]
KINDS += [f"exr-{compression}" for compression in ("NO", "RLE", "ZIP", "PIZ", "PXR24", "B44", "DWAA")]
KINDS += ["exr-ZIP-tiled", "exr-NO-tiled"]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_give_frames_or_a_clear_refusal(tmp_path: Path, kind: str) -> None:
    suffix = {"png16": ".png"}.get(kind, f".{kind.partition('-')[0]}")
    sound = tmp_path / f"sound{suffix}"
    write_sample(sound, kind)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(sound), str(tmp_path / f"broken{suffix}"), str(N_ROUNDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = [line for line in done.stdout.splitlines() if line in ("read", "refused")]
    assert len(outcomes) == N_ROUNDS
    if kind != "ts":  # a transport stream may end anywhere: it does not say how long it is
        assert outcomes.count("refused") >= N_ROUNDS // 5  # files that are cut short are not taken for whole
    if not kind.startswith("exr"):  # the OpenEXR library writes of damaged pixels itself, and cannot be told not to
        assert (done.stderr, len(done.stdout.splitlines())) == ("", N_ROUNDS)
