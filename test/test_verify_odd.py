"""Bags that are wrong in ways that no single loss or flipped bit is: what they hold of it is not called proven."""

from dataclasses import replace

import numpy as np
import pytest
from told import messages_of, of_topic, played, write

from maze_introspection.bag import BagWriter
from maze_introspection.verify import verify
from maze_introspection.verify.file import check_file
from maze_policy import topics


@pytest.fixture(scope='module')
def told():
    """The messages of three short episodes, as [topic, stamp, CDR]."""
    recording, seen = played(steps=8, episodes=3)
    names = tuple(f'episode-{number:04}' for number in (1, 2, 3))
    return messages_of(replace(recording, episode_ids=names), seen)


@pytest.fixture
def judge(tmp_path):
    """The verdict on a bag of these messages."""
    return lambda messages: verify(write(tmp_path / 'bag', messages))


@pytest.mark.parametrize('bytes_left', [0, 3, 11, 13])
def test_messages_that_are_cut_short(told, judge, bytes_left):
    """One of each topic; it is found, whatever its decoder stumbles over."""
    cut = list(told)
    for number, topic in enumerate(topics.RECORDED):
        there = of_topic(told, topic)
        at = there[number % len(there)]  # another step each
        cut[at] = [topic, told[at][1], told[at][2][:bytes_left]]
    verdict = judge(cut)
    found = {finding.topic for finding in verdict.findings if 'does not decode' in finding.says}
    stamp_alone = {topics.CAMERA_INFO.name} if bytes_left > 12 else set()  # more of it is not looked at
    assert found == {topic.name for topic in topics.RECORDED} - stamp_alone


def without(told, *lost):
    return [message for message in told if message[0] not in lost]


def test_a_recording_without_the_ball_leaves_the_distances_unproven(told, judge, tmp_path):
    """Offsets tell them; a ball that was to be recorded and never came is missing."""
    verdict = judge(without(told, topics.BALL))
    assert (verdict.result, {found.topic for found in verdict.findings}) == ('FAILED', {topics.BALL.name})
    with BagWriter(tmp_path / 'fewer') as writer:
        for topic in dict.fromkeys(topic for topic, *_ in told):
            writer.add_topic(_name(topic), topic) if topic is not topics.BALL else None
        for at, (topic, _, cdr) in enumerate(told):
            writer.write(_name(topic), cdr, at, at) if topic is not topics.BALL else None
    verdict = verify(tmp_path / 'fewer')
    (offset,) = (check for check in verdict.checks if check.name == 'offset')
    assert (verdict.result, offset.result) == ('INCOMPLETE', 'not checked')
    assert 'ball was not recorded' in offset.unchecked


def test_a_recording_without_the_camera_info_is_incomplete(told, judge):
    verdict = judge(without(told, topics.CAMERA_INFO))
    assert verdict.result == 'INCOMPLETE'
    assert f'not recorded: {topics.CAMERA_INFO.name}' in verdict.text(3)


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('axis', [1, 2, 3])
def test_a_ball_that_is_nowhere(told, judge, value, axis):
    """Also where no offset tells its distance."""
    at = of_topic(told, topics.BALL)[5]
    cdr = bytearray(told[at][2])
    end = len(cdr) - 8 * (axis - 1)
    cdr[end - 8 : end] = np.float64(value).tobytes()
    verdict = judge([*told[:at], [topics.BALL, told[at][1], bytes(cdr)], *told[at + 1 :]])
    assert ('range', topics.BALL.name, 5) in {
        (check.name, found.topic, found.step) for check in verdict.checks for found in check.findings
    }


def test_watched_channels_of_other_names(told, judge):
    """One message that names other channels than all the others."""
    at = of_topic(told, topics.WATCHED)[5]
    cdr = told[at][2].replace(b'channel 0 1 2 3', b'channel 0 1 2 7')
    verdict = judge([*told[:at], [topics.WATCHED, told[at][1], cdr], *told[at + 1 :]])
    assert [(found.topic, found.step) for found in verdict.findings] == [(topics.WATCHED.name, 5)]


def test_an_episode_that_is_missing_altogether(told, judge):
    """Nothing of it is left, and the memory begins anew after it; but our policy numbers them."""
    first, second = (told[at][1] for at in of_topic(told, topics.EPISODE)[1:])
    seen = sum(first <= message[1] < second for message in told if message[0] is topics.LSTM_GATES)
    steps = sum(message[1] < first for message in told if message[0] is topics.LSTM_GATES)
    lost = set(of_topic(told, topics.WATCHED)[steps : steps + seen])
    verdict = judge([m for at, m in enumerate(told) if not first <= m[1] < second and at not in lost])
    assert [found.says for found in verdict.findings] == ['episode-0003 comes after episode-0001: others are missing']
    assert verdict.findings[0].stamp_ns == second


@pytest.mark.parametrize('step_deg', ['nan', '-1', '0', '"x"', '[1]'])
def test_a_policy_that_says_an_impossible_tilt(told, judge, step_deg):
    at = of_topic(told, topics.DIAGNOSTICS)[0]
    said = told[at][2].replace(b'0.5', step_deg.encode().ljust(3)[:3])
    verdict = judge([*told[:at], [topics.DIAGNOSTICS, told[at][1], said], *told[at + 1 :]])
    assert {(found.topic, found.says.split(':')[0]) for found in verdict.findings} == {
        (topics.DIAGNOSTICS.name, 'does not decode')
    }


def _name(topic):
    return topic.name if topic.name.startswith('/') else f'{topics.NAMESPACE}/{topic.name}'


@pytest.mark.parametrize(
    ('numbers', 'says'), [((0, 1, 1, 2), 'number 1 comes more than once'), ((0, 1, 2**32 - 1), '')]
)
def test_numbers_that_the_recorder_cannot_have_given(tmp_path, numbers, says):
    """However large a number is, no list is made of what is missing."""
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/maze/ball', topics.BALL)
        for at, number in enumerate(numbers):
            writer.write('/maze/ball', bytes(100), at, at, number)
    (finding,) = check_file(tmp_path / 'bag').findings
    assert says in finding.says or finding.says.startswith('messages 2 to 4294967294 are missing')
