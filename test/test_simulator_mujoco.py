"""The planar simulator against MuJoCo on the same geometry: a board that really tilts, a ball that really rolls.

Seen: 0.05 mm after 0.6 s of free rolling, 1 mm after 1 s of rolling to and fro, 1 mm through a bounce at the rim,
1.1 mm through a bounce at a ring wall (whose boxes are flat).
"""

import math

import numpy as np
import pytest
from mujoco_board import MujocoBoard

from maze_policy.config import PhysicsConfig
from maze_policy.maze import load_maze
from maze_policy.simulator import Simulator

MAZE, PHYSICS = load_maze(), PhysicsConfig()
STEP = math.radians(PHYSICS.tilt_step_deg)

# name: start (m), commanded tilt at step k (steps about x, y), control steps, tolerance (m), least way rolled (m)
CASES = {
    'free rolling': ((0.0865, 0.0), lambda k: (min(k, 2), 0), 18, 0.0002, 0.008),
    'free rolling to and fro': ((0.0, 0.0865), lambda k: (0, k if k < 4 else max(8 - k, -4)), 30, 0.0015, 0.02),
    'bounce at the rim': ((0.0865, 0.0), lambda k: (0, 2), 40, 0.0015, 0.003),
    'bounce at a ring wall': ((0.003, 0.0865), lambda k: (2, 0), 45, 0.0015, 0.003),
}


@pytest.mark.parametrize('case', CASES)
def test_same_tilts_same_positions(case):
    start, command, steps, tolerance_m, least_m = CASES[case]
    simulator, board = Simulator(MAZE, PHYSICS), MujocoBoard(MAZE, PHYSICS)
    simulator.position_m[0] = start
    board.reset(start)
    planar, solid = [], []
    for k in range(steps):
        tilt = STEP * np.array(command(k))
        simulator.step(tilt[np.newaxis])
        board.step(tilt)
        planar.append(simulator.position_m[0].copy())
        solid.append(board.position_m)
        np.testing.assert_allclose(board.tilt_rad, simulator.tilt_rad[0], atol=1e-9)
    rolled = np.hypot(*np.diff(planar, axis=0).T).sum()
    assert rolled > least_m
    assert np.hypot(*(np.array(planar) - solid).T).max() < tolerance_m


def test_ball_rolls_through_the_same_opening():
    board = MujocoBoard(MAZE, PHYSICS)
    angle = MAZE.openings_rad[3][1]  # 150 degrees
    inwards = -np.array([math.cos(angle), math.sin(angle)])
    board.reset(-0.0865 * inwards)
    # Positive tilt about y rolls to +x, about x to -y.
    for _ in range(18):
        board.step(2 * STEP * np.array([-inwards[1], inwards[0]]))
    assert MAZE.ring(np.hypot(*board.position_m)) == 3
