"""Bags that are wrong in ways that no single loss or flipped bit is: what they hold of it is not called proven."""

import pytest
from told import messages_of, of_topic, played, write

from maze_introspection.verify import verify
from maze_policy import topics


@pytest.fixture(scope='module')
def told():
    """The messages of three short episodes, as [topic, stamp, CDR]."""
    recording, seen = played(steps=8, episodes=3)
    return messages_of(recording, seen)


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
