"""What a Gazebo world says, played by MuJoCo: everything it needs is read from the SDF, nothing from our own models."""

from __future__ import annotations

from xml.etree import ElementTree

import mujoco
import numpy as np

PUSH_OUT = 0.02  # share of its depth in a wall that the ball is pushed out by per step


class SdfBoard:
    """The board and the ball of an SDF world: joints with their controllers, collisions with friction and bounce."""

    def __init__(self, sdf: str) -> None:
        world = ElementTree.fromstring(sdf).find('world')
        self._board, ball = (world.find(f"model[@name='{name}']") for name in ('board', 'ball'))
        self.step_s = float(world.findtext('physics/max_step_size'))
        self._touched = []
        bodies = self._hung_on('world')
        place = ' '.join(ball.findtext('pose').split()[:3])
        bodies += f'<body name="ball" pos="{place}"><freejoint/>{_inertial(ball.find("link"))}'
        bodies += f'{_geom(ball.find("link/collision"))}</body>'
        touches = ''.join(self._touch(ball.find('link/collision'), other) for other in self._touched)
        gains = {
            plugin.findtext('joint_name'): float(plugin.findtext('p_gain'))
            for plugin in self._board.findall('plugin')
            if plugin.find('joint_name') is not None
        }
        motors = ''.join(f'<position joint="{joint}" kp="{gain}"/>' for joint, gain in gains.items())
        self.drag = np.array([float(ball.findtext(f'plugin/{name}')) for name in ('xU', 'yV', 'zW')])
        self.model = mujoco.MjModel.from_xml_string(f"""
<mujoco>
  <compiler angle="radian"/>
  <option timestep="{self.step_s}" gravity="{world.findtext('gravity')}" integrator="implicitfast" cone="elliptic"
    impratio="10"/>
  <default><geom contype="0" conaffinity="0"/></default>
  <worldbody>{bodies}</worldbody>
  <actuator>{motors}</actuator>
  <contact>{touches}</contact>
</mujoco>""")
        self.data = mujoco.MjData(self.model)
        self._ball = self.model.body('ball').id

    def play(self, command_rad: np.ndarray, duration_s: float) -> None:
        """Step with the controllers' topics at this tilt about x and y."""
        self.data.ctrl[:] = command_rad
        for _ in range(round(duration_s / self.step_s)):
            self.data.xfrc_applied[self._ball, :3] = self.drag * self.data.qvel[2:5]
            mujoco.mj_step(self.model, self.data)

    @property
    def tilt_rad(self) -> np.ndarray:
        return self.data.qpos[:2].copy()

    @property
    def position_m(self) -> np.ndarray:
        """The ball's centre in the board's frame, shape (3,)."""
        return self.data.body('board').xmat.reshape(3, 3).T @ self.data.qpos[2:5]

    def put(self, position_m: tuple[float, float]) -> None:
        """Level, the ball at rest here."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[2:4] = position_m
        mujoco.mj_forward(self.model, self.data)

    def _hung_on(self, parent: str) -> str:
        text = ''
        for joint in self._board.findall('joint'):
            if joint.findtext('parent') != parent:
                continue
            child = joint.findtext('child')
            link = self._board.find(f"link[@name='{child}']")
            self._touched += link.findall('collision')
            text += (
                f'<body name="{child}">{_inertial(link)}<joint name="{joint.get("name")}" type="hinge" '
                f'axis="{joint.findtext("axis/xyz")}" damping="{joint.findtext("axis/dynamics/damping")}"/>'
                f'{"".join(map(_geom, link.findall("collision")))}{self._hung_on(child)}</body>'
            )
        return text

    def _touch(self, ball: ElementTree.Element, other: ElementTree.Element) -> str:
        """As Gazebo combines two surfaces: the smaller friction, the product of the restitutions."""
        friction = min(float(thing.findtext('surface/friction/ode/mu')) for thing in (ball, other))
        bounce = np.prod([float(thing.findtext('surface/bounce/restitution_coefficient')) for thing in (ball, other)])
        solref = f'{-PUSH_OUT / self.step_s**2} {-(1 + bounce) / self.step_s}' if bounce else '1e-6 1'
        return (
            f'<pair geom1="{ball.get("name")}" geom2="{other.get("name")}" condim="3" '
            f'friction="{friction} {friction} 0 0 0" solref="{solref}" solimp="0.9999 0.9999 0.001"/>'
        )


def _inertial(link: ElementTree.Element) -> str:
    inertia = ' '.join(link.findtext(f'inertial/inertia/i{axis}{axis}') for axis in 'xyz')
    return f'<inertial pos="0 0 0" mass="{link.findtext("inertial/mass")}" diaginertia="{inertia}"/>'


def _geom(collision: ElementTree.Element) -> str:
    x, y, z, roll, pitch, yaw = (collision.findtext('pose') or '0 0 0 0 0 0').split()
    assert float(roll) == float(pitch) == 0
    shape = collision.find('geometry')[0]
    if shape.tag == 'box':
        size = ' '.join(str(float(side) / 2) for side in shape.findtext('size').split())
    elif shape.tag == 'cylinder':
        size = f'{shape.findtext("radius")} {float(shape.findtext("length")) / 2}'
    else:
        size = shape.findtext('radius')
    return (
        f'<geom name="{collision.get("name")}" type="{shape.tag}" pos="{x} {y} {z}" euler="0 0 {yaw}" size="{size}"/>'
    )
