import functools
import os
import re
import sys

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.task import Future
from scripted import Scripted

from maze_policy import messages, topics, trial_node
from maze_policy.policy_node import PolicyNode
from maze_policy.trial import Trial
from maze_policy.trial_node import TrialNode

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = (
    State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE,
    State.PRIMARY_STATE_FINALIZED,
)  # fmt: skip
CONFIGURE, ACTIVATE, DEACTIVATE = (
    Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE,
)  # fmt: skip
OUTER_M, CENTRE_M = 0.087, 0.005


class ManagedPolicy:
    """Answers as a managed node does, and remembers what it was told to do."""

    def __init__(self, node, state):
        self.state, self.told, self.refuses = state, [], set()
        node.create_service(GetState, topics.GET_STATE_SERVICE, self.on_get)
        node.create_service(ChangeState, topics.CHANGE_STATE_SERVICE, self.on_change)

    def on_get(self, _, response):
        response.current_state = State(id=self.state, label={FINALIZED: 'finalized'}.get(self.state, 'as it is'))
        return response

    def on_change(self, request, response):
        transition = request.transition.id
        self.told.append(transition)
        goes = {(UNCONFIGURED, CONFIGURE): INACTIVE, (INACTIVE, ACTIVATE): ACTIVE, (ACTIVE, DEACTIVATE): INACTIVE}
        to = goes.get((self.state, transition))
        response.success = to is not None and transition not in self.refuses
        if response.success:
            self.state = to
        return response


class Bench:
    """A referee, and ball and policy in the test's hands; the ball's time is the test's own."""

    def __init__(self, graph, policy=ManagedPolicy, state=INACTIVE, **parameters):
        self.graph, self.probe, self.now_s = graph, graph.probe(), 100.0
        self.policy = policy and policy(self.probe.node, state)
        self.node = graph.add(TrialNode, **({'lost_after_s': 30.0} | parameters))
        graph.until(lambda: self.probe.matched(topics.BALL))

    def ball(self, distance_m, after_s=0.1):
        """Show the ball once more, and wait until it was seen."""
        self.now_s += after_s
        seen = self.node.health.counted('sightings')
        header = messages.header_at(round(self.now_s * 1e9), 'maze')
        self.probe.say(topics.BALL, messages.ball_message(header, np.array([distance_m, 0.0])))
        self.graph.until(lambda: self.node.health.counted('sightings') > seen)

    def until_told(self, *transitions):
        self.graph.until(lambda: self.policy.told[-len(transitions) :] == list(transitions))

    def lie(self):
        """Leave the ball in the outer ring until the policy plays."""
        while not self.played():
            self.ball(OUTER_M, 0.4)
        assert self.policy.told[-1] == ACTIVATE

    def played(self):
        """Whether a trial is on."""
        return isinstance(self.node._watcher, Trial)

    def solve(self):
        for _ in range(3):
            self.ball(CENTRE_M)
        self.graph.until(lambda: not self.node._playing)

    def ended(self):
        """The exit code."""
        self.graph.until(lambda: self.node.exit_code is not None)
        return self.node.exit_code


@pytest.fixture
def bench(graph):
    yield lambda state=INACTIVE, **parameters: Bench(graph, state=state, **parameters)
    for node in graph.nodes:
        if isinstance(node, TrialNode):
            node.finish()


def test_trial_after_trial_the_policy_plays_only_while_the_ball_is_on_its_way(bench, capfd):
    game = bench(UNCONFIGURED, episodes=2)
    game.lie()
    assert game.policy.told == [CONFIGURE, ACTIVATE]
    game.ball(0.05)
    game.solve()
    game.lie()
    game.solve()
    assert game.ended() == 0
    assert game.policy.told == [CONFIGURE, ACTIVATE, DEACTIVATE, ACTIVATE, DEACTIVATE]
    log = capfd.readouterr().err
    assert re.search(r'trial 1: solved in 0\.\d s \(.*ring 2 0\.1 s\)', log)
    assert 'solved 2 of 2; median' in log


def test_a_policy_that_plays_already_is_levelled_before_the_ball_is_put_back(bench):
    game = bench(ACTIVE)
    game.until_told(DEACTIVATE)
    game.lie()
    assert game.policy.told == [DEACTIVATE, ACTIVATE]


def test_out_of_time_is_levelled_counted_and_exit_code_1(bench, capfd):
    game = bench(episodes=1, time_limit_s=5.0)
    game.lie()
    game.ball(OUTER_M)
    game.ball(OUTER_M, 5.1)
    assert game.ended() == 1
    assert game.policy.told[-1] == DEACTIVATE
    log = capfd.readouterr().err
    assert 'trial 1: not solved in 5.' in log
    assert 'solved 0 of 1' in log


def test_a_ball_that_is_seen_no_more_stops_the_policy_and_the_trial_is_void(bench, capfd):
    game = bench(episodes=1, lost_after_s=0.3)
    game.lie()
    game.graph.until(lambda: len(game.node._trials) == 1)
    assert game.policy.told[-1] == DEACTIVATE
    assert game.node.health.report(1.0).summary == 'trial void: no ball was seen for 0.3 s'
    assert game.node.exit_code is None
    game.lie()
    game.solve()
    assert game.ended() == 0
    assert 'solved 1 of 1 (1 void)' in capfd.readouterr().err


def test_a_policy_that_somebody_else_stopped_makes_the_trial_void(bench, capfd):
    game = bench(episodes=1)
    game.lie()
    game.policy.state = INACTIVE
    game.solve()
    game.graph.until(lambda: len(game.node._trials) == 1)
    assert not game.node._trials[0].counts
    assert 'trial void: somebody else stopped the policy' in capfd.readouterr().err
    assert game.node.exit_code is None


def test_a_policy_that_does_not_begin_is_asked_again(bench, capfd):
    game = bench()
    game.policy.refuses.add(ACTIVATE)
    while game.policy.told.count(ACTIVATE) < 2:
        game.ball(OUTER_M, 0.4)
    assert 'the policy does not begin; its own log says why' in capfd.readouterr().err
    game.policy.refuses.clear()
    game.lie()


def test_a_person_is_asked_to_put_the_ball_back(bench, capfd):
    game, log = bench(settle_s=0.1), ''
    while 'put the ball into the outer ring (the ball is in ring 2)' not in log:
        game.ball(0.05)
        log += capfd.readouterr().err
    assert game.policy.told == []
    game.lie()


def test_a_program_puts_the_ball_back_before_every_trial(bench, tmp_path):
    code = 'import sys; open(sys.argv[1], "a").write("x")'
    count = tmp_path / 'count'
    game = bench(episodes=2, reset_command=[sys.executable, '-c', code, str(count)])
    for _ in range(2):
        game.lie()
        game.solve()
    assert game.ended() == 0
    assert count.read_text() == 'xx'


@pytest.mark.parametrize(
    ('code', 'says'),
    [('raise SystemExit("no ball left")', 'exit code 1: no ball left'), ('import time; time.sleep(600)', '0.4 s')],
)
def test_a_program_that_fails_is_told_run_again_and_a_person_may_help(bench, capfd, code, says):
    game = bench(reset_command=[sys.executable, '-c', code], reset_timeout_s=0.4)
    log = ''

    def told_twice():
        nonlocal log
        log += capfd.readouterr().err
        return log.count('the ball was not put back') >= 2

    game.graph.until(told_twice)
    assert says in log
    game.lie()


def test_at_its_end_the_referee_leaves_no_program_behind(bench, tmp_path):
    alive = tmp_path / 'alive'
    code = f'import os, time; open({str(alive)!r}, "w").write(str(os.getpid())); time.sleep(600)'
    game = bench(reset_command=[sys.executable, '-c', code])
    game.graph.until(lambda: alive.exists() and alive.read_text())
    game.node.finish()
    with pytest.raises(ProcessLookupError):
        os.kill(int(alive.read_text()), 0)


def test_a_program_that_is_not_there_is_an_error(bench):
    with pytest.raises(FileNotFoundError, match='no_such_program'):
        bench(reset_command=['no_such_program']).graph.until(lambda: False, 10.0)


def test_without_a_policy_the_referee_says_so_and_ends(graph):
    graph.add(TrialNode, wait_for_s=0.2)
    with pytest.raises(TimeoutError, match=r'after 0\.2 s nobody serves /maze/policy/get_state: no policy node\?'):
        graph.until(lambda: False, 10.0)


@pytest.mark.parametrize(
    ('state', 'refuses', 'says'),
    [
        (UNCONFIGURED, CONFIGURE, 'the policy stays as it is'),
        (ACTIVE, DEACTIVATE, 'the policy stays as it is'),
        (FINALIZED, None, 'want a policy that is unconfigured, inactive or active, got one that is finalized'),
    ],
)
def test_a_policy_that_cannot_be_stopped_is_an_error(graph, state, refuses, says):
    policy = ManagedPolicy(graph.probe().node, state)
    policy.refuses.add(refuses)
    graph.add(TrialNode)
    with pytest.raises(OSError, match=says):
        graph.until(lambda: False, 30.0)


@pytest.mark.parametrize('lost', ['_state_of_policy', '_change_policy'])
def test_an_answer_that_gets_lost_is_asked_for_again(graph, monkeypatch, lost):
    monkeypatch.setattr(trial_node, 'ASK_AGAIN_S', 0.1)
    game = Bench(graph, state=UNCONFIGURED, episodes=1)
    client, count = getattr(game.node, lost), 0
    ask = client.call_async

    def every_other_answer_is_lost(request):
        nonlocal count
        count += 1
        answer = ask(request)
        return answer if count % 2 == 0 else Future(executor=graph.executor)

    client.call_async = every_other_answer_is_lost
    game.lie()
    game.solve()
    assert game.ended() == 0
    assert count >= 2


def test_a_policy_that_answers_nothing_any_more_is_an_error(bench):
    game = bench(answer_timeout_s=0.3)
    game.lie()
    game.node._state_of_policy.call_async = lambda _: Future(executor=game.graph.executor)
    with pytest.raises(TimeoutError, match=r'/maze/policy/get_state has not answered for 0\.3 s'):
        game.solve()


def test_a_ball_that_is_nowhere_is_refused(bench):
    game = bench()
    game.probe.say(topics.BALL, messages.ball_message(messages.header_at(1), np.array([np.nan, 0.0])))
    game.graph.until(lambda: game.node.health.refused('ball'))
    assert game.node.health.counted('sightings') == 0


def test_nobody_plays_without_a_referee(bench):
    game = bench()
    game.node.last_words()
    assert game.policy.told == []
    game.lie()
    game.node.last_words()
    game.until_told(DEACTIVATE)


def test_nobody_plays_without_a_referee_even_if_it_ends_before_it_knows_that_they_do(bench):
    game = bench()
    ask = game.node._change_policy.call_async
    game.node._change_policy.call_async = lambda request: (ask(request), Future(executor=game.graph.executor))[1]
    while ACTIVATE not in game.policy.told:
        game.ball(OUTER_M, 0.4)
    game.node.last_words()
    game.until_told(ACTIVATE, DEACTIVATE)


def test_the_real_policy_plays_between_two_decisions_of_the_referee(graph, capfd):
    """It waits for its listeners, whoever starts it, and nothing moves before and after a trial."""
    node = graph.add(functools.partial(PolicyNode, Scripted()), autostart=False, wait_for=['arm'], forget_after_s=100.0)
    game = Bench(graph, policy=None, episodes=1)
    game.probe.hear(topics.TILT_COMMAND)
    while not game.node.health.counted('failures'):
        game.ball(OUTER_M, 0.4)
    assert node.configured
    assert not node.active
    assert 'policy/tilt_command is not taken by arm' in capfd.readouterr().err

    arm = rclpy.create_node('arm', context=graph.context, namespace='/maze', use_global_arguments=False)
    graph.executor.add_node(arm)
    graph.nodes.append(arm)
    heard, kind = [], messages.message_class(topics.TILT_COMMAND.type)
    arm.create_subscription(kind, topics.TILT_COMMAND.name, heard.append, 10)
    while not game.played():
        game.ball(OUTER_M, 0.4)
    assert node.active
    frame = np.full((84, 84, 3), 90, np.uint8)
    graph.until(lambda: game.probe.matched(topics.CAMERA_IMAGE))
    game.probe.say(topics.CAMERA_IMAGE, messages.picture_message(messages.header_at(node.now_ns()), frame))
    graph.until(lambda: heard)
    assert messages.tilt(heard[-1]).any()
    game.solve()
    assert game.ended() == 0
    assert not node.active
    graph.until(lambda: not messages.tilt(heard[-1]).any())
