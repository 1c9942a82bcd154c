"""Many boards played in step: physics, tilt commands on their way, and what the policy gets to see."""

from __future__ import annotations

import math
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.actions import next_tilt
from maze_policy.config import OBSERVATION_PX, CameraConfig, PhysicsConfig
from maze_policy.expert import Expert
from maze_policy.maze import Maze
from maze_policy.observation import observe
from maze_policy.perspective import SCENE, Perspective, draw_scenes
from maze_policy.render import Renderer
from maze_policy.simulator import BALL_RADIUS, COEFFICIENTS, PERIOD, ROUNDING_S, Simulator
from maze_policy.world import WorldConfig

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

DRAWN = ('rolling_resistance', 'viscous_per_s', 'restitution', 'wall_friction', 'tilt_lag_s')
LEAST_BLUR_PX = 0.2  # less cannot be seen


class View(Protocol):
    """Draws observations of shape (n, 84, 84) into `images`; see `maze_policy.perspective.Perspective.draw`."""

    def draw(  # noqa: D102 (said above)
        self, images: UInt8, position_m: Float64, tilt_rad: Float64, ball_radius_m: Float64, scene: Float64
    ) -> None: ...


class Boards:
    """`count` boards in one world; each draws its physics, its timing, its camera and its light at every reset.

    Attributes:
        simulator: the boards' true state.
        command_rad: commanded tilts about x and y as the policy knows them, shape (count, 2), rad.
        elapsed: control steps since the last reset, shape (count,).
        elapsed_s: simulated time since the last reset, shape (count,), s.
        limit_rad: largest commanded tilt, rad.
        latency: control steps from a command to the board following it, shape (count,).
    """

    def __init__(self, maze: Maze, world: WorldConfig, count: int, seed: int) -> None:
        simulator_seed, self._random = np.random.SeedSequence(seed).generate_state(1)[0], np.random.default_rng(seed)
        physics = PhysicsConfig()
        self.world = world
        self.simulator = _engine(world)(maze, physics, count, int(simulator_seed))
        self.command_rad = np.zeros((count, 2))
        self.elapsed = np.zeros(count, dtype=np.int64)
        self.elapsed_s = np.zeros(count)
        self.latency = np.zeros(count, dtype=np.int64)
        self._all = np.arange(count)
        self._maze = maze
        self.limit_rad = math.radians(physics.tilt_limit_deg)
        self._step_rad = np.zeros(count)
        self._period_s = np.zeros(count)
        self._missed = np.zeros(count)
        self._sent = np.zeros((world.latency_steps[1] + 2, count, 2))  # commands on their way, newest first
        self._view = _view(world, maze)
        self._scene = np.zeros((count, len(SCENE)))
        self._noise = np.zeros(count)
        self._blur_px = np.zeros(count)
        self._bank = self._random.standard_normal(1 << 20, dtype=np.float32)
        self._foresight = Simulator(maze, physics, count)
        self._expert = Expert(maze, physics)
        self.reset(self._all)

    def reseed(self, seed: int) -> None:
        """Draw from here on by this seed: noise at once, starts and worlds from the next reset on."""
        self.simulator.reseed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        self._random = np.random.default_rng(seed)

    def reset(self, which: Int64, ring: npt.ArrayLike | None = None) -> None:
        """Start the boards `which` (indices) anew, the ball in the outer ring or in `ring`."""
        world, physics = self.world, self.simulator.coefficients

        def draw(name: str) -> Float64:
            low, high = getattr(world, name)
            return np.asarray(self._random.uniform(low, high, which.size))

        for column, name in enumerate(COEFFICIENTS):
            if name in DRAWN:
                physics[which, column] = draw(name)
        physics[which, BALL_RADIUS] = self._maze.ball_radius_m * draw('ball_size')
        self._period_s[which] = 1 / draw('rate_hz')
        physics[which, PERIOD] = self._period_s[which]
        self._step_rad[which] = np.radians(draw('tilt_step_deg'))
        self._missed[which] = draw('missed_frames')
        self.latency[which] = self._random.integers(world.latency_steps[0], world.latency_steps[1] + 1, which.size)
        self._noise[which] = draw('noise_levels')
        self._blur_px[which] = draw('blur_px')
        self._scene[which] = draw_scenes(draw)
        self.simulator.reset(which, ring)
        self.command_rad[which] = 0.0
        self.elapsed[which] = 0
        self.elapsed_s[which] = 0.0
        self._sent[:, which] = 0.0

    def late(self, limit_s: float) -> npt.NDArray[np.bool_]:
        """Whether each board has been played for that long since its reset, shape (count,)."""
        return np.asarray(self.elapsed_s > limit_s - ROUNDING_S)

    def observations(self, which: Int64) -> UInt8:
        """What the policy sees of the boards `which`, shape (n, 84, 84)."""
        images = np.empty((which.size, OBSERVATION_PX, OBSERVATION_PX), np.uint8)
        simulator = self.simulator
        ball_radius_m = simulator.coefficients[which, BALL_RADIUS]
        self._view.draw(
            images, simulator.position_m[which], simulator.tilt_rad[which], ball_radius_m, self._scene[which]
        )
        for image, blur_px, levels in zip(images, self._blur_px[which], self._noise[which]):
            if blur_px > LEAST_BLUR_PX:
                cv2.GaussianBlur(image, (0, 0), blur_px, dst=image)
            if levels > 0:
                self._add_noise(image, levels)
        return images

    def expert_actions(self) -> Int64:
        """What the expert would do on each board, shape (count,)."""
        action: Int64 = self.expert_preferences().argmax(axis=1)
        return action

    def expert_preferences(self) -> Float64:
        """How much the expert wants each action on each board, shape (count, 5); see `Expert.preferences`.

        It acts on where the ball will be when its action takes effect: the commands that are on their way are played on
        a planar simulator first. Without that no expert copes with latency.
        """
        ahead, simulator = self._foresight, self.simulator
        for name in ('position_m', 'velocity_m_s', 'tilt_rad', 'coefficients'):
            getattr(ahead, name)[:] = getattr(simulator, name)
        ahead.coefficients[:, PERIOD] = self._period_s
        for wait in range(int(self.latency.max()), 0, -1):
            # A board of latency n still has n commands to come, the oldest first.
            waiting = np.flatnonzero(self.latency >= wait)
            ahead.step(self._sent[wait - 1], waiting)
        return self._expert.preferences(ahead.position_m, ahead.velocity_m_s, self.command_rad, self._step_rad)

    def step(self, action: Int64, which: Int64) -> None:
        """Play one action on each of the boards `which`, shape (n,)."""
        self.command_rad[which] = next_tilt(
            self.command_rad[which], action, self._step_rad[which, np.newaxis], self.limit_rad
        )
        self._advance(which)
        missed = which[self._random.random(which.size) < self._missed[which]]
        if missed.size:
            self._advance(missed)

    def _advance(self, which: Int64) -> None:
        self._sent[1:, which] = self._sent[:-1, which]
        self._sent[0, which] = self.command_rad[which]
        late = self._random.random(which.size) < self.world.latency_jitter
        arrived = np.zeros_like(self.command_rad)
        arrived[which] = self._sent[self.latency[which] + late, which]
        spread = self._random.uniform(-1.0, 1.0, which.size) * self.world.rate_jitter
        self.simulator.coefficients[which, PERIOD] = self._period_s[which] * (1 + spread)
        self.simulator.step(arrived, which)
        self.elapsed[which] += 1
        self.elapsed_s[which] += self.simulator.coefficients[which, PERIOD]

    def _add_noise(self, image: UInt8, levels: float) -> None:
        """A random piece of noise drawn once: new noise for every pixel would cost more than the image."""
        start = self._random.integers(self._bank.size - image.size)
        noise = self._bank[start : start + image.size].reshape(image.shape) * np.float32(levels)
        cv2.add(image, noise, dst=image, dtype=cv2.CV_8U)


def starting_rings(maze: Maze, count: int, any_ring: float, random: np.random.Generator) -> Int64:
    """Rings for `count` episodes to start in, shape (count,): a share in any ring, the others in the outermost."""
    anywhere = random.random(count) < any_ring
    return np.where(anywhere, random.integers(1, maze.rings + 1, count), maze.rings)


class _FromAbove:
    """The flat views: a camera so far above that only place and light change."""

    def __init__(self, maze: Maze, *, through_camera: bool) -> None:
        self._renderer = Renderer(maze, CameraConfig())
        self._through_camera = through_camera

    def draw(
        self, images: UInt8, position_m: Float64, tilt_rad: Float64, ball_radius_m: Float64, scene: Float64
    ) -> None:
        renderer = self._renderer
        for image, position, tilt in zip(images, position_m, tilt_rad):
            if self._through_camera:
                image[:] = observe(renderer.camera_image(position, tilt))
            else:
                image[:] = renderer.observation(position, tilt)


def _engine(world: WorldConfig) -> type[Simulator]:
    if world.engine == 'planar':
        return Simulator
    from maze_policy.mujoco_simulator import MujocoSimulator  # an extra that playing the planar world does not need

    return MujocoSimulator


def _view(world: WorldConfig, maze: Maze) -> View:
    if world.view in ('flat', 'camera'):
        return _FromAbove(maze, through_camera=world.view == 'camera')
    if world.view == 'perspective':
        return Perspective(maze)
    from maze_policy.mujoco_camera import MujocoCamera

    return MujocoCamera(maze)
