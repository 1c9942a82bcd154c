"""What the rqt panel costs: CPU and memory of its process at 30 Hz, 256 channels: `python bench/panel.py`.

A process of its own says what policy, introspection node, ball tracker and camera (640 x 480) would say; the panel,
with its node and an offscreen Qt of 1280 x 740, hears and draws it. What that costs the policy: `bench/loop.py --look`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

sys.path.append(str(Path(__file__).parent.parent / 'test'))
from made import made_recording

from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection import Introspection
from maze_introspection.recording import Recording
from maze_policy import topics
from maze_policy.share import share_path
from maze_policy.topics import NAMESPACE, PICTURES

RATE_HZ = 30.0
LIMIT_CORES, LIMIT_GROWTH_MB = 0.25, 5.0
WARM_UP_S = 75.0  # until every step that is kept was written once
DOMAIN_ID = '98'


def main() -> int:
    """Run, print, and exit with 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=10.0, help='of watching (default: %(default)s)')
    parser.add_argument('--channels', type=int, default=256, help='of the policy (default: %(default)s)')
    parser.add_argument('--watch', action='store_true', help='only watch what others play, and all pictures')
    parser.add_argument('--feed', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ |= {'QT_QPA_PLATFORM': 'offscreen', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(share_path('config/fastdds.xml')))
    if options.feed:
        feed(options.channels)
    if options.watch:
        return watch()
    os.environ['ROS_DOMAIN_ID'] = DOMAIN_ID
    feeder = subprocess.Popen([sys.executable, __file__, '--feed', '--channels', str(options.channels)])
    try:
        return measure(options.minutes * 60, options.channels)
    finally:
        feeder.terminate()  # a job in the background would ignore SIGINT
        feeder.wait()


def measure(seconds: float, channels: int) -> int:
    """Watch for so long after a warm-up; the exit code."""
    application, panel = make_panel()
    run(application, WARM_UP_S, 'warming up')
    model = panel.model
    heard, cpu_s, began_s, size = dict(model.heard), time.process_time(), time.monotonic(), resident_mb()
    draws, draw = [], panel.widget._draw
    panel.widget._draw = lambda slowly: draws.append(time.monotonic()) or draw(slowly)
    run(application, seconds, 'watching')
    passed_s = time.monotonic() - began_s
    cores, grown_mb = (time.process_time() - cpu_s) / passed_s, resident_mb() - size
    steps = model.heard[topics.LSTM_GATES.name] - heard.get(topics.LSTM_GATES.name, 0)
    frames = model.heard[topics.CAMERA_IMAGE.name] - heard.get(topics.CAMERA_IMAGE.name, 0)
    gap_ms = 1e3 * np.percentile(np.diff(draws), [50, 99])
    print(f'{channels} channels for {passed_s / 60:.1f} minutes, {os.cpu_count()} cores')
    print(f'heard: {steps / passed_s:.1f} steps/s, {frames / passed_s:.1f} pictures/s')
    print(f'drawn: every {gap_ms[0]:.0f} ms (p99 {gap_ms[1]:.0f} ms)')
    print(f'CPU: {cores:.1%} of one core (limit {LIMIT_CORES:.0%})')
    print(f'memory: {size:.0f} MB, grown by {grown_mb:.1f} MB (limit {LIMIT_GROWTH_MB:g} MB)')
    panel.shutdown_plugin()
    good = cores <= LIMIT_CORES and grown_mb <= LIMIT_GROWTH_MB and steps > 0.9 * RATE_HZ * passed_s
    print('within the limits' if good else 'NOT within the limits')
    return 0 if good else 1


def watch() -> int:
    """Show the panel, and hear all pictures, until a signal comes."""
    application, panel = make_panel()
    node, executor = panel._feed.node, panel._feed._executor
    from maze_policy.messages import message_class
    from maze_policy.qos import qos

    heard: list[Any] = []
    for topic in PICTURES:
        node.create_subscription(message_class(topic.type), topic.name, heard.append, qos(topic))
    executor.wake()
    signal.signal(signal.SIGTERM, lambda *_: application.quit())
    signal.signal(signal.SIGINT, lambda *_: application.quit())
    from python_qt_binding.QtCore import QTimer

    timer = QTimer()
    timer.timeout.connect(heard.clear)  # also lets Python see the signal
    timer.start(200)
    application.exec_()
    panel.shutdown_plugin()
    return 0


def make_panel() -> tuple[Any, Any]:
    """The panel as rqt would make it."""
    import rclpy
    from python_qt_binding.QtCore import QObject
    from python_qt_binding.QtWidgets import QApplication
    from rclpy.signals import SignalHandlerOptions

    from maze_introspection.rqt_panel import MazePanel

    class Context(QObject):
        """What rqt gives a plugin."""

        node = None

        def serial_number(self) -> int:
            return 1

        def add_widget(self, widget: Any) -> None:
            widget.resize(1280, 740)
            widget.show()

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    application, context = QApplication([]), Context()
    context.node = rclpy.create_node('rqt_gui_py_node')
    return application, MazePanel(context)


def run(application: Any, seconds: float, what: str) -> None:
    """Let Qt work for so long."""
    from python_qt_binding.QtCore import QTimer

    with tqdm(total=round(seconds), desc=what, unit='s', disable=None) as bar:
        tick, end = QTimer(), QTimer()
        tick.timeout.connect(lambda: bar.update(1))
        tick.start(1000)
        end.setSingleShot(True)
        end.timeout.connect(application.quit)
        end.start(round(1000 * seconds))
        application.exec_()


def resident_mb() -> float:
    """Memory of this process, MB."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6


def feed(channels: int) -> NoReturn:
    """Say 30 times a second what all nodes would say, until a signal comes."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from maze_policy import messages
    from maze_policy.qos import qos

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    node = rclpy.create_node('feeder', namespace=NAMESPACE)
    spoken = (topics.CAMERA_IMAGE, topics.BALL, topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES)
    spoken += (topics.CONTRIBUTION, topics.SALIENT, topics.PRECEDING_OFFSET)
    say = {
        each: node.create_publisher(messages.message_class(each.type), each.name, qos(each)).publish for each in spoken
    }
    recording = made_recording(1800, channels=channels)
    looking = Introspection(IntrospectionConfig())
    looking.set_readout(recording.readout)
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    due_s, step = time.monotonic(), 0
    while True:
        header = messages.header_at(time.time_ns(), 'camera')
        for topic, matrix in said(recording, looking, step % recording.steps).items():
            if len(matrix):
                say[topic](messages.matrix_message(header, matrix))
        say[topics.BALL](messages.ball_message(header, recording.ball_m[step % recording.steps]))
        say[topics.CAMERA_IMAGE](messages.picture_message(header, picture))
        step, due_s = step + 1, due_s + 1 / RATE_HZ
        time.sleep(max(due_s - time.monotonic(), 0))


def said(recording: Recording, looking: Introspection, t: int) -> dict[topics.Topic, Any]:
    """The matrices of one step."""
    parts = recording.gates[t], recording.hidden[t], recording.cell[t], recording.scores[t]
    insight = looking.step(*parts)
    told = {'action': insight.action, 'distance_m': np.hypot(*recording.ball_m[t])}
    columns = [told[name] if name in told else insight.offsets[name] for name in topics.OFFSET_COLUMNS]
    return {
        topics.LSTM_GATES: parts[0],
        topics.LSTM_STATE: np.stack(parts[1:3]),
        topics.ACTION_SCORES: parts[3][None],
        topics.CONTRIBUTION: insight.share[None],
        topics.SALIENT: insight.salient,
        topics.PRECEDING_OFFSET: np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.float32),
    }


if __name__ == '__main__':
    sys.exit(main())
