"""The ready-made views name topics, fields and panels that there are."""

import ast
import json
import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from maze_policy import messages, topics
from maze_policy.topics import NAMESPACE, WATCHED

CONFIG = Path(__file__).parent.parent / 'config'
BY_NAME = {topic.name if topic.name.startswith('/') else f'{NAMESPACE}/{topic.name}': topic for topic in topics.ALL}


def perspective():
    """Every value in config/maze.perspective, as (path of keys, value)."""

    def walk(group, path=()):
        for key, said in group['keys'].items():
            if said['type'] == 'repr':
                yield (*path, key), ast.literal_eval(said['repr'])
        for name, inner in group['groups'].items():
            yield from walk(inner, (*path, name))

    return dict(walk(json.loads((CONFIG / 'maze.perspective').read_text())))


def foxglove():
    return json.loads((CONFIG / 'foxglove.json').read_text())


def fields():
    """What the views plot, as /topic/field/field or /topic/data[index], by view."""
    plots = [value for path, value in perspective().items() if path[-1] == 'topics']
    curves = ElementTree.parse(CONFIG / 'plotjuggler.xml').findall('.//curve')
    panels = foxglove()['configById'].values()
    return {
        'maze.perspective': [field for plot in plots for field in plot],
        'plotjuggler.xml': [curve.get('name') for curve in curves],
        'foxglove.json': [path['value'].replace('.', '/') for panel in panels for path in panel.get('paths', ())],
    }


def pictures():
    """Topics of the views' pictures, by view."""
    panels = foxglove()['configById']
    return {
        'maze.perspective': [value for path, value in perspective().items() if path[-1] == 'topic'],
        'foxglove.json': [
            panel['imageMode']['imageTopic'] for name, panel in panels.items() if name.startswith('Image!')
        ],
    }


@pytest.mark.parametrize('view', fields())
def test_every_plotted_field_is_one_of_a_topic(view):
    assert len(fields()[view]) >= 8
    for field in fields()[view]:
        [topic] = [topic for name, topic in BY_NAME.items() if field.startswith(f'{name}/')]
        rest = field.removeprefix(f'{NAMESPACE}/{topic.name}/')
        value = messages.message_class(topic.type)()
        if index := re.fullmatch(r'data\[(\d+)\]', rest):
            assert topic is WATCHED, 'other arrays are longer than plotters take'
            assert int(index[1]) < len(messages.WATCHED_ROWS)
            continue
        for part in rest.split('/'):
            value = getattr(value, part)
        assert isinstance(value, float)


@pytest.mark.parametrize('view', pictures())
def test_every_picture_is_one(view):
    assert len(pictures()[view]) >= 4
    for name in pictures()[view]:
        assert BY_NAME[name] in (topics.CAMERA_IMAGE, topics.OBSERVATION, *topics.PICTURES)


def test_other_topics_that_are_named_are_there_too():
    for topic in ElementTree.parse(CONFIG / 'plotjuggler.xml').findall('.//selected_topics/topic'):
        assert topic.get('name') in BY_NAME
    for panel in foxglove()['configById'].values():
        assert panel.get('topicToRender', topics.DIAGNOSTICS.name) == topics.DIAGNOSTICS.name


def test_foxglove_shows_every_panel_once():
    def leaves(node):
        return [node] if isinstance(node, str) else [*leaves(node['first']), *leaves(node['second'])]

    layout = foxglove()
    assert sorted(leaves(layout['layout'])) == sorted(layout['configById'])


def test_the_perspective_opens_our_panel_and_what_package_xml_asks_for():
    running = perspective()['pluginmanager', 'running-plugins']
    assert running['maze_introspection/MazePanel'] == [1]
    asked = {element.text for element in ElementTree.parse(CONFIG.parent / 'package.xml').findall('exec_depend')}
    assert {name.split('/')[0] for name in running} - {'maze_introspection'} <= asked


def test_the_perspective_fits_on_a_small_screen():
    window = json.loads((CONFIG / 'maze.perspective').read_text())['groups']['mainwindow']['keys']
    geometry = bytes.fromhex(re.search("b'([0-9a-f]+)'", window['geometry']['repr(QByteArray.hex)'])[1])
    assert geometry[:4].hex() == '01d9d0cb', 'as QWidget::saveGeometry begins'
    for at in (8, 24, len(geometry) - 16):  # with frame, without, and as it was last
        left, top, right, bottom = struct.unpack('>4i', geometry[at : at + 16])
        assert 0 <= left < right < 1280
        assert 0 <= top < bottom < 800


def test_plugin_xml_names_a_class_that_there_is():
    [plugin] = ElementTree.parse(CONFIG.parent / 'plugin.xml').findall('class')
    module, name = plugin.get('type').rsplit('.', 1)
    source = (CONFIG.parent / f'{module.replace(".", "/")}.py').read_text()
    assert f'class {name}(QObject)' in source
    assert plugin.get('base_class_type') == 'rqt_gui_py::Plugin'
    exported = ElementTree.parse(CONFIG.parent / 'package.xml').find('export/rqt_gui')
    assert exported.get('plugin') == '${prefix}/plugin.xml'
