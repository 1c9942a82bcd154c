"""Lossless videos of boards with the truth beside them: what a camera node plays where there is no camera."""

from __future__ import annotations

import json
import queue
import threading
from pathlib import Path

import cv2
import numpy as np
from stand_in_plant import write_camera_info

from maze_policy.boards import Boards
from maze_policy.markers import MarkerConfig
from maze_policy.maze import load_maze
from maze_policy.policy import choose
from maze_policy.scene_camera import SceneCamera, draw_scene
from maze_policy.simulator import BALL_RADIUS

MOST_WAITING = 64  # pictures; 60 MB


class VideoFile:
    """FILE.avi (FFV1, to the last bit) and FILE.jsonl; written in a thread, as a picture takes 15 ms.

    Where the disk is slower than the camera `write` waits: nothing is left out.
    """

    def __init__(self, path, rate_hz, size=(640, 480)):
        path = Path(path)
        self._video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*'FFV1'), rate_hz, size)
        if not self._video.isOpened():
            raise SystemExit(f'stand_in: cannot write {path}')
        self._truth = open(path.with_suffix('.jsonl'), 'w')  # noqa: SIM115 (closed by close)
        self._waiting = queue.Queue(MOST_WAITING)
        self._pictures = 0
        self._thread = threading.Thread(target=self._run, name='video')
        self._thread.start()

    def write(self, rgb, truth):
        """A picture and what was true then."""
        self._waiting.put((rgb, truth))

    def close(self):
        """Write what waits; how many pictures there are."""
        self._waiting.put(None)
        self._thread.join()
        self._video.release()
        self._truth.close()
        return self._pictures

    def _run(self):
        while item := self._waiting.get():
            rgb, truth = item
            self._video.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            self._truth.write(json.dumps(truth) + '\n')
            self._pictures += 1


def write_episodes(path, maze, world, policy, *, episodes, seed, time_limit_s, markers=None, camera_info=None):
    """Play a policy in simulated time, and film it as the stand-in's camera would: an open-loop video.

    One robot and one room for all episodes. The policy sees what it sees in training, not the film.

    Returns:
        Each episode's seconds, None where it was not solved.
    """
    boards = Boards(maze, world, 1, seed)
    scene, which = draw_scene(world, maze, np.random.default_rng(seed)), np.zeros(1, dtype=np.int64)
    camera = SceneCamera(maze, scene, markers=markers, seed=seed)
    if camera_info:
        write_camera_info(camera_info, camera.pinhole)
    video = VideoFile(path, np.mean(world.rate_hz))
    solved_s, number = [], 0
    for episode in range(1, episodes + 1):
        boards.reset(which)
        boards._scene[0] = scene.view
        boards.simulator.coefficients[0, BALL_RADIUS] = scene.ball_radius_m
        memory, solved = policy.initial_memory(), False
        while not solved and not boards.late(time_limit_s)[0]:
            step = policy.step(boards.observations(which)[0], memory)
            memory, action = step.memory, choose(step.scores)
            ball_m, tilt_rad = boards.simulator.position_m[0], boards.simulator.tilt_rad[0]
            number += 1
            truth = {'number': number, 'episode': episode, 'at_s': round(float(boards.elapsed_s[0]), 6)}
            truth |= {'ball_m': ball_m.tolist(), 'tilt_rad': tilt_rad.tolist(), 'action': int(action)}
            video.write(camera.picture(ball_m, tilt_rad), truth)
            boards.step(np.array([action]), which)
            solved = bool(boards.simulator.solved[0])
        solved_s.append(round(float(boards.elapsed_s[0]), 2) if solved else None)
        print(f'stand_in: episode {episode}: {f"solved in {solved_s[-1]} s" if solved else "not solved"}', flush=True)
    video.close()
    return solved_s


def film(options, world):
    """Write a video of a policy that plays in the simulator; the exit code."""
    from maze_policy.checkpoint import load_policy

    solved_s = write_episodes(
        options.write_video,
        load_maze(),
        world,
        load_policy(options.policy, threads=1),
        episodes=max(options.trials, 1),
        seed=options.seed,
        time_limit_s=options.time_limit_s,
        markers=None if options.no_markers else MarkerConfig(),
        camera_info=options.camera_info,
    )
    return 0 if None not in solved_s else 1
