import dataclasses
import itertools

import numpy as np
import pytest

from maze_policy import arm
from maze_policy.node_config import ArmNodeConfig

LIMIT, FASTEST, HARDEST = np.radians([5.0, 30.0, 400.0])
PERIOD_S = 0.01
LITTLE = 1e-9  # what rounding may add, relative


def follower(position=(0.0, 0.0)):
    return arm.Follower(np.array(position), LIMIT, FASTEST, HARDEST)


def violations(made, targets, steps_s):
    """How many of the steps exceeded a limit, and the largest share of each limit that was used."""
    count, most = 0, np.zeros(3)
    for target, step_s in zip(targets, steps_s):
        position, rate = made.position_rad, made.rate_rad_s
        made.step(target, step_s)
        moved = np.abs(made.position_rad - position).max() / step_s
        changed = np.abs(made.rate_rad_s - rate).max() / step_s
        used = np.array([np.abs(made.position_rad).max() / LIMIT, moved / FASTEST, changed / HARDEST])
        count += bool((used > 1 + LITTLE).any())
        most = np.maximum(most, used)
    return count, most


# Targets as wild as a flood of commands can be, and periods from a flood's 0.1 ms to a stall of 0.2 s.
TARGETS = {
    'anything': lambda rng, n: rng.normal(0, 10 ** rng.uniform(-6, 3, (n, 1)), (n, 2)),
    'from limit to limit': lambda rng, n: rng.choice([-1.0, 1.0], (n, 2)) * LIMIT,
    'a policy': lambda rng, n: np.clip(
        np.cumsum(rng.choice([-1, 0, 1], (n, 2)), axis=0) * np.radians(0.5), -LIMIT, LIMIT
    ),
    'held, then turned': lambda rng, n: np.repeat(rng.uniform(-2, 2, (n // 40 + 1, 2)) * LIMIT, 40, axis=0)[:n],
}
STEPS = {
    'even': lambda rng, n: np.full(n, PERIOD_S),
    'a flood': lambda rng, n: np.full(n, 1e-3),
    'jitter': lambda rng, n: PERIOD_S * 10 ** rng.uniform(-2, 1.3, n),
}


@pytest.mark.promise(
    'Safety of control', 'random commands: tilt, rate and acceleration stay within limits', quick=20_000, full=1_000_000
)
def test_no_command_ever_makes_it_exceed_a_limit(promise):
    worlds = list(itertools.product(TARGETS.values(), STEPS.values()))
    for turn, commands in enumerate(promise.times(chunk=1000)):
        rng = np.random.default_rng(turn)
        targets, steps = worlds[turn % len(worlds)]
        made = follower(rng.uniform(-LIMIT, LIMIT, 2))
        count, most = violations(made, targets(rng, len(commands)), steps(rng, len(commands)))
        assert count == 0, most
        for what, share in zip(('tilt', 'rate', 'acceleration'), most):
            promise.saw(f'share of the {what} limit', share)


def test_the_limits_are_used_to_the_full():
    """Else the test above could pass with an arm that hardly moves."""
    made = follower()
    targets = [np.array([LIMIT, -LIMIT]) * sign for sign in (1, -1) for _ in range(50)]
    count, most = violations(made, targets, [PERIOD_S] * 100)
    assert count == 0
    np.testing.assert_allclose(most, 1.0)


def test_it_arrives_as_fast_as_the_limits_allow_and_does_not_overshoot():
    made, target = follower(), np.array([LIMIT, -LIMIT / 2])
    path = []
    while not made.rests_at(target):
        made.step(target, PERIOD_S)
        path.append(made.position_rad)
        assert len(path) < 100
    path = np.array(path)
    assert (np.abs(path) <= np.abs(target) * (1 + LITTLE)).all()
    ideal_s = LIMIT / FASTEST + FASTEST / HARDEST
    first_s = PERIOD_S * (1 + np.argmax(np.abs(path[:, 0] - LIMIT) < 0.01 * LIMIT))
    assert ideal_s <= first_s + 2 * PERIOD_S
    assert first_s <= ideal_s + 3 * PERIOD_S


def test_a_policys_steps_are_followed_within_a_tenth_of_a_second():
    made, step_rad, commanded, followed = follower(), np.radians(0.5), [], []
    for tick in range(100):
        target = np.array([min(tick // 3 + 1, 8) * step_rad, 0.0])
        made.step(target, 1 / 90)
        commanded.append(target[0])
        followed.append(made.position_rad[0])
    behind = [np.searchsorted(followed, value * 0.99) - np.searchsorted(commanded, value) for value in set(commanded)]
    assert max(behind) / 90 < 0.1


EVERYWHERE = np.linspace(0, 1, 50)


def cubic(first, second, at=EVERYWHERE):
    """Position, rate and acceleration on the cubic that a controller lays through two waypoints; (times, axes) each."""
    duration_s = second.after_s - first.after_s
    s = at[:, None]
    way = second.position_rad - first.position_rad
    a, b = first.rate_rad_s * duration_s, second.rate_rad_s * duration_s
    rate = (6 * s - 6 * s**2) * way + (1 - 4 * s + 3 * s**2) * a + (3 * s**2 - 2 * s) * b
    hard = (6 - 12 * s) * way + (6 * s - 4) * a + (6 * s - 2) * b
    position = first.position_rad + (3 * s**2 - 2 * s**3) * way + (s - 2 * s**2 + s**3) * a + (s**3 - s**2) * b
    return position, rate / duration_s, hard / duration_s**2


def on_the_way(rng):
    """A follower in full motion, at a random moment."""
    made = follower(rng.uniform(-LIMIT, LIMIT, 2))
    for _ in range(rng.integers(1, 40)):
        made.step(rng.uniform(-2, 2, 2) * LIMIT, PERIOD_S)
    return made


def test_left_alone_it_brakes_and_goes_level_within_the_limits():
    rng = np.random.default_rng(3)
    for _ in range(500):
        made = on_the_way(rng)
        way = made.ahead(0.03, 0.1, np.zeros(2))
        assert way[0].after_s == 0.03
        assert (way[0].position_rad == made.position_rad).all()
        assert not way[-1].rate_rad_s.any()
        assert not way[-1].position_rad.any()
        assert all(np.diff([point.after_s for point in way]) >= arm.LEAST_GAP_S * (1 - LITTLE))
        for first, second in itertools.pairwise(way):
            position, rate, hard = cubic(first, second)
            assert np.abs(position).max() <= LIMIT * 1.0001
            assert np.abs(rate).max() <= FASTEST * 1.0001
            # two ends of braking nearer than LEAST_GAP_S are one
            rounding = 4 * arm.LEAST_GAP_S / (second.after_s - first.after_s)
            assert np.abs(hard).max() <= HARDEST * (1.0001 + rounding), (first, second)
        if len(way) > 2:
            assert way[-2].after_s >= 0.13 - LITTLE, 'it waits for a command first'
        assert way[-1].after_s <= 0.13 + 1.5 * LIMIT / FASTEST + FASTEST / HARDEST


def test_after_a_stall_it_goes_on_from_where_the_controller_was_led():
    """Be it braking, waiting, on its way to level or there; and no limit is exceeded from there on."""
    rng = np.random.default_rng(4)
    for _ in range(300):
        made = on_the_way(rng)
        way, for_s = made.ahead(0.0, 0.1, np.zeros(2)), rng.uniform(0.0, 0.5)
        later = next((pair for pair in itertools.pairwise(way) if for_s < pair[1].after_s), None)
        made.go_on(for_s, 0.1, np.zeros(2))
        if later:
            share = (for_s - later[0].after_s) / (later[1].after_s - later[0].after_s)
            position, rate, _ = cubic(*later, at=np.array([share]))
            np.testing.assert_allclose(made.position_rad, position[0], atol=1e-12)
            np.testing.assert_allclose(made.rate_rad_s, rate[0], atol=1e-9)
        else:
            assert made.rests_at(np.zeros(2))
        assert violations(made, rng.uniform(-2, 2, (30, 2)) * LIMIT, [PERIOD_S] * 30)[0] == 0


def test_left_alone_on_the_approach_it_stops():
    made = arm.approach(ArmNodeConfig(), np.array([0.1, 0.2]))
    for _ in range(50):
        made.follower.step(np.zeros(2), PERIOD_S)
    way = made.ahead(0.03, 0.1)
    assert not way[-1].rate_rad_s.any()
    assert np.abs(way[-1].position_rad - made.follower.stop_rad).max() < 1e-12
    assert way[-1].position_rad.all()


def test_at_rest_one_waypoint_says_it_all():
    [point] = follower().ahead(0.03, 0.1, np.zeros(2))
    assert (point.after_s, point.position_rad.tolist(), point.rate_rad_s.tolist()) == (0.03, [0, 0], [0, 0])


WRISTS = ArmNodeConfig(
    joint_names=('elbow', 'wrist_1', 'wrist_2'),
    neutral_rad=(0.5, -1.0, 1.5),
    tilt_to_joints=(0.0, 0.0, 0.0, -1.0, 2.0, 0.0),
)


def test_joints_turn_as_the_matrix_says_and_the_others_stay():
    made = arm.tilting(WRISTS)
    assert made.joints_rad().tolist() == [0.5, -1.0, 1.5]
    for _ in range(100):
        made.follower.step(np.array([0.02, 0.03]), PERIOD_S)
    np.testing.assert_allclose(made.joints_rad(), [0.5, -1.0 - 0.03, 1.5 + 0.04], atol=1e-6)
    made.follower.step(np.array([0.0, 0.0]), PERIOD_S)
    first = made.ahead(0.03, 0.1)[0]
    np.testing.assert_allclose(first.position_rad, made.joints_rad())
    back = made.follower.rate_rad_s
    np.testing.assert_allclose(first.rate_rad_s, [0.0, -back[1], 2 * back[0]])
    assert back.max() < 0


def test_the_approach_ends_in_the_neutral_pose_at_its_own_rate():
    config = dataclasses.replace(WRISTS, approach_deg_s=10.0)
    made = arm.approach(config, np.array([0.5, -1.2, 1.6]))
    rates, steps = [], 0
    while not made.follower.rests_at(arm.neutral_rad(config)):
        made.follower.step(arm.neutral_rad(config), PERIOD_S)
        rates.append(np.abs(made.follower.rate_rad_s).max())
        steps += 1
        assert steps < 1000
    assert max(rates) == pytest.approx(np.radians(10.0))
    assert steps * PERIOD_S == pytest.approx(0.2 / np.radians(10.0) + 0.5, abs=0.1)


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'neutral_rad': (0.0,)}, 'neutral_rad wants 2 positions, one per joint, got 1'),
        ({'tilt_to_joints': (1.0, 0.0)}, 'tilt_to_joints wants 4 numbers, two per joint, got 2'),
        ({'tilt_to_joints': (1.0, 0.0, 1.0, 0.0)}, 'tilt_to_joints wants joints that tilt about both axes'),
        ({'joint_names': ('a', 'a')}, 'joint_names wants 2 names, each once, got 1'),
        ({'joint_names': ()}, 'joint_names wants 1 names'),
        ({'controller_topics': ('a', 'b')}, 'controller_topics wants 1 for joint_trajectory, got 2'),
        ({'interface': 'joints', 'controller_topics': ('a',)}, 'controller_topics wants 2 for joints, got 1'),
        ({'interface': 'positions'}, 'interface positions wants joint_states_topic'),
        ({'interface': 'velocity'}, 'interface wants one of joint_trajectory, positions, joints'),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        ArmNodeConfig(**changes)
