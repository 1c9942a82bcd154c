"""What a step of the policy and of the flat renderer costs: `python bench/policy.py`.

Each line stands beside a floor or a peer measured in the same minute. One thread; the best of several rounds, because
whatever else the machine does only ever adds time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch.nn import functional

from maze_policy.maze import load_maze
from maze_policy.network import CnnLstm
from maze_policy.observation import observe
from maze_policy.render import Renderer

MOST_FOR_GATES = 1.1  # of the plain module's time


def seconds(*actions: Callable[[], object], repeat: int = 200, rounds: int = 15) -> list[float]:
    """Seconds per call of each action, the best of rounds that take turns."""
    best = [float('inf')] * len(actions)
    for _ in range(rounds):
        for index, action in enumerate(actions):
            start = time.perf_counter()
            for _ in range(repeat):
                action()
            best[index] = min(best[index], (time.perf_counter() - start) / repeat)
    return best


def policy_step() -> tuple[float, float]:
    """Our step with every gate visible, and conv + nn.LSTM + readout, which shows none: batch 1, s."""
    network = CnnLstm().eval()
    image = np.random.default_rng(0).integers(0, 256, (84, 84), dtype=np.uint8)
    memory = network.step(image, network.initial_memory()).memory
    plain_memory = (memory[0][None, None], memory[1][None, None])

    @torch.inference_mode()
    def plain() -> object:
        features = network.eye(torch.from_numpy(image)[None, None].float().mul_(1 / 127.5).sub_(1.0))
        hidden, after = network.lstm(features[None], plain_memory)
        return functional.linear(hidden[0, 0], network.actor.weight).numpy(), after

    ours, theirs = seconds(lambda: network.step(image, memory), plain)
    return ours, theirs


def images() -> tuple[float, float, float, float, float]:
    """Observation, camera image, observation through the camera, and the two copies of a background, s."""
    renderer = Renderer(load_maze())
    position, tilt = np.array([0.06, 0.05]), np.array([0.02, -0.01])
    small, large = renderer.observation(position, tilt), renderer.camera_image(position, tilt)
    direct, small_copy = seconds(lambda: renderer.observation(position, tilt), small.copy)
    camera, through, large_copy = seconds(
        lambda: renderer.camera_image(position, tilt),
        lambda: observe(renderer.camera_image(position, tilt)),
        large.copy,
        repeat=20,
    )
    return direct, camera, through, small_copy, large_copy


def main() -> int:
    """Print the table; exit code 1 if the gates cost more than they may."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    ours, plain = policy_step()
    direct, camera, through, small_copy, large_copy = images()
    rows = [
        ('policy step, gates visible', ours, 'conv + nn.LSTM + readout', plain),
        ('observation 84 x 84', direct, 'copy of the background', small_copy),
        ('camera image 640 x 480', camera, 'copy of the background', large_copy),
        ('observation via the camera', through, 'observation drawn directly', direct),
    ]
    print(f'{"what":28}{"time":>11}{"rate":>15}   {"floor or peer":28}{"time":>11}{"ratio":>9}')
    for what, taken, peer, floor in rows:
        rate = f'{1 / taken:,.0f}/s'
        print(f'{what:28}{taken * 1e6:9.2f}us{rate:>15}   {peer:28}{floor * 1e6:9.2f}us{taken / floor:9.2f}')
    print(f'policy step: want at most {MOST_FOR_GATES} times the plain module, got {ours / plain:.2f}')
    return int(ours > MOST_FOR_GATES * plain)


if __name__ == '__main__':
    sys.exit(main())
