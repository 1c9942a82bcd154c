"""What `maze-introspection verify` proves, and that one wrong message does not get past it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made import made_recording, with_live
from rosbags.rosbag2 import StoragePlugin, Writer
from told import BEGIN_NS, CHECKPOINT, flipped, messages_of, of_topic, played, with_stamp, write

from maze_introspection.bag import BagError, read_recording, write_recording
from maze_introspection.bag.access import open_bag
from maze_introspection.cli import main
from maze_introspection.config import IntrospectionConfig, VerifyConfig
from maze_introspection.verify import Finding, verify
from maze_introspection.verify.digest import ARRAYS, digest
from maze_policy import topics
from maze_policy.checkpoint import load_policy, provenance, save

RUN = Path(__file__).parent / 'data' / 'live_run'

# Every topic of which any altered number, any lost and any exchanged message is found.
PROVEN = (
    topics.LSTM_GATES,
    topics.LSTM_STATE,
    topics.ACTION_SCORES,
    topics.OBSERVATION,
    topics.TILT_COMMAND,
    topics.CONTRIBUTION,
    topics.SALIENT,
    topics.PRECEDING_OFFSET,
    topics.WATCHED,
)
COUNTED = (*PROVEN, topics.CAMERA_IMAGE, topics.CAMERA_INFO, topics.EPISODE)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope='module')
def run():
    """A recording of two episodes, what it saw, and its messages."""
    recording, seen = played(steps=30, episodes=2)
    changes = {20: IntrospectionConfig(theta_c=0.01), 25: IntrospectionConfig(fraction=0.3)}
    return recording, seen, messages_of(recording, seen, changes)


@pytest.fixture(scope='module')
def bag(run, tmp_path_factory):
    return write(tmp_path_factory.mktemp('verify') / 'bag', run[2])


def results(verdict):
    return {check.name: check.result for check in verdict.checks}


def where(verdict):
    """Topic and stamp of everything that was found."""
    return {(finding.topic, finding.stamp_ns) for finding in verdict.findings}


def test_a_whole_recording_is_proven_throughout(bag, run, capsys):
    verdict = verify(bag)
    assert verdict.result == 'PASSED', verdict.text(5)
    assert set(results(verdict).values()) == {'proven'}
    assert [(episode.result, episode.last - episode.first + 1) for episode in verdict.episodes] == [
        ('PASSED', 31),
        ('PASSED', 31),
    ]
    assert verdict.about['checkpoint']['name'] == CHECKPOINT
    assert '62 to the last bit' in next(check.says for check in verdict.checks if check.name == 'network')
    assert main(['verify', str(bag)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == 'PASSED: 15 proven, 0 FALSE, 0 not checked'
    assert f'sha256:{verdict.episodes[0].digest}' in out


def test_a_live_run_from_another_machine(capsys):
    """It has no pictures, so what needs them is not proven, and nobody says so."""
    assert main(['verify', str(RUN)]) == 3
    verdict = verify(RUN)
    unchecked = {name for name, result in results(verdict).items() if result != 'proven'}
    assert unchecked == {'messages', 'readout', 'network', 'view', 'salient', 'watched'}
    assert not verdict.findings
    assert 'INCOMPLETE' in capsys.readouterr().out
    memory = next(check.says for check in verdict.checks if check.name == 'memory')
    assert '178 of 178 steps follow from the one before, c = f c + i g to the last bit' in memory
    assert results(verify(RUN, checkpoint='distilled'))['readout'] == 'proven'
    recording = read_recording(RUN)
    assert [e.digest for e in verdict.episodes] == [digest({name: getattr(recording, name) for name in ARRAYS})]


def test_another_checkpoint_is_not_taken_for_the_one_that_played(bag, tmp_path):
    verdict = verify(bag, checkpoint='robust')
    assert verdict.result == 'INCOMPLETE'
    said = next(check.unchecked for check in verdict.checks if check.name == 'network')
    assert said.startswith(f'want the checkpoint {CHECKPOINT} of SHA-256 {provenance(CHECKPOINT)["sha256"]}')
    (readout,) = (c for c in verify(RUN, checkpoint='robust').checks if c.name == 'readout')
    assert 'numbers are not those of the checkpoint' in readout.findings[0].says


def test_a_bag_that_names_no_checkpoint_needs_one(run, tmp_path):
    recording, seen, _ = run
    bag = write(tmp_path / 'bag', messages_of(recording, seen, checkpoint=None))
    verdict = verify(bag)
    assert results(verdict)['network'] == 'not checked'
    assert verdict.exit_code == 3
    verdict = verify(bag, checkpoint=CHECKPOINT)
    assert verdict.result == 'PASSED', verdict.text(5)
    assert 'computed with unknown' in verdict.text(5)


def test_a_checkpoint_that_is_not_here_is_named(run, tmp_path):
    told = [list(message) for message in run[2]]
    for message in told:
        message[2] = message[2].replace(b'\x08\0\0\0nominal\0', b'\x08\0\0\0unknown\0')
    verdict = verify(write(tmp_path / 'bag', told))
    said = next(check.unchecked for check in verdict.checks if check.name == 'network')
    assert said.startswith('the bag names the checkpoint unknown, SHA-256')
    with pytest.raises(ValueError, match='want the description'):
        verify(tmp_path / 'bag', checkpoint='missing')


def test_another_build_has_a_tolerance_and_says_how_much_of_it_was_used(run, tmp_path):
    """A network that rounds otherwise: the same one with every weight one bit away."""
    recording, seen, _ = run
    policy = load_policy(CHECKPOINT)
    with torch.no_grad():
        policy.lstm.weight_ih_l0.mul_(1 + 2**-23)
    save(tmp_path / 'other.safetensors', policy, {})
    bag = write(tmp_path / 'bag', messages_of(recording, seen, checkpoint=None))
    verdict = verify(bag, checkpoint=str(tmp_path / 'other.safetensors'))
    (network,) = (check for check in verdict.checks if check.name == 'network')
    assert network.result == 'proven', network
    assert 'largest deviation' in network.says
    assert 'allowed: 0.0001' in network.says
    strict = verify(bag, VerifyConfig(network_tolerance=0.0), checkpoint=str(tmp_path / 'other.safetensors'))
    assert results(strict)['network'] == 'FALSE'


def test_the_digest_is_that_of_the_numbers_alone(bag, run, tmp_path):
    """Neither the order of arrival nor the format nor the pictures change it; one bit does."""
    recording, _, told = run
    by_topic = sorted(told, key=lambda message: message[0].name)
    few = [message for message in by_topic if message[0] not in (topics.CAMERA_IMAGE, topics.SALIENT)]
    want = [episode.digest for episode in verify(bag).episodes]
    assert [episode.digest for episode in verify(write(tmp_path / 'other', few)).episodes] == want
    first = recording.only(0)
    plain = hashlib.sha256()
    for name, dtype in ARRAYS.items():
        values = np.ascontiguousarray(getattr(first, name), dtype=dtype)
        plain.update(f'{name} {dtype} {"x".join(map(str, values.shape))}\n'.encode() + values.tobytes())
    assert plain.hexdigest() == want[0]
    scores = first.scores.copy()
    scores[3, 2] = np.nextafter(scores[3, 2], np.float32(9))
    assert digest({**{name: getattr(first, name) for name in ARRAYS}, 'scores': scores}) != want[0]


def test_a_digest_does_not_depend_on_how_a_nan_is_written():
    recording = made_recording(20)
    arrays = {name: getattr(recording, name).copy() for name in ARRAYS}
    arrays['ball_m'][3] = np.nan
    other = {**arrays, 'ball_m': arrays['ball_m'].copy()}
    other['ball_m'].view(np.uint64)[3] |= 5
    assert digest(arrays) == digest(other)


def test_sqlite_is_read_too_and_its_lack_of_checksums_told(bag, run, tmp_path):
    with (
        Writer(tmp_path / 'bag', version=8, storage_plugin=StoragePlugin.SQLITE3) as writer,
        open_bag(bag, None) as source,
    ):
        connections = {
            topic: writer.add_connection(f'/maze/{topic.name}', topic.type, typestore=_types())
            for topic in topics.RECORDED
            if not topic.name.startswith('/')
        }
        connections[topics.DIAGNOSTICS] = writer.add_connection(
            '/diagnostics', topics.DIAGNOSTICS.type, typestore=_types()
        )
        for at, (topic, cdr) in enumerate(source.raw(topics.RECORDED)):
            writer.write(connections[topic], at, cdr)
    verdict = verify(tmp_path / 'bag')
    assert {name for name, result in results(verdict).items() if result != 'proven'} == {'file'}
    assert 'has no checksums' in verdict.text(5)
    assert [episode.digest for episode in verdict.episodes] == [episode.digest for episode in verify(bag).episodes]
    with sqlite3.connect(tmp_path / 'bag' / 'bag.db3') as database:
        database.execute('DELETE FROM messages WHERE id = 40')
    assert verify(tmp_path / 'bag').result == 'FAILED'


def _types():
    from maze_introspection.bag.writer import TYPES

    return TYPES


@pytest.mark.promise('Verification', 'one message removed: found, and its topic and step named', quick=12, full=200)
def test_one_message_removed(promise, run, tmp_path):
    told = run[2]
    for seed in promise.times():
        random = np.random.default_rng(seed)
        topic = COUNTED[seed % len(COUNTED)]
        lost = int(random.choice(_of_a_step(told, topic)))
        verdict = _verified(tmp_path, told[:lost] + told[lost + 1 :])
        assert verdict.result == 'FAILED', told[lost][:2]
        stamp = _stamp(told, lost)
        assert (topic.name, stamp) in where(verdict), (topic.name, stamp, verdict.text(9))
        assert {at for _, at in where(verdict)} == {stamp}, verdict.text(9)


@pytest.mark.promise('Verification', 'two messages of a topic exchanged: both found, and named', quick=11, full=200)
def test_two_messages_exchanged(promise, run, tmp_path):
    told = run[2]
    exchangeable = [topic for topic in COUNTED if topic is not topics.EPISODE]
    for seed in promise.times():
        random = np.random.default_rng(seed)
        topic = exchangeable[seed % len(exchangeable)]
        one, other = (int(at) for at in random.choice(_of_a_step(told, topic), 2, replace=False))
        changed = list(told)
        changed[one], changed[other] = told[other], told[one]
        verdict = _verified(tmp_path, changed)
        both = {(topic.name, _stamp(told, at)) for at in (one, other)}
        assert both <= where(verdict), (both, verdict.text(9))
        assert {at for _, at in where(verdict)} == {at for _, at in both}, verdict.text(9)


@pytest.mark.promise(
    'Verification', 'the contents of two messages of a topic exchanged: both found, and named', quick=8, full=200
)
def test_the_contents_of_two_messages_exchanged(promise, run, tmp_path):
    told = run[2]
    exchangeable = [topic for topic in PROVEN if topic is not topics.WATCHED]
    for seed in promise.times():
        random = np.random.default_rng(seed)
        topic = exchangeable[seed % len(exchangeable)]
        one = other = 0
        while told[one][2][12:] == told[other][2][12:]:  # nothing but the stamps differs
            one, other = (int(at) for at in random.choice(_of_a_step(told, topic), 2, replace=False))
        changed = [list(message) for message in told]
        changed[one][2] = with_stamp(told[other][2], told[one][1])
        changed[other][2] = with_stamp(told[one][2], told[other][1])
        verdict = _verified(tmp_path, changed)
        for at in (one, other):
            assert _named(verdict, topic, _stamp(told, at)), (topic.name, at, verdict.text(9))


@pytest.mark.promise('Verification', 'one bit of one number altered: found, and its message named', quick=10, full=200)
def test_one_bit_altered(promise, run, tmp_path):
    told = run[2]
    alterable = (*PROVEN, topics.READOUT)
    for seed in promise.times():
        random = np.random.default_rng(seed)
        topic = alterable[seed % len(alterable)]
        at = int(random.choice(_of_a_step(told, topic) if topic is not topics.READOUT else of_topic(told, topic)))
        changed = [list(message) for message in told]
        changed[at][2] = flipped(topic, told[at][2], random)
        verdict = _verified(tmp_path, changed)
        stamp = None if topic is topics.READOUT else _stamp(told, at)
        assert _named(verdict, topic, stamp), (topic.name, stamp, verdict.text(9))
        if topic is not topics.READOUT:
            assert {at for _, at in where(verdict)} == {stamp}, verdict.text(9)


@pytest.mark.promise('Verification', 'one bit of the file altered, anywhere: found', quick=10, full=200)
def test_one_bit_of_the_file_altered(promise, bag, tmp_path):
    content = (bag / 'bag_0.mcap').read_bytes()
    for seed in promise.times():
        random = np.random.default_rng(seed)
        shutil.copytree(bag, tmp_path / 'bag')
        changed = bytearray(content)
        changed[random.integers(len(content))] ^= 1 << int(random.integers(8))
        (tmp_path / 'bag' / 'bag_0.mcap').write_bytes(changed)
        verdict = verify(tmp_path / 'bag')
        shutil.rmtree(tmp_path / 'bag')
        assert verdict.exit_code == 1
        assert results(verdict)['file'] == 'FALSE'
        assert results(verdict)['network'] == 'not checked'


def _verified(tmp_path, told):
    verdict = verify(write(tmp_path / 'bag', told))
    shutil.rmtree(tmp_path / 'bag')
    return verdict


def _of_a_step(told, topic):
    """Its messages that belong to a step: not the level commands between them."""
    steps = {stamp for each, stamp, _ in told if each is topics.LSTM_GATES}
    return [at for at in of_topic(told, topic) if told[at][1] in steps]


def _stamp(told, at):
    return told[at][1]


def _named(verdict, topic, stamp):
    """Whether a finding names the message, alone or as one of two."""
    return any(topic.name in found.topic.split(' or ') and found.stamp_ns == stamp for found in verdict.findings)


def test_without_the_checkpoint_the_recurrence_finds_what_it_can(run, tmp_path):
    """Bits that rounding swallows are beyond it; docs/verify.md says how many."""
    recording, seen, _ = run
    told = messages_of(recording, seen, checkpoint=None)
    for topic, row in ((topics.LSTM_GATES, 1), (topics.LSTM_STATE, 1), (topics.ACTION_SCORES, 0)):
        at = _of_a_step(told, topic)[17]
        changed = [list(message) for message in told]
        changed[at][2] = _added(told[at][2], 40 + row * 4 * recording.channels * 0, recording.channels, row)
        verdict = _verified(tmp_path, changed)
        assert _named(verdict, topic, told[at][1]), (topic.name, verdict.text(9))


def _added(cdr, _, channels, row):
    """With the first number of a row moved by 0.01."""
    width = channels if len(cdr) > 8 * channels else 5
    rows = 4 if len(cdr) > 16 * channels else 2 if len(cdr) > 8 * channels else 1
    at = len(cdr) - 4 * width * (rows - row)
    value = np.frombuffer(cdr[at : at + 4], '<f4') + np.float32(0.01)
    return cdr[:at] + value.astype('<f4').tobytes() + cdr[at + 4 :]


@pytest.mark.parametrize('lost', [3, 40])
def test_a_step_that_is_missing_altogether(run, tmp_path, lost):
    recording, _, told = run
    stamp = int(recording.stamp_ns[lost])
    after = int(recording.stamp_ns[lost + 1])
    kept = [message for message in told if message[1] != stamp or message[0] is topics.WATCHED]
    verdict = _verified(tmp_path, kept)
    assert (topics.LSTM_GATES.name, after) in where(verdict), verdict.text(9)
    assert 'a step before it is missing' in verdict.text(9)
    assert [episode.result for episode in verdict.episodes].count('FAILED') == 1


def test_an_episode_that_nobody_named(run, tmp_path):
    recording, _, told = run
    verdict = _verified(tmp_path, [message for message in told if message[0] is not topics.EPISODE])
    found = [finding for finding in verdict.findings if finding.stamp_ns is not None]
    assert {finding.stamp_ns for finding in found} == {int(recording.stamp_ns[0]), int(recording.stamp_ns[31])}
    assert all('the memory is reset here' in finding.says for finding in found)


def test_an_episode_that_does_not_begin(run, tmp_path):
    recording, _, told = run
    stamp = int(recording.stamp_ns[10])
    at = next(at for at in of_topic(told, topics.EPISODE))
    extra = [topics.EPISODE, stamp, with_stamp(told[at][2], stamp)]
    where_to = next(at for at in of_topic(told, topics.LSTM_GATES) if told[at][1] == stamp)
    verdict = _verified(tmp_path, [*told[:where_to], extra, *told[where_to:]])
    assert where(verdict) == {(topics.EPISODE.name, stamp)}, verdict.text(9)


def test_a_recording_that_begins_late_is_incomplete_and_not_false(run, tmp_path):
    recording, _, told = run
    late = int(recording.stamp_ns[10])
    kept = [m for m in told if m[1] >= late or m[0] in (topics.READOUT, topics.EPISODE, topics.DIAGNOSTICS)]
    kept = [m for m in kept if m[0] is not topics.WATCHED] + [m for m in kept if m[0] is topics.WATCHED]
    verdict = _verified(tmp_path, kept)
    assert not verdict.findings, verdict.text(9)
    assert verdict.exit_code == 3
    assert 'begins in the middle of an episode' in verdict.text(9)
    assert results(verdict)['network'] == 'not checked'


def test_an_introspection_that_came_late_lacks_what_it_did_not_hear(run, tmp_path):
    recording, _, told = run
    late = int(recording.stamp_ns[10])
    live = (topics.CONTRIBUTION, topics.SALIENT, topics.PRECEDING_OFFSET, topics.WATCHED)
    verdict = _verified(tmp_path, [m for m in told if m[1] >= late or m[0] not in live])
    assert [str(finding).split(': ')[1] for finding in verdict.findings] == ['missing']
    (finding,) = verdict.findings
    assert (finding.topic, finding.step, finding.through) == (topics.CONTRIBUTION.name, 0, 9)


def test_another_tilt_step_must_be_named(run, tmp_path):
    recording, seen, _ = run
    scaled = replace(recording, tilt_rad=recording.tilt_rad * 2)
    told = [m for m in messages_of(scaled, seen) if m[0] is not topics.DIAGNOSTICS]
    bag = write(tmp_path / 'bag', told)
    (tilt,) = (check for check in verify(bag).checks if check.name == 'tilt')
    assert tilt.result == 'not checked'
    assert '--tilt-step-deg' in tilt.unchecked
    assert results(verify(bag, tilt={'tilt_step_deg': 1.0, 'tilt_limit_deg': 10.0}))['tilt'] == 'proven'


def test_a_command_of_no_step_must_be_level(run, tmp_path):
    told = [list(message) for message in run[2]]
    at = max(of_topic(told, topics.TILT_COMMAND))
    told[at][2] = flipped(topics.TILT_COMMAND, told[at][2], np.random.default_rng(0))
    verdict = _verified(tmp_path, told)
    assert where(verdict) == {(topics.TILT_COMMAND.name, told[at][1])}


def test_numbers_that_are_none_and_messages_that_do_not_decode(run, tmp_path):
    recording, _, told = run
    gates, state = (_of_a_step(told, topic)[5] for topic in (topics.LSTM_GATES, topics.LSTM_STATE))
    changed = [list(message) for message in told]
    changed[gates][2] = told[gates][2][:-4] + np.float32(np.nan).tobytes()
    changed[state][2] = told[state][2].replace(b'32FC1', b'64FC1')
    verdict = _verified(tmp_path, changed)
    stamp = int(recording.stamp_ns[5])
    assert {topics.LSTM_GATES.name, topics.LSTM_STATE.name} <= {topic for topic, _ in where(verdict)}
    assert {at for _, at in where(verdict)} == {stamp}, verdict.text(9)
    assert 'got 64FC1' in verdict.text(9).replace('little-endian ', '')
    assert 'want finite output gate' in verdict.text(9)


def test_a_message_that_went_astray(run, tmp_path):
    told = run[2]
    at = _of_a_step(told, topics.LSTM_STATE)[9]
    changed = [list(message) for message in told]
    changed[at][2] = with_stamp(told[at][2], told[at][1] + 1)
    assert where(_verified(tmp_path, changed)) == {
        (topics.LSTM_STATE.name, told[at][1]),
        (topics.LSTM_STATE.name, told[at][1] + 1),
    }


def test_a_message_that_comes_twice(run, tmp_path):
    told = run[2]
    at = _of_a_step(told, topics.ACTION_SCORES)[9]
    verdict = _verified(tmp_path, [*told[: at + 1], told[at], *told[at + 1 :]])
    assert where(verdict) == {(topics.ACTION_SCORES.name, told[at][1])}
    assert 'more than once' in verdict.text(9)


def test_a_lost_ball_is_noticed_where_an_offset_tells_of_it(run, tmp_path):
    told = run[2]
    offset = of_topic(told, topics.PRECEDING_OFFSET)[3]
    kept = [m for m in told if m[0] is not topics.BALL or m[1] != told[offset][1]]
    assert where(_verified(tmp_path, kept)) == {(topics.BALL.name, told[offset][1])}


def test_what_the_recorder_numbered_and_lost(bag, tmp_path):
    """A tool that leaves a message out but keeps the numbers of the others: any topic, also one without redundancy."""
    from maze_introspection.bag import BagWriter

    with open_bag(bag, None) as source, BagWriter(tmp_path / 'bag') as writer:
        count, lost = {}, None
        for topic in topics.RECORDED:
            writer.add_topic(topic.name if topic.name.startswith('/') else f'/maze/{topic.name}', topic)
        for at, (topic, cdr) in enumerate(source.raw(topics.RECORDED)):
            name = topic.name if topic.name.startswith('/') else f'/maze/{topic.name}'
            number = count[topic] = count.get(topic, -1) + 1
            if topic is topics.BALL and number == 7:
                continue
            if topic is topics.BALL and number == 8:
                lost = int.from_bytes(cdr[4:8], 'little') * 1_000_000_000 + int.from_bytes(cdr[8:12], 'little')
            writer.write(name, cdr, BEGIN_NS + at, BEGIN_NS + at, number)
    verdict = verify(tmp_path / 'bag')
    (file,) = (check for check in verdict.checks if check.name == 'file')
    assert [(finding.topic, finding.stamp_ns) for finding in file.findings] == [('ball', lost)]
    assert 'message 7 is missing' in file.findings[0].says


def test_a_policy_without_a_memory_is_no_string_of_unnamed_episodes(tmp_path):
    recording = made_recording(40, resets=tuple(range(40)))
    recording = replace(recording, episode=np.zeros(40, np.int64), episode_ids=('only',))
    write_recording(tmp_path / 'bag', with_live(recording))
    verdict = verify(tmp_path / 'bag')
    assert results(verdict)['memory'] == 'proven', verdict.text(9)
    assert results(verdict)['episodes'] == 'proven'


def test_what_is_no_bag(tmp_path, capsys):
    assert main(['verify', str(tmp_path / 'none')]) == 2
    (tmp_path / 'empty').mkdir()
    with pytest.raises(BagError, match='no finished bag'):
        verify(tmp_path / 'empty')
    assert 'no finished bag' in capsys.readouterr().err


def test_several_bags_the_worst_decides_and_json_has_all(bag, tmp_path, capsys):
    shutil.copytree(bag, tmp_path / 'bags' / 'good')
    shutil.copytree(RUN, tmp_path / 'bags' / 'live_run')
    assert main(['verify', str(tmp_path / 'bags'), '--json', str(tmp_path / 'all.json')]) == 3
    told = json.loads((tmp_path / 'all.json').read_text())
    assert [one['verdict'] for one in told['bags']] == ['PASSED', 'INCOMPLETE']
    assert told['bags'][0]['episodes'][0]['digest'] == verify(bag).episodes[0].digest
    assert told['bags'][0]['messages'][topics.LSTM_GATES.name] == 62
    shutil.copytree(RUN, tmp_path / 'bags' / 'broken')
    (tmp_path / 'bags' / 'broken' / 'metadata.yaml').write_text('x: 1')
    assert main(['verify', str(tmp_path / 'bags')]) == 2
    assert 'metadata.yaml is damaged' in capsys.readouterr().err


def test_a_finding_says_where():
    finding = Finding('missing', 'ball', step=3, through=5, stamp_ns=1_000_000_002)
    assert str(finding) == 'steps 3 to 5, stamp 1.000000002, ball: missing'
    assert str(Finding('so')) == 'so'
