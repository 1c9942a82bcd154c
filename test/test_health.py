from maze_policy.health import ERROR, OK, WARN, Health


def test_counts_become_rates_and_totals():
    health = Health()
    for _ in range(60):
        health.count('frames')
    assert health.report(2.0) == (OK, 'ok', {'frames': 60, 'frames per second': 30.0})
    assert health.report(1.0).values == {'frames': 60, 'frames per second': 0.0}


def test_a_refusal_warns_with_its_reason_for_one_period_and_is_remembered():
    health = Health()
    assert health.refuse('stale frame', '0.3 s old')
    assert not health.refuse('stale frame', '0.4 s old')
    report = health.report(1.0)
    assert (report.level, report.summary) == (WARN, 'refused stale frame: 0.3 s old')
    assert report.values == {'refused: stale frame': 2, 'last reason: stale frame': '0.4 s old'}
    assert health.report(1.0).level == OK
    assert health.refused('stale frame') == 2


def test_a_failure_outranks_a_refusal():
    health = Health()
    health.refuse('stale frame', 'old')
    health.fail('scores are not finite')
    assert health.report(1.0)[:2] == (ERROR, 'scores are not finite')


def test_the_longest_time_of_a_period_is_told():
    health = Health()
    health.took('step', 0.002)
    health.took('step', 0.005)
    assert health.report(1.0).values == {'step, longest, ms': 5.0}
    assert health.report(1.0).values == {}
