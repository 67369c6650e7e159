"""Video: luminance, times, rotation and counts against what was encoded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from solver.errors import InputError
from solver.footage import open_footage
from solver.footage.luma import luminance_of_frame
from solver.footage.video import VideoFootage
from tests.unit.footage_files import (
    HEIGHT,
    WIDTH,
    corner_marks,
    texture,
    video_frame,
    write_picture,
    write_sound,
    write_video,
)


def luma_frames(count: int, pix_fmt: str = "yuv420p", top: int = 255, full_range: bool = False) -> list[av.VideoFrame]:
    return [video_frame(texture(seed, top=top), pix_fmt, full_range) for seed in range(count)]


def stretched(luma: NDArray, bits: int, full_range: bool) -> NDArray:
    """0..255 of a luma plane, as ITU-R BT.709 and BT.2100 define the ranges."""
    step = 2 ** (bits - 8)
    black, white = (0, 2**bits - 1) if full_range else (16 * step, 235 * step)
    return np.clip((luma.astype(float) - black) / (white - black) * 255, 0, 255)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuva420p"])
def test_eight_bit_luma_is_kept(tmp_path: Path, pix_fmt: str, full_range: bool) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, luma_frames(5, pix_fmt, full_range=full_range))
    footage = open_footage(path)
    assert (footage.name, footage.kind, footage.path, footage.first_file) == ("clip", "video", path, path)
    assert (footage.size, footage.bit_depth, footage.pixel_aspect) == ((WIDTH, HEIGHT), 8, 1.0)
    assert (footage.frame_rate, footage.frame_rate_known) == (25.0, True)
    assert footage.frame_numbers.tolist() == [1, 2, 3, 4, 5] and footage.missing_frames.size == 0
    frames = list(footage.luminance())
    assert [(frame.index, frame.number) for frame in frames] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    for seed, frame in enumerate(frames):
        assert frame.pixels.dtype == np.uint8 and frame.pixels.flags.c_contiguous
        assert np.abs(frame.pixels - stretched(texture(seed), 8, full_range)).max() <= 0.5 + 1e-9
    grey = stretched(texture(4), 8, full_range)
    assert np.abs(footage.image(4) - grey[..., None]).max() <= 2


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("pix_fmt", "bits"), [("yuv420p10le", 10), ("yuv422p10le", 10), ("yuv444p12le", 12)])
def test_more_bits_are_kept(tmp_path: Path, pix_fmt: str, bits: int, full_range: bool) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, luma_frames(2, pix_fmt, 2**bits - 1, full_range))
    footage = open_footage(path)
    assert footage.bit_depth == bits
    for seed, frame in enumerate(footage.luminance()):
        assert frame.pixels.dtype == np.float32
        exact = stretched(texture(seed, top=2**bits - 1), bits, full_range)
        assert np.abs(frame.pixels - exact).max() < 1e-3
    assert np.abs(footage.image(1) - exact[..., None]).max() <= 3


@pytest.mark.parametrize(("pix_fmt", "bits"), [("nv12", 8), ("p010le", 10)])
def test_semi_planar_luma_is_kept(pix_fmt: str, bits: int) -> None:
    """As hardware decoders give it; p010 keeps its ten bits at the upper end of sixteen."""
    luma = texture(1, top=2**bits - 1)
    pixels = luminance_of_frame(video_frame(luma << (16 - bits) % 8, pix_fmt))
    assert np.abs(pixels - stretched(luma, bits, False)).max() <= (0.5 + 1e-9 if bits == 8 else 1e-3)


@pytest.mark.parametrize(("pix_fmt", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
def test_grey_video_uses_its_whole_range(tmp_path: Path, pix_fmt: str, bits: int) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, luma_frames(2, pix_fmt, 2**bits - 1, True))
    footage = open_footage(path)
    assert footage.bit_depth == bits
    for seed, frame in enumerate(footage.luminance()):
        assert np.abs(frame.pixels - texture(seed, top=2**bits - 1) / (2**bits - 1) * 255).max() < 1e-3


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "top"), [("bgr0", "ffv1", 255), ("gbrp10le", "ffv1", 65535), ("rgb48le", "ffv1", 65535)]
)
def test_video_without_a_luma_plane_is_weighed_into_grey(tmp_path: Path, pix_fmt: str, codec: str, top: int) -> None:
    colour = texture(3, (HEIGHT, WIDTH, 3), top)
    source = av.VideoFrame.from_ndarray(colour, format="rgb24" if top == 255 else "rgb48le").reformat(
        format=pix_fmt, threads=1
    )
    write_video(tmp_path / "clip.mkv", [source], codec=codec)
    footage = open_footage(tmp_path / "clip.mkv")
    pixels = next(footage.luminance()).pixels
    assert pixels.dtype == (np.uint8 if top == 255 else np.float32)
    assert np.abs(pixels - colour @ np.array([0.299, 0.587, 0.114]) * (255 / top)).max() < 1.6
    assert np.abs(footage.image(0) - colour * (255 / top)).max() < 1.6


def test_a_packed_format_keeps_its_limited_range(tmp_path: Path) -> None:
    planar = [video_frame(texture(seed), "yuv422p") for seed in range(2)]
    packed = [frame.reformat(format="yuyv422", threads=1) for frame in planar]
    for frame in packed:
        frame.color_range = 1
    write_video(tmp_path / "clip.avi", packed, codec="rawvideo")
    for seed, frame in enumerate(open_footage(tmp_path / "clip.avi").luminance()):
        assert np.abs(frame.pixels - stretched(texture(seed), 8, False)).max() <= 1.01


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "bits"),
    [
        ("clip.mp4", "libx264", "yuv420p", 8),
        ("clip.mov", "libx264", "yuv420p10le", 10),
        ("clip.mp4", "libx265", "yuv420p10le", 10),
        ("clip.mov", "prores_ks", "yuv422p10le", 10),
        ("clip.avi", "mpeg4", "yuv420p", 8),
        ("clip.mkv", "libx264", "yuv420p", 8),
        ("clip.ts", "libx264", "yuv420p", 8),
        ("clip.webm", "libvpx-vp9", "yuv420p", 8),
        ("clip.avi", "mjpeg", "yuvj420p", 8),
    ],
)
def test_camera_codecs_with_sound_are_counted_and_decoded(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, bits: int
) -> None:
    """Reordered frames included; what a lossy codec changes is small."""
    full = pix_fmt.startswith("yuvj")
    moving = [np.roll(texture(1, (96, 128), 2**bits - 1), 2 * shift, axis=1) for shift in range(30)]
    lossless = {"libx264": {"qp": "4"}, "libx265": {"x265-params": "log-level=none:qp=4"}, "libvpx-vp9": {"crf": "4"}}
    options = lossless.get(codec, {"qscale": "1", "qmin": "1"} if codec in ("mpeg4", "mjpeg") else {})
    audio = name.endswith(("mp4", "mov", "mkv"))
    write_video(
        tmp_path / name,
        [video_frame(luma, pix_fmt, full) for luma in moving],
        codec=codec,
        rate=24,
        options=options,
        audio=audio,
    )
    footage = open_footage(tmp_path / name)
    frames = list(footage.luminance())
    assert len(footage) == len(frames) == 30
    assert footage.frame_rate == pytest.approx(24, rel=1e-3) and footage.bit_depth == bits
    assert [frame.time for frame in frames] == pytest.approx([index / 24 for index in range(30)], abs=2e-3)
    for frame, luma in zip(frames, moving, strict=True):
        assert np.abs(frame.pixels - stretched(luma, bits, full)).mean() < 5  # the frame before differs by 20


@pytest.mark.parametrize(("width", "height"), [(71, 45), (33, 64), (50, 51)])
def test_odd_sizes_are_whole(tmp_path: Path, width: int, height: int) -> None:
    write_video(tmp_path / "clip.mkv", [video_frame(texture(2, (height, width)), "yuv444p")])
    footage = open_footage(tmp_path / "clip.mkv")
    frame = next(footage.luminance())
    assert footage.size == (width, height) and frame.pixels.shape == (height, width)
    assert np.abs(frame.pixels - stretched(texture(2, (height, width)), 8, False)).max() <= 0.5 + 1e-9


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [100, 133, 200, 233, 266, 400, 433, 500]
    for name in ("clip.mkv", "clip.mp4"):
        write_video(tmp_path / name, luma_frames(8), codec="libx264", times=times, options={"bf": "0"})
        footage = open_footage(tmp_path / name)
        assert [frame.time for frame in footage.luminance()] == pytest.approx(
            [(t - 100) / 1000 for t in times], abs=1e-3
        )
        assert [frame.time for frame in footage.luminance(3, 5)] == pytest.approx([0.133, 0.166], abs=1e-3)
        assert footage.frame_rate == pytest.approx(7 / 0.4, rel=0.15)


@pytest.mark.parametrize(
    ("rotation", "corners"),
    [(0, (40, 90, 190, 140)), (90, (90, 190, 140, 40)), (180, (190, 140, 40, 90)), (-90, (140, 40, 90, 190))],
)
def test_the_rotation_flag_turns_the_picture(tmp_path: Path, rotation: int, corners: tuple[int, ...]) -> None:
    """Corners clockwise from the top left; the flag turns counterclockwise."""
    path = tmp_path / "clip.mp4"
    frame = video_frame(corner_marks(64, 96), full_range=True)
    write_video(path, [frame], codec="libx264", rotation=rotation, options={"qp": "0"}, pixel_aspect=Fraction(2, 1))
    footage = open_footage(path)
    upright = rotation % 180 == 0
    assert footage.size == ((96, 64) if upright else (64, 96))
    assert footage.pixel_aspect == (2.0 if upright else 0.5)
    pixels = next(footage.luminance()).pixels
    assert pixels.shape == footage.size[::-1] and pixels.flags.c_contiguous
    assert (pixels[3, 3], pixels[3, -3], pixels[-3, -3], pixels[-3, 3]) == corners
    shown = footage.image(0).astype(int)[..., 1]
    assert np.abs(shown - pixels).max() <= 1


def test_the_same_picture_looks_alike_as_video_and_as_still(tmp_path: Path) -> None:
    colour = texture(9, (64, 96, 3))
    write_picture(tmp_path / "still.png", colour)
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(colour[..., ::-1]), format="rgb24")
    limited = rgb.reformat(format="yuv444p", dst_colorspace="ITU601", dst_color_range=1, threads=1)
    write_video(tmp_path / "clip.mkv", [limited])
    still = next(open_footage(tmp_path / "still.png").luminance()).pixels.astype(int)
    video = next(open_footage(tmp_path / "clip.mkv").luminance()).pixels.astype(int)
    assert np.abs(still - video).max() <= 3 and abs((still - video).mean()) < 0.5


def test_any_frame_is_found_by_jumping(tmp_path: Path) -> None:
    """Key frames every 20, frames between them that refer to later ones."""
    path = tmp_path / "clip.mp4"
    moving = [np.roll(texture(1, (64, 96)), 3 * shift, axis=1) for shift in range(120)]
    write_video(
        path, [video_frame(luma) for luma in moving], codec="libx264", options={"qp": "0", "g": "20", "bf": "3"}
    )
    footage = open_footage(path)
    whole = [frame.pixels for frame in footage.luminance()]
    for start in (0, 1, 48, 49, 59, 60, 61, 99, 119):
        frames = list(footage.luminance(start, min(start + 3, 120)))
        assert [frame.index for frame in frames] == list(range(start, min(start + 3, 120)))
        for frame in frames:
            assert np.array_equal(frame.pixels, whole[frame.index])
            assert frame.time == pytest.approx(frame.index / 25)
    pictures = list(footage.images([110, 3, 70]))
    for picture, index in zip(pictures, (3, 70, 110), strict=True):
        assert np.abs(picture.mean(axis=2) - whole[index]).max() <= 2
    assert np.array_equal(footage.image(110), pictures[2])


def test_tags_of_cameras_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "clip.mov"
    write_video(path, luma_frames(2), codec="libx264")
    tags = {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15",
        "com.apple.quicktime.camera.focal_length.35mm_equivalent": "24",
    }
    with (
        av.open(str(path)) as source,
        av.open(str(tmp_path / "tagged.mov"), "w", options={"movflags": "use_metadata_tags"}) as target,
    ):
        target.metadata.update(tags)
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert open_footage(tmp_path / "tagged.mov").metadata == {
        "camera_make": "Apple",
        "camera_model": "iPhone 15",
        "focal_length_35mm": 24.0,
    }


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path: Path) -> None:
    """A cut in the middle of a group of pictures: MP4 keeps the frames before it and says not to show them."""
    write_video(tmp_path / "whole.mp4", luma_frames(30), codec="libx264", options={"g": "30", "bf": "0"})
    with av.open(str(tmp_path / "whole.mp4")) as source, av.open(str(tmp_path / "cut.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                packet.pts -= 10 * source.streams.video[0].average_rate.denominator * 512
                packet.dts = packet.pts
                target.mux(packet)
    footage = open_footage(tmp_path / "cut.mp4")
    whole = [frame.pixels for frame in open_footage(tmp_path / "whole.mp4").luminance()]
    frames = list(footage.luminance())
    assert len(frames) == len(footage) == 20
    assert all(np.array_equal(frame.pixels, pixels) for frame, pixels in zip(frames, whole[10:], strict=True))


def test_interlaced_video_says_so(tmp_path: Path) -> None:
    frames = [video_frame(texture(seed, (64, 96))) for seed in range(6)]
    write_video(tmp_path / "clip.ts", frames, codec="libx264", options={"x264-params": "interlaced=1"})
    footage = open_footage(tmp_path / "clip.ts")
    assert footage.metadata["interlaced"] is True
    assert len(list(footage.luminance())) == len(footage) == 6


@pytest.mark.parametrize(
    ("name", "codec", "container_options"),
    [
        ("clip.mp4", "libx264", {"movflags": "faststart"}),
        ("clip.mov", "prores_ks", {"movflags": "faststart"}),
        ("clip.mkv", "libx264", {}),
        ("clip.avi", "mjpeg", {}),
        ("clip.avi", "mpeg4", {}),
    ],
)
def test_a_video_cut_short_says_how_much_is_there(
    tmp_path: Path, name: str, codec: str, container_options: dict[str, str]
) -> None:
    pix_fmt = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    top = 1023 if codec == "prores_ks" else 255
    frames = luma_frames(50, pix_fmt, top, codec == "mjpeg")
    path = tmp_path / name
    write_video(path, frames, codec=codec, container_options=container_options, options={"qmin": "1"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])
    with pytest.raises(InputError, match=r"is cut short: \d+ of 50 frames") as caught:
        open_footage(path)
    n_there = int(str(caught.value).split(" of 50")[0].split()[-1])
    assert 15 <= n_there <= 40


def test_an_unfinished_mp4_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its index stands at the end, and is not there."""
    path = tmp_path / "clip.mp4"
    write_video(path, luma_frames(20), codec="libx264")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="is not a video that can be read"):
        open_footage(path)
    assert capfd.readouterr() == ("", "")


def test_damage_inside_a_video_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, luma_frames(40), codec="libx264", options={"qp": "10"})
    clean = open_footage(path)
    assert isinstance(clean, VideoFootage)
    assert len(list(clean.luminance())) == 40 and clean.damaged_frames == set()
    with av.open(str(path)) as container:
        places = [entry.pos + 60 for entry in container.streams.video[0].index_entries][20:28]
    data = bytearray(path.read_bytes())
    for place in places:
        data[place : place + 340] = np.random.default_rng(place).bytes(340)
    path.write_bytes(data)
    footage = open_footage(path)
    assert isinstance(footage, VideoFootage)
    assert len(list(footage.luminance())) == 40
    assert footage.damaged_frames and min(footage.damaged_frames) >= 20


def test_files_without_video_are_refused(tmp_path: Path) -> None:
    write_sound(tmp_path / "sound.m4a")
    (tmp_path / "text.mp4").write_text("a text\n" * 50)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/x.ts\n#EXT-X-ENDLIST\n")
    (tmp_path / "zero.mov").write_bytes(b"")
    (tmp_path / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    for name, words in [
        ("sound.m4a", "holds only sound"),
        ("text.mp4", "is not a video that can be read"),
        ("list.mp4", "is not a video that can be read|holds no"),
        ("zero.mov", "is empty"),
        ("noise.mkv", "is not a video that can be read"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            open_footage(tmp_path / name)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    write_sound(tmp_path / "sound.m4a")
    cover = cv2.imencode(".jpg", texture(0))[1].tobytes()
    with (
        av.open(str(tmp_path / "sound.m4a")) as source,
        av.open(str(tmp_path / "cover.m4a"), "w", format="mp4") as target,
    ):
        sound = target.add_stream_from_template(source.streams.audio[0])
        picture = target.add_stream("mjpeg")
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
        packet = av.Packet(cover)
        packet.stream, packet.pts, packet.dts = picture, 0, 0
        target.mux(packet)
    with av.open(str(tmp_path / "cover.m4a")) as check:
        assert len(check.streams.video) == 1
    with pytest.raises(InputError, match="holds only sound"):
        open_footage(tmp_path / "cover.m4a")
