"""Random tilt commands at 1 kHz, so many: `python fault_flood.py 100000`; begins when the arm listens."""

import json
import sys
import time

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions

from maze_policy import messages, topics
from maze_policy.qos import qos
from maze_policy.topics import NAMESPACE

PERIOD_S = 0.001


def say(did):
    print(json.dumps({'t': time.monotonic_ns(), 'did': did}), flush=True)


def main():
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('fault_flood', namespace=NAMESPACE)
    topic = topics.TILT_COMMAND
    commands = node.create_publisher(messages.message_class(topic.type), topic.name, qos(topic))
    while not commands.get_subscription_count() > 1:  # the observer and the arm
        time.sleep(0.01)
    say('flooding')
    rng, begin_s = np.random.default_rng(0), time.monotonic()
    count = int(sys.argv[1])
    target = np.zeros(2)
    for number in range(count):
        if number % rng.integers(1, 100) == 0:  # held for a while, then anywhere, beyond the limits too
            target = rng.normal(0, 10 ** rng.uniform(-3, 1), 2)
        commands.publish(messages.tilt_message(messages.header_at(time.time_ns()), target))
        time.sleep(max(begin_s + (number + 1) * PERIOD_S - time.monotonic(), 0.0))
    say('flooded')


if __name__ == '__main__':
    main()
