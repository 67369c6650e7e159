"""How far a solve of a simulated shot is from the truth, in the deviations that it reports."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from solver.errors import SolverError
from solver.pipeline import SolveOptions, solve_tracks
from solver.types import SOLVED, Solve

from .paths import Array
from .shot import AMBIGUOUS, REFUSE, STATIC, SimulatedShot, random_shot

REFUSED = "refused"
WITHIN = 2.0
BEYOND = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What became of a shot.

    Attributes
    ----------
    seed : int
    motion, kind, description : str
        Of the shot.
    status : str
        SOLVED, WARNINGS or REFUSED.
    reasons : tuple of str
    answer : str
        The solve's kind; empty where it was refused.
    focal_percent : float
        Median over the solved frames of the error's size, percent.
    sd_percent : float
        Median reported deviation.
    sigmas : float
        Largest error over its deviation, with its sign.
    within : float
        Share of the solved frames within two deviations.
    path_percent : float
        RMS error of the camera's place after the best similarity, percent of the path's extent; 0 where the camera
        has no path.
    rotation_deg : float
        RMS error of the camera's turn, after the best common rotation.
    posed : float
        Share of the frames that were solved.
    seconds : float
    """

    seed: int
    motion: str
    kind: str
    description: str
    status: str
    reasons: tuple[str, ...]
    seconds: float
    answer: str = ""
    focal_percent: float = 0.0
    sd_percent: float = 0.0
    sigmas: float = 0.0
    within: float = 0.0
    path_percent: float = 0.0
    rotation_deg: float = 0.0
    posed: float = 0.0

    @property
    def answered(self) -> bool:
        """Whether a focal length was given."""
        return self.status != REFUSED

    @property
    def beyond(self) -> bool:
        """Whether an error lies beyond five deviations, or something was found where there is nothing."""
        return self.answered and (self.kind == REFUSE or abs(self.sigmas) > BEYOND)

    @property
    def false(self) -> bool:
        """Whether it is so and nothing warns of it: what must never be."""
        return self.beyond and self.status == SOLVED

    @property
    def shirked(self) -> bool:
        """Whether a shot that can be solved was refused."""
        return not self.answered and self.kind not in (AMBIGUOUS, REFUSE, STATIC)


def score(shot: SimulatedShot, options: SolveOptions | None = None) -> Score:
    """Solve a shot and compare."""
    began = time.perf_counter()
    try:
        solve = solve_tracks(shot.shot(), shot.tracks, options)
    except SolverError as error:
        return Score(
            seed=shot.seed,
            motion=shot.motion,
            kind=shot.kind,
            description=shot.describe(),
            status=REFUSED,
            reasons=(f"{type(error).__name__}: {error}",),
            seconds=time.perf_counter() - began,
        )
    seconds = time.perf_counter() - began
    solved = solve.path.solved
    off = (solve.path.focal_px - shot.focal_px)[solved]
    sd = solve.path.focal_px_sd[solved]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(off == 0, 0.0, off / sd)
    path_percent, rotation_deg = pose_errors(solve, shot)
    return Score(
        seed=shot.seed,
        motion=shot.motion,
        kind=shot.kind,
        description=shot.describe(),
        status=solve.report.status,
        reasons=solve.report.reasons,
        seconds=seconds,
        answer=solve.kind,
        focal_percent=float(np.median(np.abs(off) / shot.focal_px[solved]) * 100),
        sd_percent=float(np.median(sd / shot.focal_px[solved]) * 100),
        sigmas=float(z[np.abs(z).argmax()]),
        within=float((np.abs(z) <= WITHIN).mean()),
        path_percent=path_percent,
        rotation_deg=rotation_deg,
        posed=float(solved.mean()),
    )


def score_seed(seed: int, among: Collection[str] = (), without: Collection[str] = (), largest: int = 150) -> Score:
    """Score of `random_shot`."""
    return score(random_shot(seed, among, without, largest))


def pose_errors(solve: Solve, shot: SimulatedShot) -> tuple[float, float]:
    """RMS error of the place, percent of the path's extent, and of the turn, degrees, of the solved frames."""
    solved = solve.path.solved
    found, true = solve.path.R_cam_from_world[solved], shot.R[solved]
    # world_true_from_world_found, the mean of what every frame says
    common = Rotation.from_matrix(true.transpose(0, 2, 1) @ found).mean().as_matrix()
    off = Rotation.from_matrix(found @ common.T @ true.transpose(0, 2, 1)).magnitude()
    rotation = float(np.degrees(np.sqrt((off**2).mean())))
    extent = np.linalg.norm(np.ptp(shot.centre[solved], axis=0))
    if extent < 1e-9 or solve.kind != "moving":
        return 0.0, rotation
    return 100 * path_error(solve.path.centre_world[solved], shot.centre[solved]) / float(extent), rotation


def path_error(found: Array, true: Array) -> float:
    """RMS distance of places (F, 3) from the truth after the best similarity (Umeyama 1991), scene units."""
    a, b = found - found.mean(axis=0), true - true.mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    fitted = (d * sign).sum() / max(float((a**2).sum()), 1e-300) * a @ ((u * sign) @ vt).T
    return float(np.sqrt(((fitted - b) ** 2).sum(axis=1).mean()))
