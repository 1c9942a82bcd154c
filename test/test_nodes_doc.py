"""The tables in docs/nodes.md are made from the code; `python test/test_nodes_doc.py` rewrites them."""

import dataclasses
import re
from pathlib import Path

from maze_introspection.config import IntrospectionConfig, IntrospectionNodeConfig, RecorderConfig
from maze_policy import topics
from maze_policy.board import BoardConfig
from maze_policy.config import CameraConfig, PhysicsConfig, TiltConfig
from maze_policy.maze import Maze, load_maze
from maze_policy.node_config import (
    ArmNodeConfig,
    BallTrackerNodeConfig,
    CameraNodeConfig,
    NodeConfig,
    PolicyNodeConfig,
    SimulatorNodeConfig,
    TrialNodeConfig,
)
from maze_policy.parameters import fields_of

DOC = Path(__file__).parent.parent / 'docs/nodes.md'
CONTENT = {
    topics.CAMERA_IMAGE: 'overhead view, rgb8',
    topics.CAMERA_INFO: "the camera's calibration, or zeros; of the simulator a pinhole without distortion",
    topics.OBSERVATION: 'mono8, 84 x 84: exactly what the network saw',
    topics.LSTM_GATES: '4 x n_l: input, forget, candidate, output, after their nonlinearities',
    topics.LSTM_STATE: '2 x n_l: hidden, cell',
    topics.ACTION_SCORES: '1 x n_a',
    topics.TILT_COMMAND: 'commanded tilt about x and y, rad',
    topics.READOUT: 'n_a x (n_l + 1): weights and bias of the readout',
    topics.EPISODE: 'stamp of the first frame after a memory reset; the episode id as `frame_id`',
    topics.BALL: 'ball centre in the maze frame, m',
    topics.CONTRIBUTION: "1 x n_l: share of each channel in the chosen action's score",
    topics.SALIENT: 'k x 3: channel, contribution, action of the channels that make up `fraction` of the score',
    topics.PRECEDING_OFFSET: 'm x 6: ' + ', '.join(topics.OFFSET_COLUMNS),
    topics.WATCHED: 'gates and contribution of `watched_channels`, for plotters',
    topics.HEATMAP: 'live figure 2, rgb8, only while somebody looks',
    topics.CHANNEL: 'live figure 5, rgb8, only while somebody looks',
    topics.HISTOGRAM: 'live figure 6, rgb8, only while somebody looks',
    topics.DIAGNOSTICS: 'of every node, every second: rates, longest times, what was refused and why',
}
SPEAKERS = {
    'camera': 'camera, simulator',
    'ball': 'ball_tracker, simulator',
    'policy': 'policy',
    'introspection': 'introspection',
}
GROUPS = (
    ('Every node', NodeConfig, ''),
    ('simulator', SimulatorNodeConfig, ''),
    ('camera', CameraNodeConfig, ''),
    ('ball_tracker', BallTrackerNodeConfig, ''),
    ('policy', PolicyNodeConfig, ''),
    ('arm', ArmNodeConfig, ''),
    ('trial', TrialNodeConfig, ''),
    ('introspection', IntrospectionNodeConfig, ''),
    ('introspection, definitions', IntrospectionConfig, ''),
    ('recorder', RecorderConfig, ''),
    ('simulator; the first two also policy', PhysicsConfig, 'physics.'),
    ('simulator', CameraConfig, 'camera.'),
    ('simulator, policy, ball_tracker and recorder; defaults from config/maze.yaml', Maze, 'maze.'),
    ('policy and ball_tracker; `maze-policy calibrate` writes them', BoardConfig, 'board.'),
)


def topic_table():
    lines = ['| topic | type | content | from | QoS |', '|---|---|---|---|---|']
    for topic in topics.ALL:
        speaker = SPEAKERS.get(topic.name.split('/')[0], 'all')
        quality = f'{topic.depth}, latched' if topic.latched else f'{topic.depth}'
        lines.append(
            f'| `{topic.name}` | {topic.type.replace("/msg", "")} | {CONTENT[topic]} | {speaker} | {quality} |'
        )
    return '\n'.join(lines)


def shown(value):
    if isinstance(value, (list, tuple)):
        return '[' + ', '.join(map(str, value)) + ']'
    return {True: 'true', False: 'false'}.get(value, str(value)) if isinstance(value, bool) else str(value) or "''"


def parameter_tables():
    parts, told = [], {field.name for field, _ in fields_of(NodeConfig)}
    for title, config, prefix in GROUPS:
        parts.append(f'### {title}\n\n| parameter | default | range | meaning |\n|---|---|---|---|')
        values = load_maze().as_dict() if config is Maze else {}
        for field, _ in fields_of(config):
            if config is not NodeConfig and issubclass(config, NodeConfig) and field.name in told:
                continue
            default = values.get(field.name, field.default)
            default = (
                'all but the live figures' if (config, field.name) == (RecorderConfig, 'topics') else shown(default)
            )
            low, high, choices = (field.metadata[key] for key in ('low', 'high', 'choices'))
            span = f'{low} to {high}' if high is not None else f'from {low}' if low is not None else ''
            if choices and len(choices) < 10:
                span = ', '.join(choices)
            meaning = field.metadata['description'].replace('|', '\\|') + ' *' * field.metadata['changeable']
            parts.append(f'| `{prefix}{field.name}` | {default} | {span} | {meaning} |')
        parts.append('')
    return '\n'.join(parts)


def written(text):
    for name, table in (('topics', topic_table()), ('parameters', parameter_tables())):
        pattern = rf'(<!-- {name} -->\n).*?(<!-- end -->)'
        text = re.sub(pattern, lambda match, table=table: f'{match[1]}{table}\n{match[2]}', text, flags=re.DOTALL)
    return text


def test_the_tables_are_those_of_the_code():
    assert DOC.read_text() == written(DOC.read_text()), 'run: python test/test_nodes_doc.py'


def test_every_topic_and_node_is_there():
    assert set(CONTENT) == set(topics.ALL)
    text = DOC.read_text()
    for node in topics.TAKEN_BY:
        assert f'| `{node}` |' in text
    assert topics.RESET_SERVICE in text


def test_the_policys_share_of_the_physics_is_said_right():
    assert [field.name for field in dataclasses.fields(TiltConfig)] == ['tilt_step_deg', 'tilt_limit_deg']


if __name__ == '__main__':
    DOC.write_text(written(DOC.read_text()))
