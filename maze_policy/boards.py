"""Many boards played in step: simulator, tilt commands, observations, and what may disturb them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.actions import next_tilt
from maze_policy.config import OBSERVATION_PX, CameraConfig, DisturbanceConfig, PhysicsConfig
from maze_policy.maze import Maze
from maze_policy.observation import observe
from maze_policy.render import Renderer
from maze_policy.simulator import Simulator

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]


class Boards:
    """`count` boards; each has its own noise level, latency and physics, drawn at every reset.

    Attributes:
        simulator: the boards' true state.
        command_rad: commanded tilts about x and y as the policy knows them, shape (count, 2), rad.
        elapsed: control steps since the last reset, shape (count,).
    """

    def __init__(
        self,
        maze: Maze,
        physics: PhysicsConfig,
        count: int,
        seed: int,
        disturbance: DisturbanceConfig = DisturbanceConfig(),  # noqa: B008 (frozen)
        *,
        camera: CameraConfig | None = None,
    ) -> None:
        """With `camera` the observations come from its images instead of being drawn directly."""
        simulator_seed, self._random = np.random.SeedSequence(seed).generate_state(1)[0], np.random.default_rng(seed)
        self.simulator = Simulator(maze, physics, count, int(simulator_seed), variation=disturbance.variation)
        self.command_rad = np.zeros((count, 2))
        self.elapsed = np.zeros(count, dtype=np.int64)
        self._renderer = Renderer(maze, camera or CameraConfig())
        self._through_camera = camera is not None
        self._disturbance = disturbance
        self._step_rad, self._limit_rad = math.radians(physics.tilt_step_deg), math.radians(physics.tilt_limit_deg)
        self._sent = np.zeros((disturbance.latency_steps + 1, count, 2))  # commands on their way, newest first
        self._latency = np.zeros(count, dtype=np.int64)
        self._bank = self._random.standard_normal(1 << 20, dtype=np.float32)
        self._noise = np.zeros(count, dtype=np.float32)
        self.reset(np.arange(count))

    def reseed(self, seed: int) -> None:
        """Draw starts and disturbances anew from this seed, from the next reset on."""
        self.simulator.reseed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        self._random = np.random.default_rng(seed)

    def reset(self, which: Int64, ring: npt.ArrayLike | None = None) -> None:
        """Start the boards `which` (indices) anew, the ball in the outer ring or in `ring`."""
        self.simulator.reset(which, ring)
        self.command_rad[which] = 0.0
        self.elapsed[which] = 0
        self._sent[:, which] = 0.0
        slowest, fastest = self._disturbance.latency_steps, self._disturbance.least_latency_steps
        self._latency[which] = self._random.integers(fastest, slowest + 1, which.size)
        self._noise[which] = self._random.uniform(0.0, self._disturbance.noise_levels, which.size)

    def observations(self, which: Int64) -> UInt8:
        """What the policy sees of the boards `which`, shape (n, 84, 84)."""
        images = np.empty((which.size, OBSERVATION_PX, OBSERVATION_PX), np.uint8)
        for image, board in zip(images, which):
            position_m, tilt_rad = self.simulator.position_m[board], self.simulator.tilt_rad[board]
            if self._through_camera:
                image[:] = observe(self._renderer.camera_image(position_m, tilt_rad))
            else:
                image[:] = self._renderer.observation(position_m, tilt_rad)
            if self._disturbance.noise_levels:
                self._add_noise(image, self._noise[board])
        return images

    def _add_noise(self, image: UInt8, levels: float) -> None:
        """A random piece of noise drawn once: new noise for every pixel would cost more than the image."""
        start = self._random.integers(self._bank.size - image.size)
        noise = self._bank[start : start + image.size].reshape(image.shape) * np.float32(levels)
        cv2.add(image, noise, dst=image, dtype=cv2.CV_8U)

    def step(self, action: Int64, which: Int64) -> None:
        """Play one action on each of the boards `which`, shape (n,)."""
        self.command_rad[which] = next_tilt(self.command_rad[which], action, self._step_rad, self._limit_rad)
        self._advance(which)
        missed = which[self._random.random(which.size) < self._disturbance.missed_frames]
        if missed.size:
            self._advance(missed)

    def _advance(self, which: Int64) -> None:
        self._sent[1:, which] = self._sent[:-1, which]
        self._sent[0, which] = self.command_rad[which]
        arrived = self._sent[self._latency, np.arange(self._latency.size)]
        self.simulator.step(arrived, which)
        self.elapsed[which] += 1
