"""The summary as a few lines for a person."""

from __future__ import annotations

from typing import Any


def text(summary: dict[str, Any]) -> str:
    """What `statistics.summary` found, for the terminal."""
    lines = [
        f'{summary["steps"]} steps, {summary["success"]["episodes"]} episode(s), {summary["channels"]} LSTM channels',
        _success(summary['success']),
        _needed(summary),
        f'single-action channels: {_channels(summary["single_action_channels"], summary["judged_channels"])}',
        f'single-ring channels: {_channels(summary["single_ring_channels"], summary["judged_channels"])}',
    ]
    lines += _rings(summary)
    lines.append(_completeness(summary['completeness']))
    return '\n'.join(lines)


def _success(success: dict[str, Any]) -> str:
    whole = success['whole']
    if not whole:
        return 'solved: unknown, the recording has no whole episode with a ball and a maze'
    took = success['solved_s']
    partly = success['episodes'] - whole
    says = f'solved: {success["solved"]} of {whole}'
    if took['n']:
        says += f', in {took["median"]:.1f} s (median; quartiles {took["q1"]:.1f} to {took["q3"]:.1f} s)'
    return says + (f'; {partly} episode(s) only partly recorded' if partly else '')


def _rings(summary: dict[str, Any]) -> list[str]:
    """Time and offsets ring by ring, outermost first, as a table."""
    times = summary['time_per_ring_s']
    if not times:
        return ['time and offsets per ring: unknown, the recording has no whole episode with a ball and a maze']
    table = [
        ['', *(_ring(ring) for ring in range(len(times))), 'censored'],
        ['time, s, median', *(_number(time['median'], 1) for time in times), ''],
    ]
    for gate, offsets in summary['offsets_per_ring'].items():
        censored = sum(ring['censored'] for ring in offsets)
        table.append([f'{gate} gate, median [quartiles]', *map(_quartiles, offsets), str(censored)])
        against = summary.get('against_null', {}).get(gate)
        if against:
            table.append(['  mean', *(_number(mean, 1) for mean in against['mean']), ''])
            table.append(['  mean under the null', *(_number(mean, 1) for mean in against['null_mean']), ''])
    ordered = [[row[0], *row[-2:0:-1], row[-1]] for row in table]
    widths = [max(map(len, column)) for column in zip(*ordered)]
    lines = ['  '.join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:])) for row in ordered]
    titles = [row[0].ljust(widths[0]) for row in ordered]
    found = [f'{title}  {line}'.rstrip() for title, line in zip(titles, lines)]
    return [*found[:2], 'preceding offset, steps (censored ones apart):', *found[2:]]


def _quartiles(offsets: dict[str, Any]) -> str:
    return f'{offsets["median"]:.0f} [{offsets["q1"]:.0f}, {offsets["q3"]:.0f}]' if offsets['n'] else '-'


def _number(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'


def _needed(summary: dict[str, Any]) -> str:
    needed, fraction = summary['channels_needed'], summary['parameters']['fraction']
    if not needed['n']:
        return 'no step has a contribution'
    return (
        f'{fraction:.0%} of the score takes {needed["median"]:.1%} of the channels '
        f'(median; quartiles {needed["q1"]:.1%} to {needed["q3"]:.1%})'
    )


def _channels(which: list[int], judged: int) -> str:
    shown = ', '.join(map(str, which[:12])) + (', ...' if len(which) > 12 else '')
    return f'{len(which)} of {judged} often salient ones' + (f' ({shown})' if which else '')


def _completeness(completeness: dict[str, Any]) -> str:
    if completeness['complete']:
        resets = f'{completeness["memory_resets"]} memory reset(s)'
        midway = '; it begins in the middle of an episode' if completeness['starts_midway'] else ''
        return f'complete: the LSTM recurrence holds at every step ({resets}{midway})'
    missing, corrupt = completeness['missing_before_step'], completeness['corrupt_steps']
    said = []
    if missing:
        said.append(f'at least one step is missing before step {_few(missing)}')
    if corrupt:
        said.append(f'hidden, cell and gates do not fit together at step {_few(corrupt)}')
    return 'NOT COMPLETE: ' + '; '.join(said)


def _few(steps: list[int]) -> str:
    return ', '.join(map(str, steps[:8])) + (f' and {len(steps) - 8} more' if len(steps) > 8 else '')


def _ring(ring: int) -> str:
    return f'ring {ring}' if ring else 'centre'
