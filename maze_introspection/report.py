"""The summary as a few lines for a person."""

from __future__ import annotations

from typing import Any


def text(summary: dict[str, Any]) -> str:
    """What `statistics.summary` found, for the terminal."""
    lines = [
        f'{summary["steps"]} steps, {summary["success"]["episodes"]} episode(s), {summary["channels"]} LSTM channels',
        _success(summary['success']),
        *_times(summary['time_per_ring_s']),
        _needed(summary),
        f'single-action channels: {_channels(summary["single_action_channels"], summary["judged_channels"])}',
        f'single-ring channels: {_channels(summary["single_ring_channels"], summary["judged_channels"])}',
    ]
    for gate, rings in summary['offsets_per_ring'].items():
        found = [
            f'{_ring(ring)} {offsets["median"]:.0f} [{offsets["q1"]:.0f}, {offsets["q3"]:.0f}]'
            for ring, offsets in reversed(list(enumerate(rings)))
            if offsets['n']
        ]
        censored = sum(offsets['censored'] for offsets in rings)
        if rings:
            lines.append(
                f'preceding offset of the {gate} gate, steps, median [quartiles]: {", ".join(found) or "none"}; '
                f'{censored} censored apart'
            )
    lines += _against_null(summary.get('against_null', {}))
    lines.append(_completeness(summary['completeness']))
    return '\n'.join(lines)


def _success(success: dict[str, Any]) -> str:
    took = success['solved_s']
    if not took['n']:
        return f'solved: 0 of {success["episodes"]}'
    return (
        f'solved: {success["solved"]} of {success["episodes"]}, '
        f'in {took["median"]:.1f} s (median; quartiles {took["q1"]:.1f} to {took["q3"]:.1f} s)'
    )


def _times(rings: list[dict[str, Any]]) -> list[str]:
    if not rings:
        return ['time per ring: unknown, the recording carries no maze']
    spent = [f'{_ring(ring)} {time["median"]:.1f}' for ring, time in reversed(list(enumerate(rings)))]
    return [f'time per ring, s (median): {", ".join(spent)}']


def _needed(summary: dict[str, Any]) -> str:
    needed, fraction = summary['channels_needed'], summary['parameters']['fraction']
    if not needed['n']:
        return 'no step has a contribution'
    return (
        f'{fraction:.0%} of the score takes {needed["median"]:.1%} of the channels '
        f'(median; quartiles {needed["q1"]:.1%} to {needed["q3"]:.1%})'
    )


def _against_null(gates: dict[str, Any]) -> list[str]:
    lines = []
    for gate, found in gates.items():
        rings = [
            f'{_ring(ring)} {mean:.1f} (null {found["null_mean"][ring]:.1f})'
            for ring, mean in reversed(list(enumerate(found['mean'])))
            if mean is not None and found['null_mean'][ring] is not None
        ]
        lines.append(f'mean offset of the {gate} gate, beside the null: {", ".join(rings) or "none"}')
    return lines


def _channels(which: list[int], judged: int) -> str:
    shown = ', '.join(map(str, which[:12])) + (', ...' if len(which) > 12 else '')
    return f'{len(which)} of {judged} often salient ones' + (f' ({shown})' if which else '')


def _completeness(completeness: dict[str, Any]) -> str:
    if completeness['complete']:
        return f'complete: the LSTM recurrence holds at every step ({completeness["memory_resets"]} memory reset(s))'
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
