"""A graph of real processes over DDS, faults for it, and an observer: what the tests in `test_faults_*.py` stand on.

Nothing of ROS lives in the test's own process. Camera and observer say what they did and heard, with times of
CLOCK_MONOTONIC, which is one for all processes of a machine.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from conftest import free_domain
from fault_observer import CONTROLLER
from fault_policy import STEP

from maze_introspection.demo import environment, node_command
from maze_policy import topics

HERE = Path(__file__).parent
DEADLINE_S = 60.0  # for what takes milliseconds on an idle machine
SAFE_MS = 150.0
PERIOD_NS = 1e9 / 30
HALT_MS = 70.0  # six messages at twice the camera's rate
OBSERVED = (topics.TILT_COMMAND, topics.DIAGNOSTICS, topics.EPISODE, topics.LSTM_STATE, CONTROLLER)
ANSWERS = (topics.TILT_COMMAND, topics.LSTM_GATES, topics.LSTM_STATE)  # to each frame
MODULES = {
    'policy': 'maze_policy.policy_node',
    'arm': 'maze_policy.arm_node',
    'introspection': 'maze_introspection.introspection_node',
    'recorder': 'maze_introspection.recorder_node',
    'ball_tracker': 'maze_policy.ball_tracker_node',
    'camera_node': 'maze_policy.camera_node',
    'simulator': 'maze_policy.simulator_node',
    'trial': 'maze_policy.trial_node',
}


class FaultGraph:
    """The processes of one test, and all lines that camera and observer have said."""

    def __init__(self, domain, folder):
        self.folder, self._environment = folder, environment(domain, folder)
        self.processes, self._all = {}, []
        self._lines, self._news = {}, threading.Condition()

    def start(self, name, command, *, heard=False):
        """A process; where it is `heard`, its lines are kept."""
        log = open(self.folder / f'{name}.log', 'a')  # noqa: SIM115 (the process has it)
        process = subprocess.Popen(
            command,
            env=self._environment,
            cwd=HERE.parent,
            stdin=subprocess.PIPE if heard else subprocess.DEVNULL,
            stdout=subprocess.PIPE if heard else log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.processes[name] = process
        self._all.append(process)
        if heard:
            threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()
        return process

    def node(self, name, *, module=None, **parameters):
        """One of our nodes; `__` in a parameter stands for the dot of a group."""
        given = {key.replace('__', '.'): value for key, value in parameters.items()}
        return self.start(name, node_command(module or MODULES[name], given))

    def leaning(self, name='policy', **parameters):
        """The policy node with the policy that is known by heart."""
        command = node_command('fault_policy', parameters)
        command[1:3] = [str(HERE / 'fault_policy.py')]
        return self.start(name, command)

    def watch(self, *more, but=()):
        wanted = [topic.name for topic in (*OBSERVED, *more) if topic not in but]
        self._answers = [topic for topic in ANSWERS if topic.name in wanted]
        self.start('observer', [sys.executable, str(HERE / 'fault_observer.py'), *wanted], heard=True)

    def show(self, *arguments):
        self.start('camera', [sys.executable, str(HERE / 'fault_camera.py'), *arguments], heard=True)

    def play(self, **parameters):
        """The usual: observer, arm, the policy that leans, camera; returns when the arm leans."""
        self.watch()
        self.node('arm', near_neutral_deg=0.1)
        self.leaning(**parameters)
        self.show()
        self.leans()

    def _read(self, stream):
        for text in stream:
            line = SimpleNamespace(**{'stamp': 0} | json.loads(text))
            with self._news:
                self._lines.setdefault(getattr(line, 'topic', None) or 'camera', []).append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def said(self, topic, since_ns=0, until_ns=None):
        """What came of a topic (or of 'camera') within these times."""
        name = getattr(topic, 'name', topic)
        with self._news:
            lines = list(self._lines.get(name, ()))
        return [line for line in lines if since_ns <= line.t and (until_ns is None or line.t < until_ns)]

    def until(self, condition, deadline_s=DEADLINE_S):
        """What `condition` is, once it is anything; looked at with every line that comes."""
        end_s = time.monotonic() + deadline_s
        while not (found := condition()):
            left_s = end_s - time.monotonic()
            assert left_s > 0, f'not within {deadline_s:g} s:\n{self.story()}'
            with self._news:
                self._news.wait(min(left_s, 0.05))
        return found

    def first(self, topic, since_ns, which=lambda line: True, deadline_s=DEADLINE_S):
        """The first line of a topic after a time for which `which` holds."""
        return self.until(lambda: next((line for line in self.said(topic, since_ns) if which(line)), None), deadline_s)

    def story(self):
        """What the processes printed, for a test that fails."""
        return '\n'.join(f'{path.stem}: {path.read_text()[-2000:]}' for path in sorted(self.folder.glob('*.log')))

    # what is done to it

    def order(self, faults, **how):
        """Tell the camera; the time of the last good frame before, once it has heard."""
        now_ns = time.monotonic_ns()
        command = {'faults': faults, **how}
        camera = self.processes['camera']
        camera.stdin.write(json.dumps(command).encode() + b'\n')
        camera.stdin.flush()
        heard = self.first('camera', now_ns, lambda line: line.did == 'heard')
        return self.last_good(heard.t)

    def last_good(self, before_ns):
        return [line for line in self.said('camera', 0, before_ns) if line.did == 'good'][-1]

    def slot(self, begin, count):
        """What the camera did, or left, so many slots after a frame."""
        return self.first(
            'camera', begin.t, lambda line: line.did in ('good', 'left out') and slots(begin, line) >= count
        )

    def good_again(self, since_ns):
        """The first good frame after a time."""
        return self.first('camera', since_ns, lambda line: line.did == 'good')

    def kill(self, name, number=signal.SIGKILL):
        self.processes[name].send_signal(number)
        if number == signal.SIGKILL:
            self.processes[name].wait()

    # what is seen of it

    def leans(self, since_ns=0):
        """Wait until the arm stands where the policy tilts it at most, and the observer hears the policy too."""
        for topic in self._answers:
            self.first(topic, 0)
        return self.first(
            CONTROLLER,
            since_ns or time.monotonic_ns(),
            lambda line: line.position[0] > np.radians(4.99) and abs(line.rate[0]) < 1e-9,
        )

    def turns_back(self, since_ns):
        """The arm's first command after a time that leads towards level."""
        return self.first(CONTROLLER, since_ns, lambda line: line.rate[0] < 0 or at_level(line))

    def levelled(self, since_ns):
        """The policy's first level command after a time."""
        return self.first(topics.TILT_COMMAND, since_ns, lambda line: not any(line.tilt))

    def reason(self, node, since_ns, text):
        """The node's first report after a time that gives this reason."""
        return self.first(topics.DIAGNOSTICS, since_ns, lambda line: line.node == node and text in line.says)

    def counts(self, node, since_ns):
        """What a node has counted: of its first report after a time; 0 for what it has not."""
        line = self.first(topics.DIAGNOSTICS, since_ns, lambda line: line.node == node)
        return Counts(line.values)

    def answer(self, since_ns):
        """The first step that the policy told after a time, as (good frame, state)."""
        frames = {line.stamp: line for line in self.said('camera', since_ns) if line.did == 'good'}

        def found():
            frames.update({line.stamp: line for line in self.said('camera', since_ns) if line.did == 'good'})
            return next(
                ((frames[line.stamp], line) for line in self.said(topics.LSTM_STATE, since_ns) if line.stamp in frames),
                None,
            )

        return self.until(found)

    def disturb(self, count, faults, **how):
        """Let the camera fail for so many slots, and play on; again where the system itself disturbed it.

        Last good frame before, first slot after, and what the policy had counted before and after.
        """
        while True:
            self.leans()
            before = self.counts('policy', time.monotonic_ns())
            begin = self.order(faults, slots=count, **how)
            end = self.slot(begin, count + 3)
            self.answer(end.t)
            if not self._halted(begin, end):
                return begin, end, before, self.counts('policy', time.monotonic_ns())

    def _halted(self, begin, end):
        """Whether the system let the policy wait between two frames, for so long that its queue may overflow."""
        answers = self.said(topics.LSTM_STATE, begin.t, end.t)
        good = {line.stamp: line for line in self.said('camera', begin.t, end.t) if line.did == 'good'}
        late = [ms(line, good[line.stamp]) for line in answers if line.stamp in good]
        return len(late) < len(good) - 1 or max(late) > HALT_MS

    def close(self):
        """End everything, whatever it takes; gently at first, else the shared memory stays behind."""
        for number, patience_s in ((signal.SIGCONT, 0.0), (signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
            left = [process for process in self._all if process.poll() is None]
            for process in left:
                process.send_signal(number)
            end_s = time.monotonic() + patience_s
            for process in left:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(end_s - time.monotonic(), 0.0))


@contextlib.contextmanager
def fault_graph(folder):
    """A graph of its own, which ends with all its processes."""
    with free_domain() as domain:
        graph = FaultGraph(domain, folder)
        try:
            yield graph
        finally:
            graph.close()


class Counts:
    """Numbers of a report."""

    def __init__(self, values):
        self._values = values

    def __getitem__(self, what):
        return int(self._values.get(what, 0))

    def refused(self, kind):
        return self[f'refused: {kind}']

    def why(self, kind):
        return self._values.get(f'last reason: {kind}', '')


def keeps(promise, what, limit):
    """Whether all that was seen is within the limit.

    `make test` shares the processor with other tests, where the system may come late to any process: what it looks at
    is whether it happens at all, and soon. The numbers are the soak's.
    """
    seen = promise.seen[what]
    assert max(seen) <= (limit if promise.soak else 5 * limit), (what, seen)


def at_level(line):
    """Whether the arm is told to be level."""
    return np.abs(line.position).max() < 1e-5


def steps_of(state):
    """Which step of its episode a state of the leaning policy is."""
    return round(state.rows[1][0] / float(STEP))


def slots(earlier, later):
    """How many of the camera's periods from one line to another, by their stamps."""
    return round((later.stamp - earlier.stamp) / PERIOD_NS)


def ms(later, earlier):
    """From one line to another."""
    return (later.t - earlier.t) / 1e6
