"""Focal lengths of the footage's metadata: used where the picture allows it, left out where it contradicts them."""

from __future__ import annotations

import numpy as np
import pytest

from solver.known import Known, KnownValues
from solver.metadata import metadata_focal, with_focal
from solver.result import solve_record
from solver.types import MOVING, NODAL, WARNINGS
from tests import synthetic
from tests.known_scenes import FIRST, held, shifted_by, shot_of, solved, zoom_curve, zoomed
from tests.synthetic import FOCAL_PX, SIZE, Scene, aligned_path_error, make_scene

SENSOR_MM = 36.0
GIVEN, DEFAULT = (SENSOR_MM, "given"), (SENSOR_MM, "default")


def lens(focal_px: float) -> dict[str, float]:
    """Metadata of a lens of this focal length."""
    return {"focal_length_mm": focal_px / SIZE[0] * SENSOR_MM, "sensor_width_mm": SENSOR_MM}


def dolly() -> Scene:
    return make_scene("dolly", n_points=250, rng=np.random.default_rng(1))


def test_what_metadata_tell() -> None:
    scene = dolly()
    focal = metadata_focal(shot_of(scene, lens(FOCAL_PX)), GIVEN)
    assert focal is not None and focal.value == pytest.approx(FOCAL_PX) and focal.deviation == pytest.approx(45)
    # millimetres without a sensor say nothing; the equivalent of phones needs none
    assert metadata_focal(shot_of(scene, {"focal_length_mm": 35.0}), DEFAULT) is None
    guess = metadata_focal(shot_of(scene, {"focal_length_mm": 35.0}), DEFAULT, any_sensor=True)
    assert guess is not None and guess.deviation == pytest.approx(0.3 * guess.value)
    phone = metadata_focal(shot_of(scene, {"focal_length_mm": 5.1, "focal_length_35mm": 26.0}), DEFAULT)
    assert phone is not None and phone.value == pytest.approx(26 / 43.267 * np.hypot(*SIZE), rel=1e-4)
    assert 0.05 < phone.deviation / phone.value < 0.1
    for nonsense in ("35", -1.0, float("nan"), None):
        assert metadata_focal(shot_of(scene, {"focal_length_mm": nonsense}), GIVEN) is None


def test_the_report_says_where_values_come_from() -> None:
    shot, focal = shot_of(dolly()), Known(value=900, deviation=45)
    alone = with_focal(KnownValues(), shot, focal)
    assert alone.source == "metadata" and alone.focal_px_by_frame == {FIRST: focal}
    assert with_focal(KnownValues(readout=held(0.0)), shot, focal).source == "given and metadata"


def test_metadata_that_agree_are_used() -> None:
    scene = dolly()
    free, found = solved(scene), solved(scene, lens(1.03 * FOCAL_PX))
    assert not found.report.reasons and found.report.known.source == "metadata"
    sd, prior = free.path.focal_px_sd[0], 0.05 * 1.03 * FOCAL_PX
    assert found.path.focal_px_sd[0] == pytest.approx((sd**-2 + prior**-2) ** -0.5, rel=0.05)
    assert abs(found.path.focal_px[0] - FOCAL_PX) < 3 * found.path.focal_px_sd[0]
    known = solve_record(found, "1")["known"]
    assert known["source"] == "metadata" and known["focal_px_by_frame"][0]["frame"] == FIRST
    assert known["focal_px_by_frame"][0]["value"] == pytest.approx(1.03 * FOCAL_PX)


def test_metadata_make_up_for_what_the_picture_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(synthetic.MOTIONS, "small", shifted_by(0.06))
    scene = make_scene("small", n_points=250, rng=np.random.default_rng(1))
    found = solved(scene, lens(1.02 * FOCAL_PX))
    assert found.kind == MOVING and 0.03 < found.path.focal_px_sd[0] / FOCAL_PX < 0.06
    assert abs(found.path.focal_px[0] - FOCAL_PX) < 2 * found.path.focal_px_sd[0]
    assert 100 * aligned_path_error(scene, found.path.centre_world) < 1.5


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.5])
def test_a_picture_that_contradicts_metadata_is_followed(factor: float) -> None:
    """The footage may be a crop, or the sensor another one."""
    scene = dolly()
    free, found = solved(scene), solved(scene, lens(factor * FOCAL_PX))
    assert found.report.status == WARNINGS and len(found.report.reasons) == 1
    assert f"{factor * FOCAL_PX / SIZE[0] * SENSOR_MM:.1f} mm" in found.report.reasons[0]
    assert "picture was followed" in found.report.reasons[0]
    assert (found.path.focal_px == free.path.focal_px).all()
    assert found.report.known == KnownValues()


def test_what_is_given_goes_before_metadata() -> None:
    found = solved(dolly(), lens(3 * FOCAL_PX), focal_px=held(FOCAL_PX))
    assert (found.path.focal_px == FOCAL_PX).all() and not found.report.reasons
    assert found.report.known.source == "given"


def test_metadata_of_a_zoom_are_those_of_its_first_frame() -> None:
    focal_px = zoom_curve(48)
    scene = make_scene("pan", n_frames=48, n_points=300, rng=np.random.default_rng(4))
    found = solved(zoomed(scene, focal_px, 0.2, np.random.default_rng(5)), lens(1.01 * FOCAL_PX))
    assert found.kind == NODAL and found.zooms and not found.report.reasons
    assert np.abs(found.path.focal_px / focal_px - 1).max() < 0.005
