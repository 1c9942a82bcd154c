"""A camera, and a clock, that fail as they are told: `python fault_camera.py`, with lines of JSON in and out.

Slot after slot, 30 a second, it publishes a picture, and says what it did and when (CLOCK_MONOTONIC, the same for all
processes). A command holds for its `slots`, or until the next one:

    {"faults": [...], "slots": 30, "also": true, "share": 0.5, "seed": 1, "leap_s": -10}

with `stop`, `freeze`, `drop`, `white`, `no clock`, and all of SPOILED and STAMPED, which come instead of the good
picture, or `also`, right after it and in turn. Stamps lie on an even grid, as those of a driver do, so that what is
missing can be counted. `leap_s` moves the clock; with --clock it is told on /clock.
"""

import argparse
import itertools
import json
import os
import select
import sys
import time

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from maze_policy import messages, topics
from maze_policy.qos import qos
from maze_policy.topics import NAMESPACE

RATE_HZ = 30
PERIOD_NS = 1_000_000_000 // RATE_HZ
MS = 1_000_000


def spoil(**fields):
    def spoiled(message):
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return spoiled


def nan_matrix(message):
    return messages.matrix_message(message.header, np.full((message.height, message.width), np.nan))


def quarter(message):
    small = np.zeros((message.height // 2, message.width // 2, 3), np.uint8)
    return messages.picture_message(message.header, small)


SPOILED = {
    'encoding': spoil(encoding='bgr8'),
    'height': spoil(height=83),
    'step': spoil(step=7),
    'empty': spoil(height=0, width=0, step=0, data=b''),
    'big-endian': spoil(is_bigendian=1),
    'NaN': nan_matrix,
    'size': quarter,
}
STAMPED = {  # stamp of the bad one from that of the good one
    'zero': lambda stamp_ns: 0,
    'ahead': lambda stamp_ns: stamp_ns + 150 * MS,
    'behind': lambda stamp_ns: stamp_ns - 10 * MS,
    'repeated': lambda stamp_ns: stamp_ns,
    'stale': lambda stamp_ns: stamp_ns - 200 * MS,
}
GOOD = {'faults': ()}


class FaultCamera:
    """What is done in a slot."""

    def __init__(self, width_px, height_px, clock):
        self._node = rclpy.create_node('fault_camera', namespace=NAMESPACE)
        self._out = self._node.create_publisher(
            messages.message_class(topics.IMAGE), topics.CAMERA_IMAGE.name, qos(topics.CAMERA_IMAGE)
        )
        self._clock = self._node.create_publisher(Clock, '/clock', 1) if clock else None
        self._size = (height_px, width_px, 3)
        self._last = None
        self.order, self._random = GOOD, np.random.default_rng(0)
        self._leap_ns = 0

    def take(self, order):
        self.order = order
        if 'seed' in order:
            self._random = np.random.default_rng(order['seed'])
        self._leap_ns += round(order.get('leap_s', 0.0) * 1e9)

    def message(self, stamp_ns, grey=60):
        return messages.picture_message(messages.header_at(stamp_ns, 'camera'), np.full(self._size, grey, np.uint8))

    def slot(self, grid_ns):
        faults, now_ns = self.order['faults'], grid_ns + self._leap_ns
        if self._clock and 'no clock' not in faults:
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(now_ns, 10**9)
            self._clock.publish(message)
        dropped = 'drop' in faults and self._random.random() < self.order['share']
        if not dropped and (self.order.get('also') or not set(faults) - {'drop', 'no clock'}):
            self._last = self.message(now_ns)
            self._publish('good', self._last)
        if self.order.get('also'):
            faults = [faults[self.order['slots'] % len(faults)]]
        for fault in faults:
            if fault == 'freeze':
                self._publish('frozen', self._last)
            elif fault == 'white':
                self._publish('white', self.message(now_ns, 255))
            elif fault in SPOILED:
                self._publish(fault, SPOILED[fault](self.message(now_ns)))
            elif fault in STAMPED:
                self._publish(fault, self.message(STAMPED[fault](now_ns)))
        if dropped or 'stop' in faults:
            say(did='left out', stamp=now_ns)
        if self.order.get('slots'):
            self.order = self.order | {'slots': self.order['slots'] - 1}
            if not self.order['slots']:
                self.order = GOOD

    def _publish(self, what, message):
        at_ns = time.monotonic_ns()
        self._out.publish(message)
        say(did=what, stamp=messages.stamp_ns(message.header), t=at_ns)


def say(**line):
    print(json.dumps({'t': time.monotonic_ns()} | line), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--size', type=int, nargs=2, default=(84, 84))
    parser.add_argument('--clock', action='store_true')
    options = parser.parse_args()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    camera = FaultCamera(*options.size, options.clock)
    begin_ns = time.monotonic_ns()
    epoch_ns = time.time_ns() - begin_ns
    unread = b''
    for slot in itertools.count():
        due_ns = begin_ns + slot * PERIOD_NS
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            if not select.select([sys.stdin], [], [], left_ns * 1e-9)[0]:
                continue
            if not (heard := os.read(sys.stdin.fileno(), 4096)):
                return
            *lines, unread = (unread + heard).split(b'\n')
            for line in lines:
                camera.take(json.loads(line))
                say(did='heard', order=camera.order)
        camera.slot(due_ns + epoch_ns)


if __name__ == '__main__':
    main()
