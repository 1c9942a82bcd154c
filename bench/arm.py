"""What the limits of an arm cost a policy: `python bench/arm.py`.

The simulated board gets what `arm_node` would send for a policy's tilts instead of these themselves, and has its usual
lag on top. Same boards and starts for every arm.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from maze_policy import arm
from maze_policy.actions import next_tilt
from maze_policy.checkpoint import load_policy
from maze_policy.config import PhysicsConfig
from maze_policy.maze import load_maze
from maze_policy.node_config import ArmNodeConfig
from maze_policy.policy import RecurrentPolicy, choose
from maze_policy.render import Renderer
from maze_policy.simulator import Simulator

FRAME_HZ, TICKS = 30.0, 3
LIMIT_S = 60.0
USUAL = ArmNodeConfig()
ARMS = {'none': None} | {
    f'{rate:g} deg/s, {acceleration:g} deg/s^2': replace(
        USUAL, rate_limit_deg_s=rate, acceleration_limit_deg_s2=acceleration
    )
    for rate, acceleration in ((30.0, 400.0), (20.0, 400.0), (30.0, 180.0), (30.0, 150.0), (30.0, 100.0))
}


def trial(policy: RecurrentPolicy, limits: ArmNodeConfig | None, seed: int) -> float:
    """How long one trial takes, s; NaN where it is not solved in a minute."""
    maze, physics = load_maze(), PhysicsConfig()
    simulator = Simulator(maze, replace(physics, rate_hz=TICKS * FRAME_HZ, substeps=8), seed=seed)
    renderer, motion = Renderer(maze), arm.tilting(limits or USUAL)
    step_rad, limit_rad = np.radians([physics.tilt_step_deg, physics.tilt_limit_deg])
    tilt_rad, memory = np.zeros(2), policy.initial_memory()
    for frame in range(int(LIMIT_S * FRAME_HZ)):
        step = policy.step(renderer.observation(simulator.position_m[0], simulator.tilt_rad[0]), memory)
        memory, tilt_rad = step.memory, next_tilt(tilt_rad, choose(step.scores), step_rad, float(limit_rad))
        for _ in range(TICKS):
            motion.follower.step(tilt_rad, 1 / (TICKS * FRAME_HZ))
            simulator.step((motion.follower.position_rad if limits else tilt_rad)[None])
        if simulator.solved[0]:
            return (frame + 1) / FRAME_HZ
    return float('nan')


def main() -> None:
    """Print success and mean time for every arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--checkpoint', default='nominal', help='policy (default: %(default)s)')
    parser.add_argument('--trials', type=int, default=20, help='trials per arm (default: %(default)s)')
    options = parser.parse_args()
    policy = load_policy(options.checkpoint, threads=1)
    for name, limits in ARMS.items():
        took_s = np.array([trial(policy, limits, seed) for seed in range(options.trials)])
        solved = np.isfinite(took_s)
        print(f'{name:26} solved {solved.sum()} of {solved.size}, {took_s[solved].mean():.1f} s', flush=True)


if __name__ == '__main__':
    main()
