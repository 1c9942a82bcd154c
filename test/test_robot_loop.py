"""The whole robot once, from its camera to its arm, each node a process of its own; only the robot is a stand-in."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import DEADLINE_S
from test_stand_in_robot import Robot

from maze_introspection.demo import environment, node_command
from maze_policy.topics import listeners

NODES = {
    'arm': 'maze_policy.arm_node',
    'policy': 'maze_policy.policy_node',
    'camera': 'maze_policy.camera_node',
}
LIMIT_S, TRIALS = 60.0, 3  # five times what a trial takes on an idle machine; of 40 one is not solved at all


@pytest.fixture
def processes():
    """Nodes that a test starts and that end with it, the camera first."""
    started = []
    yield started
    for process in reversed(started):
        process.send_signal(signal.SIGINT)
    for process in started:
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_a_board_is_calibrated_from_its_camera_and_then_solved(graph, domain, tmp_path, processes, monkeypatch):
    for name, value in environment(domain, tmp_path).items():
        monkeypatch.setenv(name, value)
    info, board, log = tmp_path / 'camera.yaml', tmp_path / 'board.yaml', tmp_path / 'robot.jsonl'
    trials = ('--trials', str(TRIALS), '--time-limit-s', str(LIMIT_S))
    robot = Robot(graph, domain, log, *trials, '--engine', 'planar', '--camera-info', str(info))
    processes.append(robot.process)
    command = [sys.executable, '-m', 'maze_policy.cli', 'calibrate', robot.url]
    subprocess.run([*command, '--camera-info', str(info), '--out', str(board)], check=True, timeout=DEADLINE_S)

    given = {'policy': {'checkpoint': 'robust_finetuned'}, 'camera': {'source': robot.url, 'calibration': info}}
    for name, module in NODES.items():
        command = node_command(module, {'wait_for': listeners(name, NODES)} | given.get(name, {}))
        processes.append(subprocess.Popen([*command, '--params-file', str(board)], env=dict(os.environ)))
    solved = json.dumps({'what': 'solved'}).strip('{}')
    graph.until(lambda: solved in log.read_text() or robot.process.poll() is not None, TRIALS * LIMIT_S + DEADLINE_S)

    assert robot.lines('solved')
    assert not robot.lines('refused')
    joints = np.array([positions for line in robot.lines('command') for _, positions, _ in line['points']])
    assert 1.0 < np.degrees(np.abs(joints).max()) <= 5.0 + 1e-6
    distance_m = np.hypot(*np.array([line['ball_m'] for line in robot.lines('frame')]).T)
    assert distance_m[0] > 0.077
    assert distance_m.min() < 0.03
