"""What a graph says, as lines of JSON with the time of receipt (CLOCK_MONOTONIC): `python fault_observer.py TOPIC ...`.

A process of its own, so that nothing that is done to the graph changes the watch; to the arm it is the controller.
"""

import json
import os
import sys
import time

import rclpy
from rclpy.signals import SignalHandlerOptions

from maze_policy import messages, topics
from maze_policy.base_node import fast_executor
from maze_policy.node_config import ARM_INTERFACES
from maze_policy.qos import qos
from maze_policy.topics import NAMESPACE, Topic

CONTROLLER = Topic(ARM_INTERFACES['joint_trajectory'][0][0], ARM_INTERFACES['joint_trajectory'][1], 1)


def seconds(duration):
    return duration.sec + duration.nanosec * 1e-9


def tilt(message):
    return {'stamp': messages.stamp_ns(message.header), 'tilt': [message.vector.x, message.vector.y]}


def trajectory(message):
    first, last = message.points[0], message.points[-1]
    return {
        'position': list(first.positions),
        'rate': list(first.velocities),
        'end': list(last.positions),
        'end_s': seconds(last.time_from_start),
    }


def matrix(message):
    return {'stamp': messages.stamp_ns(message.header), 'rows': messages.matrix(message).tolist()}


def diagnostics(message):
    [status] = message.status
    values = {pair.key: pair.value for pair in status.values}
    return {'node': status.name.rsplit('/')[-1], 'level': status.level[0], 'says': status.message, 'values': values}


HOW = {
    topics.TILT_COMMAND: tilt,
    topics.DIAGNOSTICS: diagnostics,
    topics.EPISODE: lambda message: {'stamp': messages.stamp_ns(message), 'id': message.frame_id},
    topics.LSTM_STATE: matrix,
    topics.LSTM_GATES: matrix,
    topics.CONTRIBUTION: lambda message: {'stamp': messages.stamp_ns(message.header)},
    topics.PRECEDING_OFFSET: matrix,
    CONTROLLER: trajectory,
}


def main():
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('fault_observer', namespace=NAMESPACE)

    def hear(topic):
        def heard(message):
            line = {'t': time.monotonic_ns(), 'topic': topic.name, **HOW[topic](message)}
            os.write(1, json.dumps(line).encode() + b'\n')

        node.create_subscription(messages.message_class(topic.type), topic.name, heard, qos(topic, depth=1000))

    for topic in HOW:
        if topic.name in sys.argv[1:]:
            hear(topic)
    executor = fast_executor(node.context)
    executor.add_node(node)
    while True:
        executor.spin_once(timeout_sec=1.0)


if __name__ == '__main__':
    main()
