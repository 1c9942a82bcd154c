"""The second engine: the board and its ball in MuJoCo, behind the planar simulator's interface."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
import numpy.typing as npt
from numba import njit, types

from maze_policy.config import PhysicsConfig
from maze_policy.maze import WALL_HEIGHT_M, Maze
from maze_policy.mujoco_model import BALL_KG, BOX_M, contact_restitution, mjcf, wall_pieces
from maze_policy.simulator import BALL_RADIUS, PERIOD, ROLLING, Simulator

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

STEP_S = 1 / 240  # of MuJoCo, as near as a whole number of steps per control period comes to it
PUSH_OUT = 0.02  # share of its depth in a wall that the ball is pushed out by per substep
_BOX, _POST = int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_CYLINDER)

# The compiled loop calls MuJoCo itself: a step from Python costs three times as much. By name, not by address, so that
# what was compiled can be kept for the next process.
ctypes.CDLL(str(next(Path(mujoco.__file__).parent.glob('libmujoco*'))), ctypes.RTLD_GLOBAL)
_mj_step = types.ExternalFunction('mj_step', types.void(types.intp, types.intp))
mujoco.set_mjcb_time(None)  # MuJoCo's own timers take a fifth of a step this small


class MujocoSimulator(Simulator):
    """`Simulator` with a board that really tilts and a ball that rolls, slips, spins and hops, as MuJoCo has it.

    The board's angles are prescribed (command and lag as in the planar simulator), not driven by a motor. Rolling
    resistance and viscous damping are forces on the ball: MuJoCo's own rolling friction hardly brakes at a coefficient
    this small. The steps are MuJoCo's own (`STEP_S`); `physics.substeps` are the planar simulator's.

    A wall is hit as in Newton's law, within one step and whatever its length: the contact asks for the rebound speed
    as the next speed, where a spring would need many steps to turn the ball round. `restitution` is what is left of
    the speed once the ball rolls again, as in the planar simulator.

    All boards share one model and one set of data; what a board does depends on its own state alone. The model has
    only as many pieces of wall as a ball can touch, and they are put where the ball is.
    """

    def __init__(self, maze: Maze, physics: PhysicsConfig, count: int = 1, seed: int = 0) -> None:
        pieces = wall_pieces(maze)
        self._largest_m = maze.opening_clear_m / 2
        reach_m = self._largest_m + maze.wall_thickness_m / 2 + BOX_M / 2
        # Whatever a ball can reach at once lies within twice its reach of any one of them.
        apart = np.hypot(*(pieces[:, np.newaxis, :2] - pieces[np.newaxis, :, :2]).T)
        slots = int((apart < 2 * reach_m).sum(axis=0).max())
        self._model = mujoco.MjModel.from_xml_string(mjcf(maze, pieces[:slots]))
        self._data = mujoco.MjData(self._model)
        # What MuJoCo worked out for the first pieces must hold for any other in their place.
        first = self._model.geom('wall 0').id
        walls = slice(first, first + slots)
        self._model.geom_rbound[walls] = WALL_HEIGHT_M + BOX_M
        self._model.geom_sameframe[walls] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
        self._mj = _Mujoco.of(self._model, self._data, walls)
        self._pieces = pieces
        self._unseen = np.zeros((count, 7))  # height off the floor and its change, spin, rates of the tilt
        super().__init__(maze, physics, count, seed)

    def _place(self, boards: Int64) -> None:
        self._unseen[boards] = 0.0

    def _advance(self, boards: Int64, command_rad: Float64) -> None:
        radius_m = self.coefficients[boards, BALL_RADIUS]
        if radius_m.size and radius_m.max() > self._largest_m:
            raise ValueError(
                f'want balls that pass the openings, radius at most {self._largest_m} m, got {radius_m.max()}'
            )
        for board in boards:
            period_s = self.coefficients[board, PERIOD]
            substeps = max(round(period_s / STEP_S), 1)
            self._model.opt.timestep = period_s / substeps
            _play(
                board,
                command_rad,
                self.position_m,
                self.velocity_m_s,
                self.tilt_rad,
                self._unseen,
                self.coefficients,
                self._pieces,
                substeps,
                self._mj,
            )


class _Mujoco(NamedTuple):
    """The fields of model and data that the compiled loop reads and writes, as arrays that share their memory."""

    model: int
    data: int
    qpos: Float64
    qvel: Float64
    force: Float64
    gravity: Float64
    ball_size: Float64
    ball_bound: Float64
    ball_inertia: Float64
    wall_type: npt.NDArray[np.int32]
    wall_pos: Float64
    wall_quat: Float64
    wall_size: Float64
    pair_friction: Float64
    pair_solref: Float64
    pair_solref_friction: Float64

    @classmethod
    def of(cls, model: Any, data: Any, walls: slice) -> _Mujoco:
        ball, body = model.geom('ball').id, model.body('ball').id
        return cls(
            model._address,
            data._address,
            data.qpos,
            data.qvel,
            data.xfrc_applied[body],
            model.opt.gravity,
            model.geom_size[ball],
            model.geom_rbound[ball : ball + 1],
            model.body_inertia[body],
            model.geom_type[walls],
            model.geom_pos[walls],
            model.geom_quat[walls],
            model.geom_size[walls],
            model.pair_friction[1:],
            model.pair_solref[1:],
            model.pair_solreffriction[1:],
        )


@njit(cache=True)
def _play(
    board: int,
    command: Float64,
    position: Float64,
    velocity: Float64,
    tilt: Float64,
    unseen: Float64,
    coefficients: Float64,
    pieces: Float64,
    substeps: int,
    mj: Any,
) -> None:
    gravity, resistance, viscous, restitution, friction, lag, radius, period = coefficients[board]
    dt = period / substeps
    follow = 1.0 - math.exp(-dt / lag) if lag > 0.0 else 1.0
    rolling_kg = BALL_KG / ROLLING
    most_brake = resistance * gravity * BALL_KG
    mj.gravity[2] = -gravity
    mj.ball_size[0] = radius
    mj.ball_bound[0] = radius
    mj.ball_inertia[:] = 0.4 * BALL_KG * radius * radius
    _set_walls(mj, restitution, friction, dt)

    tilt_x, tilt_y = tilt[board]
    rate_x, rate_y = unseen[board, 5], unseen[board, 6]
    turn = _turn(tilt_x, tilt_y)
    x, y, z = position[board, 0], position[board, 1], radius + unseen[board, 0]
    _write(mj.qpos, _out(turn, (x, y, z)))
    carried = _carried(turn, rate_x, rate_y, mj.qpos, 0.0)
    own = _out(turn, (velocity[board, 0], velocity[board, 1], unseen[board, 1]))
    _write(mj.qvel, (own[0] + carried[0], own[1] + carried[1], own[2] + carried[2]))
    mj.qvel[5:] = unseen[board, 2:5]
    for _ in range(substeps):
        rate_x = follow * (command[board, 0] - tilt_x) / dt
        rate_y = follow * (command[board, 1] - tilt_y) / dt
        mj.qpos[0], mj.qpos[1] = tilt_x, tilt_y
        mj.qvel[0], mj.qvel[1] = rate_x, rate_y
        # A ball looks the same from all sides: turned back before every step, its spin is in the world's frame.
        mj.qpos[5], mj.qpos[6], mj.qpos[7], mj.qpos[8] = 1.0, 0.0, 0.0, 0.0
        _put_walls(mj, pieces, x, y, radius)
        carried = _carried(turn, rate_x, rate_y, mj.qpos, -radius)  # the floor's, over which the ball rolls
        vx, vy, vz = mj.qvel[2] - carried[0], mj.qvel[3] - carried[1], mj.qvel[4] - carried[2]
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        brake = most_brake / speed if most_brake * dt < rolling_kg * speed else rolling_kg / dt
        brake += viscous * rolling_kg
        mj.force[0], mj.force[1], mj.force[2] = -brake * vx, -brake * vy, -brake * vz
        _mj_step(mj.model, mj.data)
        tilt_x += rate_x * dt
        tilt_y += rate_y * dt
        turn = _turn(tilt_x, tilt_y)
        x, y, z = _in(turn, (mj.qpos[2], mj.qpos[3], mj.qpos[4]))
    carried = _carried(turn, rate_x, rate_y, mj.qpos, 0.0)
    vx, vy, vz = _in(turn, (mj.qvel[2] - carried[0], mj.qvel[3] - carried[1], mj.qvel[4] - carried[2]))
    tilt[board, 0], tilt[board, 1] = tilt_x, tilt_y
    position[board, 0], position[board, 1] = x, y
    velocity[board, 0], velocity[board, 1] = vx, vy
    unseen[board, 0], unseen[board, 1] = z - radius, vz
    unseen[board, 2:5] = mj.qvel[5:]
    unseen[board, 5], unseen[board, 6] = rate_x, rate_y


@njit(cache=True)
def _set_walls(mj: Any, restitution: float, friction: float, dt: float) -> None:
    """The contact with a wall asks for the rebound speed as the next speed normal to it.

    Along the wall it asks for what friction can take off the slip of a ball that rolls straight at it, and no more:
    the solver is convex, and pays for slip that is left over by pushing the ball away.
    """
    bounce = contact_restitution(restitution, friction)
    for pair in range(len(mj.pair_solref)):
        mj.pair_friction[pair, 0] = mj.pair_friction[pair, 1] = friction
        mj.pair_solref[pair, 0] = -PUSH_OUT / (dt * dt)
        mj.pair_solref[pair, 1] = -(1.0 + bounce) / dt
        mj.pair_solref_friction[pair, 0] = -1.0  # none: along the wall there is no depth
        mj.pair_solref_friction[pair, 1] = -min(3.5 * friction * (1.0 + bounce), 1.0) / dt


@njit(cache=True)
def _put_walls(mj: Any, pieces: Float64, x: float, y: float, reach: float) -> None:
    """Put the pieces of wall near a ball at (x, y) into the model and the rest of its places out of the way."""
    slot = 0
    for piece in range(len(pieces)):
        half_t, half_length = pieces[piece, 3], pieces[piece, 4]
        off_x, off_y = x - pieces[piece, 0], y - pieces[piece, 1]
        near = reach + half_t + half_length
        if off_x * off_x + off_y * off_y >= near * near:
            continue
        half_angle = pieces[piece, 2] / 2
        mj.wall_pos[slot, 0], mj.wall_pos[slot, 1] = pieces[piece, 0], pieces[piece, 1]
        mj.wall_pos[slot, 2] = WALL_HEIGHT_M / 2
        mj.wall_quat[slot, 0], mj.wall_quat[slot, 3] = math.cos(half_angle), math.sin(half_angle)
        mj.wall_type[slot] = _BOX if half_length else _POST
        mj.wall_size[slot, 0] = half_t
        mj.wall_size[slot, 1] = half_length if half_length else WALL_HEIGHT_M / 2
        mj.wall_size[slot, 2] = WALL_HEIGHT_M / 2
        slot += 1
    mj.wall_pos[slot:, 2] = -1.0


@njit(cache=True)
def _turn(tilt_x: float, tilt_y: float) -> Any:
    """The board's rotation matrix, row by row: about x, then about its own y."""
    sx, cx, sy, cy = math.sin(tilt_x), math.cos(tilt_x), math.sin(tilt_y), math.cos(tilt_y)
    return (cy, 0.0, sy), (sx * sy, cx, -sx * cy), (-cx * sy, sx, cx * cy)


@njit(cache=True)
def _out(turn: Any, v: Any) -> Any:
    """From the board's frame to the world's."""
    a, b, c = turn
    return (
        a[0] * v[0] + a[1] * v[1] + a[2] * v[2],
        b[0] * v[0] + b[1] * v[1] + b[2] * v[2],
        c[0] * v[0] + c[1] * v[1] + c[2] * v[2],
    )


@njit(cache=True)
def _in(turn: Any, v: Any) -> Any:
    """From the world's frame to the board's."""
    a, b, c = turn
    return (
        a[0] * v[0] + b[0] * v[1] + c[0] * v[2],
        a[1] * v[0] + b[1] * v[1] + c[1] * v[2],
        a[2] * v[0] + b[2] * v[1] + c[2] * v[2],
    )


@njit(cache=True)
def _carried(turn: Any, rate_x: float, rate_y: float, qpos: Float64, above: float) -> Any:
    """Velocity of the board this much above the ball's centre, in the world's frame."""
    about_x, about_y, about_z = rate_x, turn[1][1] * rate_y, turn[2][1] * rate_y
    x, y, z = qpos[2], qpos[3], qpos[4] + above
    return about_y * z - about_z * y, about_z * x - about_x * z, about_x * y - about_y * x


@njit(cache=True)
def _write(state: Float64, v: Any) -> None:
    """The ball's place or velocity into the state, after the board's two angles."""
    state[2], state[3], state[4] = v
