"""Messages gone wrong, raw on DDS, to the nodes that act and look, each a process of its own: they play on."""

import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
from mutate import mutated
from test_fuzz_cdr import payloads

from maze_policy import messages, topics
from maze_policy.topics import Topic

ROOT = Path(__file__).parent.parent
OTHER = '/other'  # the arm's, whom nobody commands but us
TILT = Topic(f'{OTHER}/{topics.TILT_COMMAND.name}', topics.TILT_COMMAND.type, 1)
BOARD = (  # of the pictures below
    'board.width_px:=84',
    'board.height_px:=84',
    'board.camera_matrix:=[190.0, 190.0, 41.5, 41.5]',
    'board.rotation_rad:=[3.14159, 0.0, 0.0]',
    'board.translation_m:=[0.0, 0.0, 0.45]',
)
NODES = {
    'maze_policy.policy_node': (),
    'maze_introspection.introspection_node': (),
    'maze_introspection.recorder_node': ('bag:={folder}/bag',),
    'maze_policy.ball_tracker_node': BOARD,
    'maze_policy.arm_node': ('interface:=joints',),
}
AT_ONCE = 3  # fewer than any queue holds: what was sent is looked at
GROWTH_MB = 60


class Room:
    """Nodes in one namespace, and somebody who sends what he likes."""

    def __init__(self, graph, domain, folder):
        self.graph, self.probe, self.folder = graph, graph.probe(), folder
        self.picture = np.random.default_rng(0).integers(0, 256, (84, 84, 3), dtype=np.uint8)
        for name in (f'{OTHER}/arm/tilt_x', f'{OTHER}/arm/tilt_y'):
            graph.nodes[0].create_subscription(messages.message_class('std_msgs/msg/Float64'), name, lambda _: None, 1)
        self.probe.hear(topics.TILT_COMMAND, topics.CONTRIBUTION, topics.DIAGNOSTICS)
        self.processes = {name: self._start(name, domain) for name in NODES}

    def _start(self, name, domain):
        arguments = ['--ros-args', '-r', f'__ns:={OTHER if name.endswith("arm_node") else topics.NAMESPACE}']
        for parameter in NODES[name]:
            arguments += ['-p', parameter.format(folder=self.folder)]
        with (self.folder / f'{name}.log').open('w') as log:
            return subprocess.Popen(
                [sys.executable, '-m', name, *arguments],
                env=os.environ | {'ROS_DOMAIN_ID': str(domain)},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def ready(self):
        """The policy plays what it is shown, and somebody looks into it."""
        self.graph.until(lambda: self.alive() or self.probe.matched(topics.CAMERA_IMAGE, topics.BALL, TILT))
        self.graph.until(lambda: self.played() and self.probe.heard[topics.CONTRIBUTION])

    def played(self, within_s=1.0):
        """Show a good picture: whether the policy answers it."""
        self.alive()
        stamp_ns = time.time_ns()
        self.probe.say(topics.CAMERA_IMAGE, messages.picture_message(messages.header_at(stamp_ns), self.picture))
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            self.graph.executor.spin_once(timeout_sec=0.01)
            if any(messages.stamp_ns(said.header) == stamp_ns for said in self.probe.heard[topics.TILT_COMMAND][-9:]):
                return True
        return False

    def send(self, topic, cdr):
        self.probe.publisher(topic).publish(cdr)

    def alive(self):
        for name, process in self.processes.items():
            log = (self.folder / f'{name}.log').read_text()
            assert process.poll() is None, f'{name} ended with {process.returncode}:\n{log[-2000:]}'

    def memory_mb(self):
        def of(process):
            lines = Path(f'/proc/{process.pid}/status').read_text().split('\n')
            return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith('VmRSS'))

        return {name: of(process) for name, process in self.processes.items()}

    def refused(self):
        """How many inputs the nodes have refused, by their own account."""
        last = {}
        for message in self.probe.heard[topics.DIAGNOSTICS]:
            for status in message.status:
                last[status.name] = status.values
        return sum(int(pair.value) for values in last.values() for pair in values if pair.key.startswith('refused: '))

    def close(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(30)


@pytest.fixture
def room(graph, domain, tmp_path):
    made = Room(graph, domain, tmp_path)
    yield made
    made.close()


@pytest.mark.promise('Bad input', 'mutated messages, raw on DDS, to five nodes: they play on', quick=100, full=10_000)
def test_messages(promise, room):
    room.ready()
    own = {topics.TILT_COMMAND: TILT}
    takers = {topic for taken in topics.TAKEN_BY.values() for topic in taken}
    good = [(own.get(topic, topic), cdr) for topic, cdr in payloads() if topic in takers - {topics.DIAGNOSTICS}]
    before_mb = None
    for seed in promise.times():
        random = Random(seed)
        topic, cdr = random.choice(good)
        bad = bytearray(mutated(random, cdr, random.choice(good)[1]))
        if random.random() < 0.7:  # a stamp of now lets the rest be looked at
            bad[4:12] = b''.join(part.to_bytes(4, 'little') for part in divmod(time.time_ns(), 10**9))
        room.send(topic, bytes(bad))
        if seed % AT_ONCE == 0:
            room.played(0.05)
        if seed == 50:
            before_mb = room.memory_mb()
    room.graph.until(room.played)
    count = len(room.probe.heard[topics.CONTRIBUTION])
    room.graph.until(lambda: room.played() and len(room.probe.heard[topics.CONTRIBUTION]) > count)
    room.graph.until(lambda: room.refused() > promise.count / 10)
    for name, mb in room.memory_mb().items():
        promise.saw('MB grown', mb - before_mb[name])
        assert mb - before_mb[name] < GROWTH_MB, name
    for process in room.processes.values():
        process.terminate()
    assert [process.wait(30) for process in room.processes.values()] == [0] * len(NODES)
