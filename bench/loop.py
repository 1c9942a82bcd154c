"""From the camera's stamp to the tilt command, with everything running and recorded: `python bench/loop.py`.

Every node of the robot in a process of its own, over Fast DDS with config/fastdds.xml: camera, ball tracker, policy,
arm, introspection and the recorder with all topics, pictures too (10 minutes take about 15 GB, in the temporary
folder). The camera is a web server that shows a film, 640 x 480 at 30 Hz, in pictures drawn with perspective, light
and noise; the arm's controller is `test/stand_in_robot.py`. All numbers are read from the bag.

The stamp of such a camera is when FFmpeg has read and decoded the picture; how long that takes stands on a line of its
own. (The stamp of a V4L2 camera is the driver's, from before.)

With `--look` the panel and a listener to all live figures come and go every half minute: what does looking cost?
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mcap.reader import make_reader
from rosbags.typesys import Stores, get_typestore
from tqdm import tqdm

from maze_introspection.demo import END_S, START_S, Child, environment, node_command
from maze_policy import topics
from maze_policy.capture import Ended, open_capture
from maze_policy.node_config import CameraNodeConfig
from maze_policy.topics import NAMESPACE, listeners

TESTS = Path(__file__).parent.parent / 'test'
sys.path.append(str(TESTS))
from mjpeg import MjpegServer  # noqa: E402

RATE_HZ, FILM_S, LIMIT_MS = 30.0, 8.0, 20.0
COST_MS = 2.0  # that looking may add at p99
SETTLE_S, LOOK_S = 12.0, 30.0  # what a start or an end takes, and how long is measured then
BYTES_PER_FRAME = 1_000_000  # of the bag, at most
DOMAIN_ID = 101  # demo and tests take 1 to 100
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


def main() -> int:
    """Run, print, and exit with 1 if a limit is exceeded or something is lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=10.0, help='of recording (default: %(default)s)')
    parser.add_argument('--checkpoint', default='robust_finetuned', help='policy (default: %(default)s)')
    parser.add_argument('--look', action='store_true', help='compare with and without panel and live figures')
    options = parser.parse_args()
    frames = round(options.minutes * 60 * RATE_HZ)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < frames * BYTES_PER_FRAME:
            raise SystemExit(f'want {frames * BYTES_PER_FRAME / 1e9:.0f} GB in {folder}, got {free / 1e9:.0f} GB')
        looks: list[tuple[int, int, bool]] | None = [] if options.look else None
        served_ns = run(folder, film(folder), frames, options.checkpoint, looks)
        bag = read(folder / 'bag')
        code = verdict(bag, served_ns)
        return code if looks is None else max(code, cost_of_looking(bag, looks))


def film(folder: Path) -> list[bytes]:
    """Pictures of a run as JPEGs, as a camera compresses them; board.yaml is where the board is in them."""
    path, info, level = folder / 'film.avi', folder / 'camera.yaml', folder / 'level.png'
    command = [sys.executable, str(TESTS / 'stand_in_robot.py'), '--write-video', str(path), '--engine', 'planar']
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


def run(folder: Path, jpegs: list[bytes], frames: int, checkpoint: str, looks: list[Any] | None) -> Any:
    """Show the film until so many frames were answered; when each picture was served, ns.

    `looks` is filled with (since, until, whether somebody looked), ns; with None nobody does.
    """
    os.environ |= environment(DOMAIN_ID, folder)
    server, over, served_ns = MjpegServer(), threading.Event(), []

    def show() -> None:
        due_s = time.monotonic()
        for index in range(10**9):
            due_s += 1 / RATE_HZ
            if over.wait(due_s - time.monotonic()):
                return
            served_ns.append(time.time_ns())
            server.show_jpeg(jpegs[index % len(jpegs)])

    threads = [threading.Thread(target=show)]
    if looks is not None:
        threads.append(threading.Thread(target=come_and_go, args=(looks, over)))
    for thread in threads:
        thread.start()
    children = start(folder, server.url, checkpoint)
    try:
        count_answers(frames, children)
        for name in reversed(children):  # each still hears the last of the one before
            children[name].interrupt()
            children[name].wait(END_S)
    finally:
        for child in children.values():
            child.clear_away()
        over.set()
        for thread in threads:
            thread.join()
        server.close()
    return np.array(served_ns)


def come_and_go(looks: list[Any], over: threading.Event) -> None:
    """Start and end who looks; what a start itself takes is left out, as is what follows an end."""
    command = [sys.executable, str(Path(__file__).parent / 'panel.py'), '--watch']
    over.wait(SETTLE_S)
    while not over.is_set():
        for somebody in (False, True):
            watcher = Child('panel', command, dict(os.environ)) if somebody else None
            over.wait(SETTLE_S)
            since_ns = time.time_ns()
            over.wait(LOOK_S)
            if watcher and watcher.poll() is not None:
                print('the panel ended', file=sys.stderr)
                return
            if not over.is_set():
                looks.append((since_ns, time.time_ns(), somebody))
            if watcher:
                watcher.clear_away()


def cost_of_looking(bag: Bag, looks: list[tuple[int, int, bool]]) -> int:
    """Print how the latency changes when somebody looks; the exit code."""
    tilt = bag.times_ns[topics.TILT_COMMAND.name]
    latency_ms = {False: np.empty(0), True: np.empty(0)}
    for since_ns, until_ns, somebody in looks:
        part = tilt[(tilt[:, 0] >= since_ns) & (tilt[:, 0] < until_ns)]
        latency_ms[somebody] = np.append(latency_ms[somebody], (part[:, 1] - part[:, 0]) / 1e6)
    if not (latency_ms[False].size and latency_ms[True].size):
        print(f'want at least {2 * (SETTLE_S + LOOK_S) / 60:.1f} minutes with a panel, got too few to compare')
        return 1
    for somebody, values in latency_ms.items():
        print(line(f'{"panel and live figures" if somebody else "nobody looks":24} ({len(values)} frames)', values))
    cost_ms = np.percentile(latency_ms[True], 99) - np.percentile(latency_ms[False], 99)
    print(f'cost of looking: {cost_ms:+.1f} ms at p99 (limit {COST_MS:g} ms)')
    return 0 if cost_ms <= COST_MS else 1


def start(folder: Path, url: str, checkpoint: str) -> dict[str, Child]:
    """The stand-in for the arm's controller, and all nodes, each of which waits for its listeners."""
    given = {'recorder': {'bag': folder / 'bag'}, 'policy': {'checkpoint': checkpoint}, 'camera': {'source': url}}
    robot = [sys.executable, str(TESTS / 'stand_in_robot.py'), '--port', '0', '--engine', 'planar']
    children = {'robot': Child('robot', robot, dict(os.environ))}
    for name, module in NODES.items():
        parameters: dict[str, Any] = {'wait_for': listeners(name, NODES), 'wait_for_s': START_S} | given.get(name, {})
        command = [*node_command(module, parameters), '--params-file', str(folder / 'board.yaml')]
        children[name] = Child(name, command, dict(os.environ))
    return children


def count_answers(frames: int, children: Mapping[str, Child]) -> None:
    """Listen to the tilt commands, with a progress bar, until there are so many."""
    import rclpy

    from maze_policy.messages import message_class
    from maze_policy.qos import qos

    rclpy.init()
    node = rclpy.create_node('bench', namespace=NAMESPACE)
    topic, heard = topics.TILT_COMMAND, []
    node.create_subscription(message_class(topic.type), topic.name, heard.append, qos(topic, depth=100))
    end_s = time.monotonic() + START_S + 1.5 * frames / RATE_HZ
    with tqdm(total=frames, desc='playing', unit='frame', disable=None) as bar:
        while len(heard) < frames:
            rclpy.spin_once(node, timeout_sec=0.5)
            bar.update(len(heard) - bar.n)
            ended = [name for name, child in children.items() if child.poll() is not None]
            if ended or time.monotonic() > end_s:
                raise SystemExit(f'{", ".join(ended)} ended' if ended else f'{len(heard)} of {frames} tilt commands')
    node.destroy_node()
    rclpy.shutdown()


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


def verdict(bag: Bag, served_ns: Any) -> int:
    """Print latencies and counts; the exit code."""
    image, tilt = bag.times_ns[topics.CAMERA_IMAGE.name], bag.times_ns[topics.TILT_COMMAND.name]
    answers = tilt[np.isin(tilt[:, 0], image[:, 0])]
    latency_ms = (answers[:, 1] - answers[:, 0]) / 1e6
    played = image[image[:, 0] >= answers[0, 0]]  # before, the policy was looking for the board
    before = served_ns[np.searchsorted(served_ns, image[:, 0]) - 1]
    print(f'{len(image)} frames of 640 x 480 in {np.ptp(image[:, 0]) / 6e10:.1f} minutes, {os.cpu_count()} cores')
    print(line('picture served to its stamp (read, decoded)', (image[:, 0] - before) / 1e6))
    print(line('stamp to tilt command', latency_ms) + f' (limit {LIMIT_MS:g} ms at p99)')
    lost = len(played) - len(set(answers[:, 0]))
    print(f'{"topic":32}{"published":>10}{"recorded":>10}')
    for (node, what), published in PUBLISHED.items():
        want = int(bag.told.get(node, {}).get(what, 0))
        for topic in published:
            print(f'{topic.name:32}{want:10}{bag.count[topic.name]:10}')
            lost += abs(want - bag.count[topic.name])
    once_seen = f'one per frame; {len(image) - len(played)} more came before the board was found'
    print(f'{topics.TILT_COMMAND.name:32}{len(played):10}{len(answers):10}   ({once_seen})')
    refused = [
        f'{node} {key} {value}'
        for node, values in bag.told.items()
        for key, value in values.items()
        if key.startswith('refused: ')
    ]
    print('refused: ' + (', '.join(refused) or 'nothing'))
    good = bool(np.percentile(latency_ms, 99) <= LIMIT_MS) and not lost
    print(f'{"within the limit" if good else "NOT within the limit"}; lost: {lost}')
    return 0 if good else 1


def line(what: str, values_ms: Any) -> str:
    """Percentiles in words."""
    middle, high, most = np.percentile(values_ms, [50, 99, 100])
    return f'{what}: p50 {middle:.1f} ms, p99 {high:.1f} ms, max {most:.1f} ms'


if __name__ == '__main__':
    sys.exit(main())
