"""What our nodes share: parameters from a dataclass, a start and an end that lose nothing, diagnostics, signals."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rclpy
import rclpy.subscription
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from maze_policy import messages
from maze_policy.board import BoardConfig
from maze_policy.config import CameraConfig, PhysicsConfig
from maze_policy.health import ERROR, WARN, Health, Report
from maze_policy.maze import Maze
from maze_policy.node_config import NodeConfig
from maze_policy.parameters import Config, did_you_mean, fields_of
from maze_policy.qos import qos
from maze_policy.topics import DIAGNOSTICS, TAKEN_BY, Topic

try:
    from rclpy.experimental import EventsExecutor
except ImportError:  # before Kilted
    EventsExecutor = SingleThreadedExecutor

C = TypeVar('C', bound=Config)

SHARED: dict[str, type[Config]] = {'maze': Maze, 'physics': PhysicsConfig, 'camera': CameraConfig, 'board': BoardConfig}

DRAIN_LIMIT_S = 0.8  # a bag must be closed within a second of a signal
HURRY_S = 0.5
USERS_ERRORS = (ValueError, OSError, ParameterException)  # what a user can mend; a traceback does not help
NICE = 10  # niceness of what only looks on
SPIN_S = 0.02  # how soon a signal is noticed when nothing else happens


def declare(
    node: Node,
    config: type[C],
    prefix: str = '',
    defaults: C | None = None,
    on_change: Callable[[C], None] | None = None,
) -> C:
    """Declare every field of a dataclass as a parameter and return what the user wants them to be.

    They are read once, so they are read-only; but the changeable ones where the node says what to do then.

    Args:
        node: the node.
        config: what the parameters are, with types, ranges and descriptions.
        prefix: group such as `maze`, which makes `maze.rim_radius_m`.
        defaults: used instead of the dataclass's own.
        on_change: called with the new values when somebody sets some of them; a ValueError refuses them.

    Raises:
        ValueError: if a given value has the wrong type or is out of range.
    """
    given = {name: override.value for name, override in node._parameter_overrides.items()}  # no public way to ask
    values = defaults.as_dict() if defaults else {}
    name_of = {field.name: f'{prefix}.{field.name}' if prefix else field.name for field, _ in fields_of(config)}
    values |= {field: _plain(given[name]) for field, name in name_of.items() if name in given}
    try:
        made = config.from_dict(values)
    except ValueError as error:
        raise ValueError(f'parameters{" " + prefix if prefix else ""}: {error}') from error
    for field, kind in fields_of(config):
        descriptor = _descriptor(field, kind)
        descriptor.read_only = not (on_change and field.metadata['changeable'])
        node.declare_parameter(name_of[field.name], made.as_dict()[field.name], descriptor, ignore_override=True)
    if on_change:
        _let_change(node, made, {name: field for field, name in name_of.items()}, on_change)
    return made


def _let_change(node: Node, made: C, field_of: dict[str, str], on_change: Callable[[C], None]) -> None:
    """Check what is set later as what was given at the start, and pass it on."""

    def change(parameters: list[Any]) -> SetParametersResult:
        nonlocal made
        wanted = {field_of[given.name]: _plain(given.value) for given in parameters if given.name in field_of}
        try:
            changed = type(made).from_dict(made.as_dict() | wanted)
            if wanted:
                on_change(changed)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        made = changed
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(change)


def refuse_unknown_parameters(node: Node) -> None:
    """Refuse a misspelt parameter, once all are declared; groups that a file may give to every node are let pass.

    Raises:
        ValueError: naming it and the nearest one there is.
    """
    shared = [f'{prefix}.{field.name}' for prefix, group in SHARED.items() for field, _ in fields_of(group)]
    for name in node._parameter_overrides:
        if not node.has_parameter(name) and name not in shared:
            known = [known for known in node._parameters if not known.startswith('qos_overrides')]
            raise ValueError(f'there is no parameter {name!r}{did_you_mean(name, known)}')


class BaseNode(Node):
    """A node with outputs and inputs by `Topic`, health on /diagnostics, and an orderly end.

    A subclass declares its parameters and outputs, then calls `start_when_taken` with the rest of its start.
    """

    drains = True  # on the way out, take what is queued already
    quiet_s = 0.25  # a queue from which nothing came for this long is drained
    niceness = 0  # of what acts; what only looks on yields the processor to it
    wants_info = False  # callbacks get rclpy's MessageInfo too; the faster EventsExecutor of Kilted cannot pass it

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.exit_code: int | None = None  # set it to end
        self.health = Health()
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._outputs: dict[Topic, Any] = {}
        self._heard_s = self._reported_s = time.monotonic()
        self._hurried_s: dict[int, float] = {}  # when trouble of each level was reported at once
        self.output(DIAGNOSTICS)
        self.create_timer(1.0, self.report, clock=self.steady)

    def output(self, topic: Topic) -> Any:
        """A publisher for a topic."""
        self._outputs[topic] = self.create_publisher(messages.message_class(topic.type), topic.name, qos(topic))
        return self._outputs[topic]

    def tell(self, topic: Topic, message: Any) -> None:
        """Publish on one of the outputs."""
        self._outputs[topic].publish(message)

    def drop_output(self, topic: Topic) -> None:
        """Publish a topic no more, and keep nothing for late listeners."""
        self.destroy_publisher(self._outputs.pop(topic))

    def input(
        self,
        topic: Topic,
        callback: Callable[..., None],
        *,
        reliable: bool = True,
        depth: int | None = None,
        raw: bool = False,
    ) -> Any:
        """Subscribe; where the node `wants_info`, the callback gets it with the message (empty before Iron)."""
        has_info = hasattr(rclpy.subscription, 'MessageInfo')

        def hear(message: Any) -> None:
            callback(message, {}) if self.wants_info else callback(message)
            self.heard()

        def hear_with_info(message: Any, info: Any) -> None:
            callback(message, info)
            self.heard()

        return self.create_subscription(
            messages.message_class(topic.type),
            topic.name,
            hear_with_info if self.wants_info and has_info else hear,
            qos(topic, reliable=reliable, depth=depth),
            raw=raw,
        )

    def now_ns(self) -> int:
        """The node's clock, ns."""
        return int(self.get_clock().now().nanoseconds)

    def start_when_taken(self, config: NodeConfig, start: Callable[[], None]) -> None:
        """Call `start` once every node in `wait_for` takes those of our outputs that it should, and the clock runs.

        So a node that makes its inputs in `start` says by them that its own listeners are there, and the first frame
        travels the whole chain. With `use_sim_time` nothing is heard before the first /clock: no age could be told.
        """
        began_s = time.monotonic()

        def look() -> None:
            missing = self._missing(config.wait_for)
            if missing and time.monotonic() - began_s > config.wait_for_s:
                raise TimeoutError(f'after {config.wait_for_s:g} s still {"; ".join(missing)} (parameter wait_for_s)')
            if missing:
                self.get_logger().info(f'waiting: {"; ".join(missing)}', throttle_duration_sec=5.0, skip_first=True)
            else:
                timer.cancel()
                start()

        timer = self.create_timer(0.02, look, clock=self.steady)

    def refuse(self, kind: str, why: object) -> None:
        """Count a refused input; the first of its kind is logged, all are on /diagnostics."""
        if self.health.refuse(kind, str(why)):
            self.get_logger().warning(f'refused {kind}: {why} (further ones are counted on /diagnostics)')
        self._report_at_once(WARN)

    def alarm(self, why: str) -> None:
        """Note that the node itself is in trouble, in the log too."""
        self.health.fail(why)
        self.get_logger().warning(why, throttle_duration_sec=1.0)
        self._report_at_once(ERROR)

    def _report_at_once(self, level: int) -> None:
        """The reason for what was done is told with it; what then comes on and on is told twice a second."""
        now_s = time.monotonic()
        if now_s - self._hurried_s.get(level, -math.inf) > HURRY_S:
            self._hurried_s[level] = now_s
            self._publish_health(self.health.so_far(max(now_s - self._reported_s, 1e-3)))

    def report(self) -> None:
        """Put the health on /diagnostics."""
        now_s = time.monotonic()
        self._publish_health(self.health.report(max(now_s - self._reported_s, 1e-3)))
        self._reported_s = now_s

    def _publish_health(self, report: Report) -> None:
        name = self.get_fully_qualified_name()
        self._outputs[DIAGNOSTICS].publish(
            messages.diagnostics_message(messages.header_at(self.now_ns()), name, *report)
        )

    def last_words(self) -> None:
        """Called first at every end, an exception's too: make things safe."""

    def finish(self) -> None:
        """Called after the queues are drained: flush and close."""

    def heard(self) -> None:
        """Note that an input came just now."""
        self._heard_s = time.monotonic()

    def quiet_for_s(self) -> float:
        """How long ago the last input was dealt with."""
        return time.monotonic() - self._heard_s

    def wait_until_acknowledged(self, limit_s: float = 1.0) -> None:
        """Wait until every listener has everything, at most `limit_s`."""
        end_s = time.monotonic() + limit_s
        for publisher in self._outputs.values():
            publisher.wait_for_all_acked(Duration(seconds=max(end_s - time.monotonic(), 0.0)))

    def _missing(self, wait_for: tuple[str, ...]) -> list[str]:
        """Which listeners are not there yet, and whether the clock is not, in words."""
        missing = [] if self.now_ns() else ['nobody publishes /clock, which use_sim_time asks for']
        for topic, publisher in self._outputs.items():
            wanted = [name for name in wait_for if topic in TAKEN_BY[name]]
            here = self.get_namespace()
            found = {
                info.node_name
                for info in self.get_subscriptions_info_by_topic(self.resolve_topic_name(topic.name))
                if info.node_namespace == here
            }
            absent = [name for name in wanted if name not in found]
            if absent or publisher.get_subscription_count() < len(wanted):
                missing.append(f'{topic.name} is not taken by {", ".join(absent or wanted)}')
        return missing


def executor_for(node: BaseNode) -> Any:
    """The fastest executor that can serve this node, with the node in it."""
    executor = SingleThreadedExecutor(context=node.context) if node.wants_info else fast_executor(node.context)
    executor.add_node(node)
    return executor


def fast_executor(context: Any) -> Any:
    """The fastest executor that there is."""
    return EventsExecutor(context=context)


def run(make_node: Callable[[], BaseNode]) -> int:
    """Run one node until it ends or SIGINT or SIGTERM comes; the exit code.

    rclpy's own signal handling would invalidate the context before a last (level) command can be sent.
    """
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    node, executor, code = None, None, 1
    try:
        if surplus := remove_ros_args(sys.argv)[1:]:
            raise ValueError(f'want parameters as --ros-args -p name:=value, got {" ".join(surplus)}')
        be_nice(getattr(make_node, 'niceness', 0))
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        executor = executor_for(node)
        while node.exit_code is None and not caught:
            executor.spin_once(timeout_sec=SPIN_S)
        code = node.exit_code or 0
        node.last_words()
        caught.clear()
        node.heard()  # a slow last callback is no quiet queue
        end_s = time.monotonic() + DRAIN_LIMIT_S
        while node.drains and node.quiet_for_s() < node.quiet_s and time.monotonic() < end_s and not caught:
            executor.spin_once(timeout_sec=SPIN_S)
        node.finish()
        node.report()
        node.wait_until_acknowledged()
    except Exception as error:
        code = 1
        _explain(node, error)
    finally:
        if executor is not None:
            executor.shutdown()  # later its destructor would find its handles gone
        rclpy.try_shutdown()
        for number, handler in before.items():
            signal.signal(number, handler)
    return code


def be_nice(niceness: int) -> None:
    """Yield the processor, with all threads to come; Linux groups processes by session, so as a group too."""
    if os.nice(0) >= niceness:
        return
    os.nice(niceness - os.nice(0))
    if os.getsid(0) == os.getpid():  # else the group has others in it
        with contextlib.suppress(OSError):  # there are no such groups
            Path('/proc/self/autogroup').write_text(str(niceness))


def _explain(node: BaseNode | None, error: Exception) -> None:
    """One line for what a user can mend, the traceback too for what only we can; the node's end in any case."""
    if not isinstance(error, USERS_ERRORS) and 'RCL' not in type(error).__name__:
        traceback.print_exc()
    name = node.get_name() if node else sys.argv[0].rsplit('/')[-1].removesuffix('.py')
    print(f'{name}: {error}', file=sys.stderr, flush=True)
    for end in (node.last_words, node.finish, node.wait_until_acknowledged) if node else ():
        try:
            end()
        except Exception as further:
            print(f'{name}: {further}', file=sys.stderr, flush=True)


def _plain(value: Any) -> Any:
    """A parameter's value without rclpy's array types; an empty list in a parameter file comes as None."""
    return value if isinstance(value, (bool, int, float, str)) else list(value or ())


def _descriptor(field: Any, kind: Any) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=field.metadata['description'])
    low, high, choices = field.metadata['low'], field.metadata['high'], field.metadata['choices']
    if low is not None or high is not None:
        low, high = -sys.float_info.max if low is None else low, sys.float_info.max if high is None else high
        if kind is float:
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        elif kind is int:
            limit = 2**63 - 1
            low, high = max(-limit, int(low)), min(limit, int(high))
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        else:
            descriptor.additional_constraints = f'each from {low:g} to {high:g}'
    if choices:
        descriptor.additional_constraints = 'one of ' + ', '.join(choices)
    return descriptor
