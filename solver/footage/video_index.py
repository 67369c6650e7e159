"""How many frames a video file holds, and when they stand, found without decoding them.

From the index of formats that write one (MOV, MP4), else by reading the packets. Both also say whether the file is cut
short: samples that the index places beyond the end of the file, or packets that end before the duration of the header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

# Containers whose packets are whole frames, and codecs of which that is true in any container. In others a packet may
# be a field, or a frame may be packed with the one before it.
_WHOLE_FRAME_CONTAINERS = frozenset(("mov", "matroska", "webm"))
_WHOLE_FRAME_CODECS = frozenset(
    ("prores", "dnxhd", "mjpeg", "ffv1", "rawvideo", "dvvideo", "huffyuv", "ffvhuff", "utvideo", "v210", "png", "cfhd")
)
# Packets may end this much before the header's duration: writers round, and drop a frame at the end.
_TOLERANCE_SHARE, _TOLERANCE_FRAMES = 0.02, 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoIndex:
    """What the packets or the index of a video stream say.

    Attributes
    ----------
    n_frames : int, frames in the file
    n_announced : int, frames that the header promises; more than `n_frames` if the file is cut short
    is_exact : bool, False if only decoding tells how many frames there are
    is_from_header : bool, True if no packet was read
    time_stamps : tuple of int, rising, in units of the stream's time base, one a frame; empty if not known
    """

    n_frames: int
    n_announced: int
    is_exact: bool
    is_from_header: bool = False
    time_stamps: tuple[int, ...] = ()


def read_index(container: InputContainer, stream: VideoStream, file_size: int) -> VideoIndex:
    """Count the frames of a file that was just opened, by its index if it has a full one, else by its packets.

    Parameters
    ----------
    container, stream : not read from yet
    file_size : int, bytes

    Raises
    ------
    av.FFmpegError
        If the packets cannot be read.
    """
    family = set(container.format.name.split(","))
    if "mov" in family and stream.frames > 0 and len(stream.index_entries) > 0:  # no frames: written in fragments
        shown = [entry for entry in stream.index_entries if not entry.is_discard]
        n_present = sum(entry.pos + entry.size <= file_size for entry in shown)
        return VideoIndex(n_frames=n_present, n_announced=len(shown), is_exact=True, is_from_header=True)
    whole = bool(family & _WHOLE_FRAME_CONTAINERS) or stream.codec_context.name in _WHOLE_FRAME_CODECS
    return scan_packets(container, stream, is_exact=whole)


def scan_packets(container: InputContainer, stream: VideoStream, *, is_exact: bool = True) -> VideoIndex:
    """Read all packets of a stream without decoding them; raises av.FFmpegError."""
    stamps: list[int | None] = []
    first_key: int | None = None
    seen_key = False
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:  # the last packet is an empty one that flushes the decoder
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        if packet.is_keyframe and not seen_key:
            seen_key, first_key = True, stamp
        if seen_key and (stamp is None or first_key is None or stamp >= first_key):  # others have no frame to refer to
            stamps.append(stamp)
    known = sorted({stamp for stamp in stamps if stamp is not None})
    n_frames = len(stamps)
    return VideoIndex(
        n_frames=n_frames,
        n_announced=max(n_frames, _announced(container, stream, known, n_frames)),
        is_exact=is_exact,
        time_stamps=tuple(known) if len(known) == n_frames else (),
    )


def _announced(container: InputContainer, stream: VideoStream, stamps: list[int], n_frames: int) -> int:
    """How many frames the header promises, 0 where it says nothing that contradicts what was found."""
    if stream.frames > 0:
        tolerance = max(_TOLERANCE_SHARE * stream.frames, _TOLERANCE_FRAMES)
        return stream.frames if stream.frames - n_frames > tolerance else 0
    duration = _duration(container, stream)
    if duration is None or len(stamps) < 2 or not stream.time_base:
        return 0
    interval = float(np.median(np.diff(stamps)) * stream.time_base)
    covered = float((stamps[-1] - min(stamps[0], 0)) * stream.time_base) + interval  # durations count from zero
    if duration - covered <= max(_TOLERANCE_SHARE * duration, _TOLERANCE_FRAMES * interval):
        return 0
    return round(n_frames * duration / covered)


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds that the header gives the video stream; not the container's if another stream may be the longer one."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag:
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return None
