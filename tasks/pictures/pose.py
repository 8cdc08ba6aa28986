"""A body posed and rendered, with the pixels of its joints and of arrows around them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tasks.environments.rendering import open_renderer

WIDTH, HEIGHT = 1200, 720  # px of the rendered body
GREY = (0.5, 0.52, 0.55, 1.0)  # of the body, so that only marks have a colour
SIDE, ABOVE = -8.0, -40.0  # degrees of elevation from which a planar and a free body are seen
MARGIN = 70  # px around the body
APART = 50.0  # degrees between limbs that hang from one place, such as a walker's legs
ARC = 55.0  # px from a joint to its arrows
ARC_FROM, ARC_TO = 12.0, 55.0  # degrees off the limb at which they start and end
POINTS = 16  # of an arrow


class Body(NamedTuple):
    """A rendered body.

    Attributes:
        image: The body on white, (height, width, 3).
        anchors: Pixels of the actuated joints, (joint, xy).
        motions: Pixels along an arrow for a positive action and one for a negative one, (joint, way, point, xy).
        remark: What its pose is otherwise than at rest, for a title.
    """

    image: np.ndarray
    anchors: np.ndarray
    motions: np.ndarray
    remark: str


def render(model: Any) -> Body:
    """A body from its side, or from above where it is free to turn."""
    import mujoco

    data = mujoco.MjData(model)
    limited = (model.jnt_limited == 1) & (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)
    places = model.jnt_qposadr[limited]
    data.qpos[places] = np.clip(data.qpos[places], *model.jnt_range[limited].T)
    remark = _set_limbs_apart(model, data)
    model.geom_matid[:] = -1
    model.geom_rgba[:] = GREY
    model.geom_rgba[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE, 3] = 0  # no floor
    mujoco.mj_forward(model, data)
    bodies = data.geom_xpos[model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE]
    camera = mujoco.MjvCamera()
    camera.azimuth = 90.0
    camera.elevation = ABOVE if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE else SIDE
    camera.lookat[:] = (bodies.min(axis=0) + bodies.max(axis=0)) / 2
    camera.distance = 2.0 * float(np.linalg.norm(np.ptp(bodies, axis=0)))
    with open_renderer(model, WIDTH, HEIGHT) as renderer:
        renderer.update_scene(data, camera)
        image = renderer.render().copy()
        eyes = renderer.scene.camera
        anchors = _project(data.xanchor[model.actuator_trnid[:, 0]], eyes)
        motions = _motions(model, data, eyes)
        renderer.enable_segmentation_rendering()
        body = renderer.render()[..., 0] >= 0
    image[~body] = 255
    (top, bottom), (left, right) = ((np.flatnonzero(body.any(axis=axis)))[[0, -1]] for axis in (1, 0))
    top, left = max(top - MARGIN, 0), max(left - MARGIN, 0)
    shown = image[top : bottom + MARGIN, left : right + MARGIN]
    return Body(shown, anchors - (left, top), motions - (left, top), remark)


def _set_limbs_apart(model: Any, data: Any) -> str:
    """Turn limbs that hang from one place in one way away from one another, as far as they can go; a remark if any."""
    hinges: dict[tuple[Any, ...], list[int]] = {}
    for joint in map(int, model.actuator_trnid[:, 0]):
        body = int(model.jnt_bodyid[joint])
        place = np.round(model.body_pos[body] + model.jnt_pos[joint], 6)
        axis = np.round(model.jnt_axis[joint], 6)
        hinges.setdefault((int(model.body_parentid[body]), *place.tolist(), *axis.tolist()), []).append(joint)
    together = [joints for joints in hinges.values() if len(joints) > 1]
    for joints in together:
        angles = np.radians(APART) * (np.arange(len(joints)) - (len(joints) - 1) / 2)
        low, high = model.jnt_range[joints].T
        angles += max(float((low - angles).max()), 0) - max(float((angles - high).max()), 0)
        data.qpos[model.jnt_qposadr[joints]] += np.clip(angles, low, high)
    return ", limbs turned apart" if together else ""


def _motions(model: Any, data: Any, eyes: Any) -> np.ndarray:
    """Arrows around each actuated joint, off its limb to either side: where a positive action moves it, and a negative.

    They are arcs around the joint's axis, in pixels of the image, (joint, way, point, xy).
    """
    arrows = []
    for joint, gear in zip(model.actuator_trnid[:, 0], model.actuator_gear[:, 0]):
        anchor, axis = data.xanchor[joint], data.xaxis[joint]
        limb = data.xipos[model.jnt_bodyid[joint]] - anchor
        limb -= (limb @ axis) * axis
        a_millimetre = _project(np.stack([anchor, anchor + np.array([1e-3, 0, 0])]), eyes)
        limb *= 1e-3 * ARC / np.linalg.norm(np.diff(a_millimetre, axis=0)) / np.linalg.norm(limb)
        for way in (np.sign(gear), -np.sign(gear)):
            angles = way * np.radians(np.linspace(ARC_FROM, ARC_TO, POINTS))[:, None]
            arc = anchor + np.cos(angles) * limb + np.sin(angles) * np.cross(axis, limb)
            arrows.append(_project(arc, eyes))
    return np.array(arrows).reshape(-1, 2, POINTS, 2)


def _project(points: np.ndarray, eyes: Any) -> np.ndarray:
    """Where points (n, xyz) appear in the image, (n, xy) in pixels, seen from between MuJoCo's two eyes."""
    middle = (np.array(eyes[0].pos) + np.array(eyes[1].pos)) / 2
    forward, up = np.array(eyes[0].forward), np.array(eyes[0].up)
    seen = points - middle
    scale = HEIGHT / 2 * eyes[0].frustum_near / eyes[0].frustum_top / (seen @ forward)
    return np.stack([WIDTH / 2 + scale * (seen @ np.cross(forward, up)), HEIGHT / 2 - scale * (seen @ up)], axis=1)
