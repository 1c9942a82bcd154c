"""An arm's controller in a test's hands: it records what it is sent, and when, and can tell where its joints are."""

import numpy as np

from maze_policy.messages import message_class
from maze_policy.node_config import ARM_INTERFACES


class Controller:
    """Takes the commands of any interface; `path` is where they lead: (source time s, joints rad) of each command."""

    def __init__(self, graph, interface='joint_trajectory', joints=('tilt_x', 'tilt_y'), tells=None):
        topics, kind = ARM_INTERFACES[interface]
        self.graph, self.interface, self.joints = graph, interface, joints
        self.messages, self.path, self.rates = [], [], []
        self.told = tells  # where the joints are, rad; None: it does not tell
        self.node = graph.probe().node
        self._latest = dict.fromkeys(topics)
        self._subscriptions = [
            self.node.create_subscription(message_class(kind), topic, self._taker(topic), 1000) for topic in topics
        ]
        self._states = self.node.create_publisher(message_class('sensor_msgs/msg/JointState'), '/joint_states', 1)
        self.node.create_timer(0.01, self._tell)

    def close(self):
        """No controller any more."""
        for subscription in self._subscriptions:
            self.node.destroy_subscription(subscription)
        self.told = None

    def _tell(self):
        if self.told is not None:
            message = message_class('sensor_msgs/msg/JointState')(name=['gripper', *reversed(self.joints)])
            message.position = [0.0, *np.array(self.told, dtype=float)[::-1]]
            self._states.publish(message)

    def _taker(self, topic):
        def take(message, info):
            at_s = info['source_timestamp'] * 1e-9
            self.messages.append(message)
            if self.interface == 'joint_trajectory':
                assert tuple(message.joint_names) == tuple(self.joints)
                self._note(at_s, message.points[0].positions)
                self.rates.append(np.array(message.points[0].velocities))
            elif self.interface == 'positions':
                self._note(at_s, message.data)
            else:
                self._latest[topic] = message.data
                if topic == list(self._latest)[-1]:
                    self._note(at_s, list(self._latest.values()))

        return take

    def _note(self, at_s, joints):
        self.path.append((at_s, np.array(joints)))
        if self.told is not None:
            self.told = np.array(joints)

    @property
    def last(self):
        """Where the joints were sent last, rad."""
        return self.path[-1][1]

    @property
    def tilted(self):
        """Whether they were sent anywhere but to 0."""
        return bool(self.path) and np.abs(self.last).max() > 1e-5
