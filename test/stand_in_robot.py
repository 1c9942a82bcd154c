"""The robot that we have not, as one process that speaks what the hardware speaks: `python test/stand_in_robot.py`.

It takes commands as a ros2_control joint_trajectory_controller (or a position controller) does, moves a simulated maze
by them in real time, tells /joint_states, and shows the board through a camera that is a web server. So it stands in
for robot and camera in every trial of the nodes; `camera_node` opens the address that it prints.

    python test/stand_in_robot.py --log robot.jsonl --trials 10
    python -m maze_policy.camera_node --ros-args -r __ns:=/maze -p source:=http://127.0.0.1:8090/stream.mjpg

Without --trials somebody else says when a trial is over; then the service `stand_in/reset` puts the ball back, which
`python test/stand_in_robot.py reset` calls. To film a policy in the simulator instead, without ROS, with the truth of
every picture in run.jsonl:

    python test/stand_in_robot.py --write-video run.avi --policy robust --trials 5

The log has one JSON object per line: `robot`, `command`, `refused`, `frame` (the truth under the number of its
picture), `reset`, `solved`, `given up`, `end`; `at_ns` is on the system's clock, as the stamps of ROS are.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time

import cv2
import numpy as np
import rclpy
from mjpeg import MjpegServer
from rclpy.signals import SignalHandlerOptions
from stand_in_plant import Plant, arm_config, write_camera_info
from stand_in_video import VideoFile, film
from std_srvs.srv import Trigger

from maze_policy.base_node import EventsExecutor
from maze_policy.markers import MarkerConfig
from maze_policy.maze import load_maze
from maze_policy.messages import message_class
from maze_policy.node_config import ARM_INTERFACES
from maze_policy.topics import NAMESPACE, RESET_SERVICE
from maze_policy.world import add_world_options, world_from_options

RESET = 'stand_in/reset'
ADVANCE_HZ, JOINTS_HZ = 200.0, 100.0


class StandIn:
    """Controller, plant and referee on one node; the camera in a thread of its own."""

    def __init__(self, node, options):
        self.node, self._options = node, options
        self._arm = arm_config(options.arm)
        self._maze = load_maze()
        markers = None if options.no_markers else MarkerConfig()
        world = world_from_options(options)
        self.plant = Plant(self._maze, world, self._arm, options.seed, markers)
        self._jitter, self._random = world.rate_jitter, np.random.default_rng(options.seed)
        self._log = open(options.log, 'w', buffering=1) if options.log else None  # noqa: SIM115 (as long as the process)
        self._lock, self._log_lock = threading.Lock(), threading.Lock()
        self.ended = threading.Event()
        self.counts = dict.fromkeys(('frames', 'commands', 'refused', 'trials', 'solved'), 0)
        self._solved_s, self._began_s, self._asked = [], None, None
        self.server = MjpegServer(options.port)
        self._video = VideoFile(options.record, self.plant.rate_hz) if options.record else None
        self._write('robot', rate_hz=self.plant.rate_hz, joint_names=list(self._arm.joint_names), url=self.server.url)
        if options.camera_info:
            write_camera_info(options.camera_info, self.plant.camera.pinhole)
        self._connect()
        self._camera = threading.Thread(target=self._show, name='camera')
        self._camera.start()

    def _connect(self):
        node, arm = self.node, self._arm
        if arm.interface not in ('joint_trajectory', 'positions'):
            raise SystemExit(f'stand_in: want interface joint_trajectory or positions, got {arm.interface}')
        kind = message_class(ARM_INTERFACES[arm.interface][1])
        take = self._on_trajectory if arm.interface == 'joint_trajectory' else self._on_positions
        node.create_subscription(kind, arm.topics[0], self._recorded(take), 10)
        self._joint_state = message_class('sensor_msgs/msg/JointState')
        self._joints = node.create_publisher(self._joint_state, '/joint_states', 10)
        node.create_service(Trigger, RESET, self._on_reset)
        self._reset_policy = node.create_client(Trigger, RESET_SERVICE)
        node.create_timer(1 / ADVANCE_HZ, self._advance)
        node.create_timer(1 / JOINTS_HZ, self._tell_joints)

    def _recorded(self, take):
        def hear(message):
            self.counts['commands'] += 1
            try:
                with self._lock:
                    take(message)
            except ValueError as error:
                self.counts['refused'] += 1
                self._write('refused', why=str(error))
                print(f'stand_in: refused: {error}', flush=True)

        return hear

    def _on_trajectory(self, message):
        points = [
            (p.time_from_start.sec + p.time_from_start.nanosec * 1e-9, list(p.positions), list(p.velocities) or None)
            for p in message.points
        ]
        self._write('command', joint_names=list(message.joint_names), points=points)
        self.plant.controller.take(message.joint_names, points, time.monotonic())

    def _on_positions(self, message):
        self._write('command', positions=list(message.data))
        names = self._arm.joint_names
        self.plant.controller.take(names, [(1 / ADVANCE_HZ, list(message.data), None)], time.monotonic())

    def _advance(self):
        with self._lock:
            self.plant.advance(time.monotonic())
            solved = bool(self.plant.simulator.solved[0])
        self._referee(solved)

    def _tell_joints(self):
        with self._lock:
            joints = self.plant.joints_rad.tolist()
        message = self._joint_state(name=list(self._arm.joint_names), position=joints)
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._joints.publish(message)

    def _referee(self, solved):
        """With --trials: when a trial ends let the policy forget, then put the ball back."""
        now_s = time.monotonic()
        if self._began_s is None and self.counts['commands'] and self.server.viewers:
            self._began_s = now_s
        if not self._options.trials or self._began_s is None:
            return
        if self._asked:
            if self._asked.done() or now_s > self._began_s + 5.0:
                self._asked, self._began_s = None, now_s
                self._put_back()
            return
        after_s = now_s - self._began_s
        if solved or after_s > self._options.time_limit_s:
            self.counts['trials'] += 1
            self.counts['solved'] += solved
            self._solved_s += [after_s] * solved
            self._write('solved' if solved else 'given up', after_s=after_s)
            print(f'stand_in: trial {self.counts["trials"]}: {"solved" if solved else "not solved"} in {after_s:.1f} s')
            if self.counts['trials'] >= self._options.trials:
                self.ended.set()
            elif self._reset_policy.service_is_ready():
                self._asked, self._began_s = self._reset_policy.call_async(Trigger.Request()), now_s
            else:
                self._began_s = now_s
                self._put_back()

    def _on_reset(self, _, response):
        self._put_back()
        response.success, response.message = True, f'ball at {np.round(self.plant.ball_m, 4).tolist()} m'
        return response

    def _put_back(self):
        with self._lock:
            self.plant.put_back()
            self._write('reset', ball_m=self.plant.ball_m.tolist())

    def _show(self):
        """Draw, wait as long as the picture is under way in a camera, and serve."""
        options, due_s, number = self._options, time.monotonic(), 0
        while not self.ended.is_set():
            period_s = (1 + self._random.uniform(-1, 1) * self._jitter) / self.plant.rate_hz
            due_s = max(due_s + period_s, time.monotonic())
            if self.ended.wait(due_s - time.monotonic()):
                return
            if self._random.random() < self.plant.missed or not (self.server.viewers or self._video):
                continue  # nobody sees it
            number += 1
            with self._lock:
                at_ns, now_s = time.time_ns(), time.monotonic()
                self.plant.advance(now_s)
                ball_m, tilt_rad = self.plant.ball_m.copy(), self.plant.tilt_rad.copy()
            truth = {'number': number, 'ball_m': ball_m.tolist(), 'tilt_rad': tilt_rad.tolist()}
            self._write('frame', **truth, at_ns=at_ns)
            image = self.plant.picture(ball_m, tilt_rad, number if options.number_pictures else None)
            jpeg = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, options.quality])[1].tobytes()
            time.sleep(max(now_s + options.camera_delay_s - time.monotonic(), 0.0))
            self.server.show_jpeg(jpeg)
            self.counts['frames'] += 1
            if self._video:
                self._video.write(image, truth)

    def _write(self, what, **values):
        if self._log:
            line = json.dumps({'what': what, 'at_ns': time.time_ns(), **values}) + '\n'
            with self._log_lock:
                self._log.write(line)

    def close(self):
        """End the camera and say what was."""
        self.ended.set()
        self._camera.join()
        self.server.close()
        summary = dict(self.counts, solved_after_s=[round(after_s, 2) for after_s in self._solved_s])
        self._write('end', **summary)
        if self._log:
            self._log.close()
        if self._video:
            summary['video'] = self._video.close()
        print(f'stand_in: {json.dumps(summary)}', flush=True)


def call_reset(node):
    """Have the ball put back, from another process; the exit code."""
    client = node.create_client(Trigger, RESET)
    if not client.wait_for_service(10.0):
        print(f'stand_in: nobody serves {node.get_namespace()}/{RESET}', file=sys.stderr)
        return 1
    answer = client.call_async(Trigger.Request())
    rclpy.spin_until_future_complete(node, answer, timeout_sec=10.0)
    print(answer.result().message if answer.done() else 'no answer')
    return 0 if answer.done() else 1


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('do', nargs='?', default='play', choices=('play', 'reset'), help='play, or put the ball back')
    parser.add_argument('--namespace', default=NAMESPACE, help='of the services (default: %(default)s)')
    parser.add_argument('--arm', nargs='*', default=[], help="parameter files with the arm node's parameters")
    parser.add_argument('--seed', type=int, default=0, help='of robot, room and starting places (default: %(default)s)')
    parser.add_argument('--port', type=int, default=8090, help='of the camera; 0: any (default: %(default)s)')
    parser.add_argument('--quality', type=int, default=95, help='of the JPEG pictures (default: %(default)s)')
    parser.add_argument(
        '--camera-delay-s', type=float, default=0.03, help='from the light to the first byte, s (default: %(default)s)'
    )
    parser.add_argument('--number-pictures', action='store_true', help='print its number into each picture')
    parser.add_argument('--no-markers', action='store_true', help='a board without ArUco markers around it')
    parser.add_argument('--camera-info', help="file to write: the camera's own calibration, a camera_info YAML")
    parser.add_argument('--trials', type=int, default=0, help='referee so many trials, then end; 0: none')
    parser.add_argument('--time-limit-s', type=float, default=60.0, help='of a trial (default: %(default)s)')
    parser.add_argument('--log', help='file of JSON lines: all commands, and the truth under every picture')
    parser.add_argument('--record', help='lossless video of all pictures, FILE.avi, and FILE.jsonl with the truth')
    parser.add_argument('--write-video', help='no robot: film --trials episodes of --policy into FILE.avi, FILE.jsonl')
    parser.add_argument('--policy', default='robust', help='policy to film (default: %(default)s)')
    add_world_options(parser, 'real_like')
    return parser.parse_args()


def main():
    options = parsed()
    if options.write_video:
        return film(options, world_from_options(options))
    signals = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: signals.set())
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f'stand_in_{options.do}', namespace=options.namespace)
    if options.do == 'reset':
        return call_reset(node)
    robot = StandIn(node, options)
    executor = EventsExecutor()
    executor.add_node(node)
    print(f'READY {robot.server.url}', flush=True)
    while not signals.is_set() and not robot.ended.is_set():
        executor.spin_once(timeout_sec=0.02)
    robot.close()
    rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
