"""Which files of a folder make one image sequence, and which numbers its frames have.

A name is cut at one of its groups of digits: `shot_v2.0101.exr` is ("shot_v2.", 101, ".exr") or ("shot_v", 2,
".0101.exr"). Names that share prefix, suffix and padding are one sequence; a name with several groups of digits belongs
to the cut that most files share. Numbers that are mostly absent and unevenly spaced, as a camera numbers its stills,
are not frame numbers: such files are a set of stills.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DIGITS = re.compile(r"\d+")
_PLACEHOLDER = re.compile(r"#+|%(?:0(\d+))?d")
_MAX_DIGITS = 15  # longer groups are identifiers or time stamps, and would not fit a frame number anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedFiles:
    """Files that differ only in their number, sorted by it.

    Attributes
    ----------
    prefix, suffix : str, what stands before and after the number
    padding : int, the least number of digits
    numbers : tuple of int, rising
    names : tuple of str, one a number
    """

    prefix: str
    suffix: str
    padding: int
    numbers: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """The sequence as an artist writes it, `shot.####.exr`."""
        return f"{self.prefix}{'#' * self.padding}{self.suffix}"

    @property
    def title(self) -> str:
        """The prefix without trailing separators, or nothing."""
        return self.prefix.rstrip(" ._-")

    @property
    def is_dense(self) -> bool:
        """Whether the numbers look like those of frames: half of them present, or evenly spaced."""
        steps = set(np.diff(self.numbers).tolist())
        span = self.numbers[-1] - self.numbers[0] + 1
        return 2 * len(self.numbers) >= span or (len(self.numbers) > 2 and len(steps) == 1)


def find_sequences(names: Iterable[str]) -> list[NumberedFiles]:
    """Group file names into sequences of at least two, the longest first.

    Parameters
    ----------
    names : iterable of str, without folder

    Returns
    -------
    list of NumberedFiles
    """
    cuts = {name: _cuts(name) for name in names}
    shared = Counter((prefix, suffix) for found in cuts.values() for prefix, _, suffix in found)
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for name, found in cuts.items():
        if found:  # among equals the last group of digits, which is where frame numbers stand
            prefix, digits, suffix = max(reversed(found), key=lambda cut: shared[cut[0], cut[2]])
            groups[prefix, suffix].append((digits, name))
    sequences = [
        _sequence(prefix, suffix, members)
        for (prefix, suffix), group in groups.items()
        for members in _by_padding(group)
        if len(members) > 1
    ]
    return sorted(sequences, key=lambda sequence: (-len(sequence.names), sequence.pattern))


def is_pattern(name: str) -> bool:
    """Whether a file name holds `####`, `%d` or `%04d`."""
    return _PLACEHOLDER.search(name) is not None


def match_pattern(pattern: str, names: Iterable[str]) -> NumberedFiles | None:
    """Find the files of a `shot.####.exr` or `shot.%04d.exr` pattern.

    Parameters
    ----------
    pattern : str, for which `is_pattern` holds; its last number field stands for the number
    names : iterable of str, without folder

    Returns
    -------
    NumberedFiles, or None where nothing matches
    """
    place = list(_PLACEHOLDER.finditer(pattern))[-1]
    prefix, suffix = pattern[: place.start()], pattern[place.end() :]
    padding = len(place[0]) if place[0].startswith("#") else int(place[1] or 1)
    members = []
    for name in names:
        digits = name[len(prefix) : len(name) - len(suffix)]
        fits = name == f"{prefix}{digits}{suffix}" and re.fullmatch(r"[0-9]{1,15}", digits)
        if fits and digits == f"{int(digits):0{padding}d}":
            members.append((digits, name))
    return _sequence(prefix, suffix, members) if members else None


def format_ranges(numbers: Iterable[int] | NDArray[np.int64]) -> str:
    """Write rising numbers as ranges: "1005-1007, 1012"."""
    runs: list[list[int]] = []
    for number in map(int, numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key in which `still 9` stands before `still 10`."""
    parts = re.split(r"(\d+)", name)
    return tuple((1, int(part), part) if part.isdecimal() else (0, 0, part.casefold()) for part in parts)


def _cuts(name: str) -> list[tuple[str, str, str]]:
    """Every way to cut a name into prefix, digits and suffix; digits of the extension (`.jp2`) do not count."""
    stem = name.rpartition(".")[0] or name
    return [
        (name[: match.start()], match[0], name[match.end() :])
        for match in _DIGITS.finditer(stem)
        if match[0].isascii() and len(match[0]) <= _MAX_DIGITS
    ]


def _by_padding(group: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Split files whose numbers are written differently: 7 and 0007 are two files, but 9999 and 10000 go on."""
    padded = sorted({len(digits) for digits, _ in group if digits.startswith("0") and len(digits) > 1})
    parts: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for digits, name in group:
        fitting = [width for width in padded if width == len(digits) or (width < len(digits) and digits[0] != "0")]
        parts[max(fitting, default=1)].append((digits, name))
    return list(parts.values())


def _sequence(prefix: str, suffix: str, members: list[tuple[str, str]]) -> NumberedFiles:
    ordered = sorted((int(digits), name) for digits, name in members)
    numbers, names = zip(*ordered, strict=True)
    padding = min(len(digits) for digits, _ in members)
    return NumberedFiles(prefix=prefix, suffix=suffix, padding=padding, numbers=numbers, names=names)
