"""The rqt plugin "Maze / LSTM introspection": its own ROS node, in a thread of its own, feeds the panel.

rqt spins its node with a MultiThreadedExecutor, which costs many times what the panel does; so this one has its own.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import rclpy
from python_qt_binding.QtCore import QObject, Signal
from python_qt_binding.QtWidgets import QLabel, QLineEdit
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import ExternalShutdownException
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy

from maze_introspection.panel.model import PanelModel, Said
from maze_introspection.panel.steps import PARTS
from maze_introspection.panel.view import projection
from maze_introspection.panel.widget import PanelWidget
from maze_policy import messages, topics
from maze_policy.base_node import NICE, be_nice, fast_executor
from maze_policy.board import BoardConfig
from maze_policy.maze import Maze
from maze_policy.parameters import fields_of
from maze_policy.qos import qos
from maze_policy.topics import NAMESPACE, Topic

LOOK_S, ASK_EVERY = 0.5, 10  # how often to look for camera and policy; looks between two questions to it
VIEW = [f'{group}.{field.name}' for group, of in (('maze', Maze), ('board', BoardConfig)) for field, _ in fields_of(of)]
_NUMBER = itertools.count()


class Feed:
    """A node that hears what the panel shows, and sets what is asked for.

    Args:
        model: takes what is heard, in this thread of ours.
        context: rclpy's.
        namespace: of the policy's nodes.
        say: told how a request ended, in this thread of ours.
    """

    def __init__(self, model: PanelModel, context: Any, namespace: str, say: Callable[[str], None]) -> None:
        self._model, self._say, self._over = model, say, threading.Event()
        # Without services of its own it needs no permission where there are permissions.
        self.node = rclpy.create_node(
            f'rqt_maze_panel_{os.getpid()}_{next(_NUMBER)}',
            context=context,
            namespace=namespace,
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._namespace = self.node.get_namespace()
        for topic in PARTS:
            self._hear(topic, partial(self._on_part, topic))
        self._hear(topics.PRECEDING_OFFSET, partial(self._on_part, topics.PRECEDING_OFFSET))
        self._hear(topics.BALL, lambda said: model.add_ball(messages.stamp_ns(said.header), messages.ball(said)))
        self._hear(topics.EPISODE, lambda said: setattr(model, 'episode', said.frame_id))
        self._hear(topics.DIAGNOSTICS, self._on_diagnostics)
        self._set = self.node.create_client(SetParameters, 'introspection/set_parameters')
        self._get = self.node.create_client(GetParameters, 'policy/get_parameters')
        self._camera: Any = None  # the subscription
        self._camera_reliable = True
        self._looks = 0
        self._asked: Any = None  # the last question
        self.node.create_timer(LOOK_S, self._look_for_camera)
        self.node.create_timer(LOOK_S, self._ask_for_view)
        self._executor = fast_executor(context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name='maze panel', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._over.set()
        self._thread.join()

    def set_parameter(self, name: str, value: float) -> None:
        """Have a parameter of the introspection node set; how that ended is said."""
        if not (self._thread.is_alive() and self._set.service_is_ready()):
            self._say(f'cannot set {name}: there is no introspection node in {self._namespace}')
            return
        wanted = Parameter(name, value=value).to_parameter_msg()
        self._set.call_async(SetParameters.Request(parameters=[wanted])).add_done_callback(
            lambda future: self._say(_outcome(name, value, future.result().results[0]))
        )

    def _spin(self) -> None:
        try:
            with suppress(ExternalShutdownException):  # rqt was interrupted
                while not self._over.is_set() and self.node.context.ok():
                    self._executor.spin_once(timeout_sec=0.1)
        finally:
            self._executor.remove_node(self.node)
            self._executor.shutdown()
            self.node.destroy_node()

    def _hear(self, topic: Topic, take: Callable[[Any], None], *, reliable: bool = True) -> Any:
        def hear(message: Any) -> None:
            try:
                take(message)
            except Exception as error:  # whatever a message holds, the next one is heard
                self._model.refuse(topic, str(error) if isinstance(error, ValueError) else repr(error))
            else:
                self._model.hear(topic)

        kind = messages.message_class(topic.type)
        return self.node.create_subscription(kind, topic.name, hear, qos(topic, reliable=reliable))

    def _on_part(self, topic: Topic, message: Any) -> None:
        rows = {topics.LSTM_GATES: 4, topics.LSTM_STATE: 2, topics.ACTION_SCORES: 1, topics.CONTRIBUTION: 1}.get(topic)
        self._model.add(topic, messages.stamp_ns(message.header), messages.matrix(message, (rows, None)))

    def _on_picture(self, message: Any) -> None:
        self._model.add_picture(messages.stamp_ns(message.header), messages.picture(message, 'rgb8'))

    def _on_diagnostics(self, message: Any) -> None:
        namespace = self._namespace.rstrip('/') + '/'
        for status in message.status:
            if status.name.startswith(namespace):
                values = {pair.key: pair.value for pair in status.values}
                level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
                self._model.add_node(status.name.removeprefix(namespace), Said(level, status.message, values))

    def _look_for_camera(self) -> None:
        """Listen as the camera speaks: a best-effort driver is not heard reliably, large pictures hardly otherwise."""
        found = self.node.get_publishers_info_by_topic(self.node.resolve_topic_name(topics.CAMERA_IMAGE.name))
        reliable = all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in found)
        if found and (self._camera is None or reliable != self._camera_reliable):
            if self._camera is not None:  # another camera than before
                self.node.destroy_subscription(self._camera)
            self._camera_reliable = reliable
            self._camera = self._hear(topics.CAMERA_IMAGE, self._on_picture, reliable=reliable)

    def _ask_for_view(self) -> None:
        """Ask again and again: the policy may have been started anew, with another calibration."""
        self._looks += 1
        if (self._asked is None or self._looks % ASK_EVERY == 0) and self._get.service_is_ready():
            if self._asked is not None:  # no answer came, or this does nothing
                self._get.remove_pending_request(self._asked)
            self._asked = self._get.call_async(GetParameters.Request(names=VIEW))
            self._asked.add_done_callback(self._on_view)

    def _on_view(self, future: Any) -> None:
        values = zip(VIEW, future.result().values)
        told = {name: Parameter.from_parameter_msg(ParameterMessage(name=name, value=value)) for name, value in values}
        plain = {name: each.value for name, each in told.items() if each.type_ != Parameter.Type.NOT_SET}
        plain = {
            name: value if isinstance(value, (bool, int, float, str)) else list(value) for name, value in plain.items()
        }
        try:
            self._model.project = projection(plain)
        except ValueError as error:
            self._model.project = None
            self._say(f'no ring around the ball: {error}')


class MazePanel(QObject):
    """What rqt loads; by duck typing it is a plugin (qt_gui.plugin.Plugin says that this will do)."""

    _said = Signal(str)  # from the node's thread to the panel's

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        be_nice(NICE)  # all of rqt, which only looks on
        self.setObjectName('MazePanel')
        self._context, self._namespace = context, ''
        self.model = PanelModel()
        self.widget = PanelWidget(self.model)
        self.widget.setObjectName('MazePanelWidget')
        if context.serial_number() > 1:
            self.widget.setWindowTitle(f'{self.widget.windowTitle()} ({context.serial_number()})')
        self._said.connect(self.widget.say)
        self.widget.parameter_wanted.connect(self._set)
        self._field = QLineEdit(NAMESPACE)
        self._field.setToolTip("namespace of the policy's nodes")
        self._field.setMaximumWidth(120)
        self._field.editingFinished.connect(lambda: self.look_into(self._field.text()))
        self.widget.controls.addWidget(QLabel('namespace'))
        self.widget.controls.addWidget(self._field)
        self._feed: Feed | None = None
        self.look_into(NAMESPACE)
        context.add_widget(self.widget)

    def look_into(self, namespace: str) -> None:
        """Show the policy of another namespace, from now on."""
        namespace = '/' + namespace.strip().strip('/')
        if namespace == self._namespace:
            return
        self.shutdown_plugin()
        self._namespace = ''
        self.model = PanelModel()
        self.widget.look_at(self.model)
        try:
            self._feed = Feed(self.model, self._context.node.context, namespace, self._said.emit)
        except Exception as error:  # rclpy has an exception of its own for each way a name can be wrong
            self.widget.say(f'{namespace}: {error}')
            return
        self._namespace = namespace
        self._field.setText(namespace)

    def shutdown_plugin(self) -> None:
        """Called by rqt at the end."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    def save_settings(self, plugin_settings: Any, instance_settings: Any) -> None:
        """Called by rqt: remember what was chosen."""
        for name, value in {**self.widget.state(), 'namespace': self._namespace}.items():
            instance_settings.set_value(name, value)

    def restore_settings(self, plugin_settings: Any, instance_settings: Any) -> None:
        """Called by rqt: choose it again."""
        self.widget.restore({name: instance_settings.value(name) for name in self.widget.state()})
        self.look_into(instance_settings.value('namespace') or NAMESPACE)

    def _set(self, name: str, value: float) -> None:
        if self._feed is not None:
            self._feed.set_parameter(name, value)


def _outcome(name: str, value: float, result: Any) -> str:
    return f'{name} is {value:g} now' if result.successful else f'{name} was not set: {result.reason}'
