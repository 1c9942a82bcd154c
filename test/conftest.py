"""A ROS graph of its own for every test; nothing here is imported by tests that do not ask for it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import tempfile
import time
from pathlib import Path

import pytest
from promises import (  # noqa: F401 (pytest finds them here)
    promise,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_sessionstart,
)

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['RMW_IMPLEMENTATION'] = 'rmw_fastrtps_cpp'
os.environ.setdefault('ROS_LOG_DIR', f'/tmp/ros_log_{os.getuid()}')

REAL_TIME = {'domain', 'graph', 'playing'}  # fixtures of tests on real processes
DEADLINE_S = 60.0  # for what takes milliseconds on an idle machine
_COUNT = itertools.count()


def pytest_itemcollected(item):
    """On a shared machine what hangs on real time is tried once more, and reported as a rerun; never in a soak."""
    real_time = REAL_TIME & set(getattr(item, 'fixturenames', ())) or item.path.name.startswith('test_faults')
    if real_time and not item.config.getoption('soak'):
        item.add_marker(pytest.mark.flaky(reruns=1))


@contextlib.contextmanager
def free_domain():
    """A ROS_DOMAIN_ID that no other test on this machine uses meanwhile: whoever has its file locked has it."""
    first = os.getpid() * 7 + next(_COUNT)
    for number in (1 + (first + step) % 100 for step in range(100)):
        with open(Path(tempfile.gettempdir()) / f'maze_test_domain_{number}.lock', 'w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    pytest.fail('all 100 ROS_DOMAIN_IDs are taken')


@pytest.fixture
def domain():
    with free_domain() as number:
        yield number


class Graph:
    """Nodes of one test in one context, spun until something holds."""

    def __init__(self, domain):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes = []

    def add(self, node_class, namespace='/maze', **parameters):
        """A node of ours with these parameters; `__` in a name stands for the dot of a group."""
        from rclpy.parameter import Parameter

        overrides = [Parameter(name.replace('__', '.'), value=value) for name, value in parameters.items()]
        node = node_class(
            context=self.context, namespace=namespace, parameter_overrides=overrides, use_global_arguments=False
        )
        self.executor.add_node(node)
        self.nodes.append(node)
        return node

    def probe(self, namespace='/maze'):
        """A node that publishes by hand and collects what it hears."""
        import rclpy

        node = rclpy.create_node('probe', context=self.context, namespace=namespace, use_global_arguments=False)
        self.executor.add_node(node)
        self.nodes.append(node)
        return Probe(node)

    def until(self, condition, deadline_s=DEADLINE_S):
        """Spin until `condition()`; fail after the deadline."""
        end_s = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < end_s, f'not within {deadline_s} s'
            self.executor.spin_once(timeout_sec=0.02)

    def spin_for(self, seconds):
        """Spin for a while, to show that something does not happen."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.executor.spin_once(timeout_sec=0.02)

    def close(self):
        import rclpy

        for node in self.nodes:
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)


class Probe:
    """Hears and says topics by their contract."""

    def __init__(self, node):
        self.node = node
        self.heard = {}
        self._publishers = {}

    def hear(self, *topics):
        from maze_policy.messages import message_class
        from maze_policy.qos import qos

        for topic in topics:
            self.heard[topic] = []
            self.node.create_subscription(
                message_class(topic.type), topic.name, self.heard[topic].append, qos(topic, depth=200)
            )

    def publisher(self, topic):
        from maze_policy.messages import message_class
        from maze_policy.qos import qos

        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(message_class(topic.type), topic.name, qos(topic))
        return self._publishers[topic]

    def say(self, topic, message):
        self.publisher(topic).publish(message)

    def matched(self, *topics):
        """Whether somebody else publishes all that is heard, and takes `topics`."""
        return all(self.node.count_publishers(topic.name) for topic in self.heard) and all(
            self.publisher(topic).get_subscription_count() for topic in topics
        )


@pytest.fixture
def graph(domain):
    made = Graph(domain)
    yield made
    made.close()
