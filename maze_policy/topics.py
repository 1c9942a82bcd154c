"""Every topic: its name (relative; the default namespace is /maze), type and QoS, and the layout of its matrix.

A matrix travels as a stamped `sensor_msgs/Image` with encoding 32FC1, one row of the matrix per image row. What is
derived from a camera frame carries that frame's header unchanged; parts are joined by exact stamp, never by arrival.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NAMESPACE = '/maze'


@dataclass(frozen=True)
class Topic:
    """A topic's contract; `depth` is keep-last, always reliable, `latched` means transient local."""

    name: str
    type: str
    depth: int
    latched: bool = False


IMAGE = 'sensor_msgs/msg/Image'

CAMERA_IMAGE = Topic('camera/image_raw', IMAGE, 30)  # rgb8
CAMERA_INFO = Topic('camera/camera_info', 'sensor_msgs/msg/CameraInfo', 30)
OBSERVATION = Topic('policy/observation', IMAGE, 10)  # mono8, exactly what the network saw
LSTM_GATES = Topic('policy/lstm_gates', IMAGE, 50)  # 4 x n_l: input, forget, candidate, output
LSTM_STATE = Topic('policy/lstm_state', IMAGE, 50)  # 2 x n_l: hidden, cell
ACTION_SCORES = Topic('policy/action_scores', IMAGE, 50)  # 1 x n_a: W_a h (+ b)
TILT_COMMAND = Topic('policy/tilt_command', 'geometry_msgs/msg/Vector3Stamped', 30)  # about x and y, rad
READOUT = Topic('policy/readout', IMAGE, 1, latched=True)  # n_a x (n_l + 1): [W_a | b]
EPISODE = Topic('policy/episode', 'std_msgs/msg/Header', 1, latched=True)  # stamp of the first frame; id as frame_id
BALL = Topic('ball', 'geometry_msgs/msg/PointStamped', 10)  # centre in the maze frame, m
CONTRIBUTION = Topic('introspection/contribution', IMAGE, 50)  # 1 x n_l: share of the chosen action's score
SALIENT = Topic('introspection/salient', IMAGE, 50)  # k x 3: channel, contribution, action
PRECEDING_OFFSET = Topic('introspection/preceding_offset', IMAGE, 50)  # m x 6, see OFFSET_COLUMNS
WATCHED = Topic('introspection/watched', 'std_msgs/msg/Float32MultiArray', 10)
HEATMAP = Topic('introspection/heatmap', IMAGE, 1)  # rgb8, live figure 2
CHANNEL = Topic('introspection/channel', IMAGE, 1)  # rgb8, live figure 5
HISTOGRAM = Topic('introspection/histogram', IMAGE, 1)  # rgb8, live figure 6
DIAGNOSTICS = Topic('/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray', 10)

RESET_SERVICE = 'policy/reset'  # std_srvs/srv/Trigger: the next frame starts an episode
GET_STATE_SERVICE = 'policy/get_state'  # lifecycle_msgs/srv/GetState
CHANGE_STATE_SERVICE = 'policy/change_state'  # lifecycle_msgs/srv/ChangeState: activate plays, deactivate levels first

# On DIAGNOSTICS the introspection node tells its thresholds under keys with this prefix, so that a bag knows them, and
# from which step on they hold: the first one that it explained with them.
PARAMETER_KEY = 'parameter '
PARAMETERS_SINCE_KEY = 'parameters hold since the step of stamp, ns'

# And the policy tells what played: with it a recording can be recomputed.
CHECKPOINT_KEY = 'checkpoint'
CHECKPOINT_SHA256_KEY = 'checkpoint SHA-256'
BUILD_KEY = 'computed with'
TILT_KEYS = {name: f'{PARAMETER_KEY}{name}' for name in ('tilt_step_deg', 'tilt_limit_deg')}
POLICY_KEYS = (CHECKPOINT_KEY, CHECKPOINT_SHA256_KEY, BUILD_KEY, *TILT_KEYS.values())

# Columns of PRECEDING_OFFSET. `gate` is the gate's row in LSTM_GATES (0 input, 1 forget, 3 output).
OFFSET_COLUMNS = ('gate', 'channel', 'offset', 'action', 'distance_m', 'censored')

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Topic))
PICTURES = (HEATMAP, CHANNEL, HISTOGRAM)
RECORDED = tuple(topic for topic in ALL if topic not in PICTURES)

# What each of our nodes gives besides DIAGNOSTICS, and what it takes from the others, by node name.
GIVEN_BY = {
    'simulator': (CAMERA_IMAGE, CAMERA_INFO, BALL),
    'camera': (CAMERA_IMAGE, CAMERA_INFO),
    'ball_tracker': (BALL,),
    'policy': (OBSERVATION, LSTM_GATES, LSTM_STATE, ACTION_SCORES, TILT_COMMAND, READOUT, EPISODE),
    'arm': (),
    'trial': (),
    'introspection': (CONTRIBUTION, SALIENT, PRECEDING_OFFSET, WATCHED, *PICTURES),
    'recorder': (),
}
TAKEN_BY = {
    'simulator': (TILT_COMMAND,),
    'camera': (),
    'ball_tracker': (CAMERA_IMAGE,),
    'policy': (CAMERA_IMAGE,),
    'arm': (TILT_COMMAND,),
    'trial': (BALL,),
    'introspection': (READOUT, EPISODE, LSTM_GATES, LSTM_STATE, ACTION_SCORES, BALL),
    'recorder': RECORDED,
}


def listeners(name: str, nodes: Iterable[str]) -> list[str]:
    """Which of these nodes take what the node `name` gives: whom it has to wait for in a graph of these nodes."""
    given = {*GIVEN_BY[name], DIAGNOSTICS}
    return [other for other in nodes if other != name and given.intersection(TAKEN_BY[other])]
