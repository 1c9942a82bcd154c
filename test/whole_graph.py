"""The whole robot, each node a process of its own: what was published, what the bag has of it, how memory grows.

The camera is a web server that shows a film, 640 x 480, in pictures drawn with perspective, light and noise; the arm's
controller is `stand_in_robot.py`. Over Fast DDS with config/fastdds.xml; the recorder takes all topics, pictures too.
All counts and times are read from the bag.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mcap.reader import make_reader
from mjpeg import MjpegServer
from rosbags.typesys import Stores, get_typestore
from tqdm import tqdm

from maze_introspection.demo import END_S, START_S, Child, environment, node_command
from maze_introspection.demo import NODES as SIMULATED
from maze_policy import topics
from maze_policy.capture import Ended, open_capture
from maze_policy.node_config import CameraNodeConfig
from maze_policy.topics import NAMESPACE, listeners

ROBOT = Path(__file__).parent / 'stand_in_robot.py'
FILM_S = 8.0
NODES = {  # in the order of their start; they end in the other
    'recorder': 'maze_introspection.recorder_node',
    'introspection': 'maze_introspection.introspection_node',
    'arm': 'maze_policy.arm_node',
    'policy': 'maze_policy.policy_node',
    'ball_tracker': 'maze_policy.ball_tracker_node',
    'camera': 'maze_policy.camera_node',
}
# What a node publishes for each thing that it counts on /diagnostics.
PUBLISHED = {
    ('camera', 'frames'): (topics.CAMERA_IMAGE, topics.CAMERA_INFO),
    ('simulator', 'frames'): (topics.CAMERA_IMAGE, topics.CAMERA_INFO, topics.BALL),
    ('policy', 'frames'): (topics.OBSERVATION, topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES),
    ('ball_tracker', 'balls'): (topics.BALL,),
    ('introspection', 'steps'): (topics.CONTRIBUTION, topics.WATCHED),
}
TYPES = get_typestore(Stores.LATEST)


class Bag(NamedTuple):
    """What is needed of a recording: by topic how many and (stamp, published) in ns; by node its last counts."""

    count: Counter[str]
    times_ns: dict[str, Any]
    told: dict[str, dict[str, str]]


class Run(NamedTuple):
    """When each picture was served, ns, and the resident memory of each node once a second, MB."""

    served_ns: Any
    memory_mb: dict[str, list[float]]


class Count(NamedTuple):
    """How many messages of a topic were published and recorded."""

    topic: str
    published: int
    recorded: int


def film(folder: Path) -> list[bytes]:
    """Pictures of a run as JPEGs, as a camera compresses them; board.yaml is where the board is in them."""
    path, info, level = folder / 'film.avi', folder / 'camera.yaml', folder / 'level.png'
    command = [sys.executable, str(ROBOT), '--write-video', str(path), '--engine', 'planar']
    command += ['--time-limit-s', str(FILM_S), '--camera-info', str(info)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    video, jpegs = open_capture(CameraNodeConfig(source=str(path), rate_hz=1000.0)), []
    try:
        while True:
            bgr = video.read().image[..., ::-1]
            if not jpegs:
                cv2.imwrite(str(level), bgr)
            jpegs.append(cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    except Ended:
        path.unlink()
    command = [sys.executable, '-m', 'maze_policy.cli', 'calibrate', str(level), '--camera-info', str(info)]
    subprocess.run([*command, '--out', str(folder / 'board.yaml')], stdout=subprocess.DEVNULL, check=True)
    return jpegs


def run(
    folder: Path,
    jpegs: list[bytes],
    frames: int,
    *,
    rate_hz: float = 30.0,
    checkpoint: str = 'robust_finetuned',
    domain_id: int = 101,
    meanwhile: Sequence[Callable[[threading.Event], None]] = (),
) -> Run:
    """Show the film until so many frames were answered, and record it into folder/bag.

    `meanwhile` are threads, told by an event when it is over.
    """
    os.environ |= environment(domain_id, folder)
    server, over, served_ns = MjpegServer(), threading.Event(), []

    def show() -> None:
        due_s = time.monotonic()
        for index in range(10**9):
            due_s += 1 / rate_hz
            if over.wait(due_s - time.monotonic()):
                return
            served_ns.append(time.time_ns())
            server.show_jpeg(jpegs[index % len(jpegs)])

    threads = [threading.Thread(target=show), *(threading.Thread(target=each, args=(over,)) for each in meanwhile)]
    for thread in threads:
        thread.start()
    children = start(folder, server.url, checkpoint, rate_hz)
    try:
        memory_mb = until_answered(frames, rate_hz, children)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        server.close()
    return Run(np.array(served_ns), memory_mb)


def run_simulated(folder: Path, frames: int, *, rate_hz: float, domain_id: int) -> None:
    """The same with the built-in simulator for camera, ball tracker and arm, and only the nodes of `sim.launch.py`."""
    os.environ |= environment(domain_id, folder)
    given = {
        'recorder': {'bag': folder / 'bag'},
        'policy': {'camera_rate_hz': rate_hz},
        'simulator': {'physics.rate_hz': rate_hz},
    }
    children = {
        name: Child(
            name, node_command(module, {'wait_for': listeners(name, SIMULATED)} | given.get(name, {})), dict(os.environ)
        )
        for name, module in SIMULATED.items()
    }
    until_answered(frames, rate_hz, children)


def start(folder: Path, url: str, checkpoint: str, rate_hz: float) -> dict[str, Child]:
    """The stand-in for the arm's controller, and all nodes, each of which waits for its listeners."""
    given = {
        'recorder': {'bag': folder / 'bag'},
        'policy': {'checkpoint': checkpoint, 'camera_rate_hz': rate_hz},
        'camera': {'source': url, 'rate_hz': rate_hz},
    }
    robot = [sys.executable, str(ROBOT), '--port', '0', '--engine', 'planar']
    children = {'robot': Child('robot', robot, dict(os.environ))}
    for name, module in NODES.items():
        parameters: dict[str, Any] = {'wait_for': listeners(name, NODES), 'wait_for_s': START_S} | given.get(name, {})
        command = [*node_command(module, parameters), '--params-file', str(folder / 'board.yaml')]
        children[name] = Child(name, command, dict(os.environ))
    return children


def until_answered(frames: int, rate_hz: float, children: Mapping[str, Child]) -> dict[str, list[float]]:
    """Let them play until so many frames were answered, then end them, the last first; their memory meanwhile, MB."""
    try:
        memory_mb = count_answers(frames, rate_hz, children)
        for name in reversed(children):  # each still hears the last of the one before
            children[name].interrupt()
            children[name].wait(END_S)
        return memory_mb
    finally:
        for child in children.values():
            child.clear_away()


def count_answers(frames: int, rate_hz: float, children: Mapping[str, Child]) -> dict[str, list[float]]:
    """Listen to the tilt commands, with a progress bar, until there are so many; the nodes' memory meanwhile."""
    import rclpy

    from maze_policy.messages import message_class
    from maze_policy.qos import qos

    rclpy.init()
    node = rclpy.create_node('bench', namespace=NAMESPACE)
    topic, heard = topics.TILT_COMMAND, []
    node.create_subscription(message_class(topic.type), topic.name, heard.append, qos(topic, depth=100))
    memory_mb: dict[str, list[float]] = {name: [] for name in children if name != 'robot'}
    end_s, look_s = time.monotonic() + START_S + 1.5 * frames / rate_hz, 0.0
    try:
        with tqdm(total=frames, desc='playing', unit='frame', disable=None) as bar:
            while len(heard) < frames:
                rclpy.spin_once(node, timeout_sec=0.5)
                bar.update(len(heard) - bar.n)
                ended = [name for name, child in children.items() if child.poll() is not None]
                if ended or time.monotonic() > end_s:
                    raise SystemExit(
                        f'{", ".join(ended)} ended' if ended else f'{len(heard)} of {frames} tilt commands'
                    )
                if heard and time.monotonic() > look_s:
                    look_s = time.monotonic() + 1.0
                    for name, values in memory_mb.items():
                        values.append(resident_mb(children[name].pid))
    finally:
        node.destroy_node()
        rclpy.shutdown()
    return memory_mb


def resident_mb(pid: int) -> float:
    """Memory that a process holds (Linux), MB."""
    return int(Path(f'/proc/{pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6


def read(bag: Path) -> Bag:
    """Count the bag's messages and read their headers."""
    count: Counter[str] = Counter()
    times: dict[str, list[tuple[int, int]]] = {}
    told: dict[str, dict[str, str]] = {}
    [path] = bag.glob('*.mcap')
    with path.open('rb') as stream:
        reader = make_reader(stream)
        total = sum(reader.get_summary().statistics.channel_message_counts.values())
        for _, channel, message in tqdm(reader.iter_messages(), 'reading', total, unit='message', disable=None):
            name = channel.topic.removeprefix(f'{NAMESPACE}/')
            count[name] += 1
            if name == topics.DIAGNOSTICS.name:
                [status] = TYPES.deserialize_cdr(message.data, topics.DIAGNOSTICS.type).status
                told[status.name.rsplit('/')[-1]] = {pair.key: pair.value for pair in status.values}
            elif name in (topics.CAMERA_IMAGE.name, topics.TILT_COMMAND.name):
                seconds, nanoseconds = np.frombuffer(message.data[4:12], '<u4')  # after CDR's own header
                times.setdefault(name, []).append((int(seconds) * 10**9 + int(nanoseconds), message.publish_time))
    return Bag(count, {name: np.array(values) for name, values in times.items()}, told)


def counts(bag: Bag) -> list[Count]:
    """Published and recorded messages of every topic that comes once per frame."""
    found = [
        Count(topic.name, int(bag.told.get(node, {}).get(what, 0)), bag.count[topic.name])
        for (node, what), published in PUBLISHED.items()
        for topic in published
        if node in bag.told
    ]
    return [*found, Count(topics.TILT_COMMAND.name, int(bag.told['policy']['frames']), len(latency_ms(bag)))]


def played_ns(bag: Bag) -> Any:
    """Stamps of the pictures since the board was found, ns."""
    stamps_ns = bag.times_ns[topics.CAMERA_IMAGE.name][:, 0]
    answers = bag.times_ns[topics.TILT_COMMAND.name][:, 0]
    return stamps_ns[stamps_ns >= answers[np.isin(answers, stamps_ns)][0]]


def grown_mb(memory_mb: Sequence[float]) -> float:
    """How much more a node held at the end than after a tenth of the time, MB; both the least of five looks."""
    begin = len(memory_mb) // 10
    return min(memory_mb[-5:]) - min(memory_mb[begin : begin + 5])


def latency_ms(bag: Bag) -> Any:
    """From the stamp of a picture to when its tilt command was published, ms."""
    tilt = bag.times_ns[topics.TILT_COMMAND.name]
    answers = tilt[np.isin(tilt[:, 0], bag.times_ns[topics.CAMERA_IMAGE.name][:, 0])]
    return (answers[:, 1] - answers[:, 0]) / 1e6
