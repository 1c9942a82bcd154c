"""The colours of all figures, live and printed."""

from __future__ import annotations

# Okabe and Ito's colours, which colour-blind readers can tell apart: warm for x, cool for y, grey for nothing.
ACTION_COLORS = ('#D55E00', '#E69F00', '#0072B2', '#56B4E9', '#666666')
MORE_COLORS = ('#009E73', '#CC79A7', '#F0E442')
POLICY_COLORS = {
    'distilled': '#CC79A7',
    'nominal': '#0072B2',
    'robust': '#D55E00',
    'robust_finetuned': '#E69F00',
    'sparse': '#009E73',
}
GATE_BLUE, SALIENT_RED, OFFSET_GREEN = '#0072B2', '#C8102E', '#009E73'


def action_color(action: int) -> str:
    """The colour of an action; beyond eight actions they repeat."""
    colors = ACTION_COLORS + MORE_COLORS
    return colors[action % len(colors)]


def policy_color(name: str) -> str:
    """The colour of a shipped policy; black for others."""
    return POLICY_COLORS.get(name, '#000000')


def rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue of `#rrggbb`, 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
