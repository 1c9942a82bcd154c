"""Which channels react to a setting: the same trials under several settings, compared ring by ring.

Trials of one index start from one ball position, so each is compared with itself. A slower ball, or one that never gets
inwards, is in other places, and other channels contribute there: contributions are compared within each ring that both
trials have been in, and all those rings count the same. The centre is left out: a trial ends there.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
ROUNDING = 1e-9


def changes(share: Float64, here: int) -> Float64:
    """How much more each channel contributes than in setting `here`, shape (V, I, C): the mean over rings.

    Args:
        share: mean contribution in V settings, I trials, R rings (0 is the centre) and C channels, shape (V, I, R, C);
            NaN in a ring that the trial has not been in.
        here: the setting to compare with.

    Returns:
        0 where there is no ring to compare in.
    """
    difference = (share - share[here])[:, :, 1:]
    known = np.isfinite(difference)
    total: Float64 = np.where(known, difference, 0.0).sum(axis=2)
    return np.asarray(total / np.maximum(known.sum(axis=2), 1), dtype=np.float64)


def trends(share: Float64) -> Float64:
    """How steadily each channel's contribution rises from setting to setting, shape (I, C), -1 to 1.

    Kendall's tau-a (https://doi.org/10.1093/biomet/30.1-2.81) of contribution and setting, over all pairs of settings
    of one trial and ring: pairs that rise less those that fall, by the number of pairs; 0 where there is none.

    Args:
        share: as in `changes`, the settings in the order of their value.
    """
    rises = np.zeros((share.shape[1], share.shape[3]))
    pairs = np.zeros_like(rises)
    for before, after in combinations(range(len(share)), 2):
        difference = (share[after] - share[before])[:, 1:]
        known = np.isfinite(difference)
        rises += np.where(known, np.sign(difference), 0.0).sum(axis=1)
        pairs += known.sum(axis=1)
    return np.asarray(rises / np.maximum(pairs, 1), dtype=np.float64)


def sign_flips(values: Float64, draws: int, seed: int) -> Float64:
    """Two-sided p of the mean over trials, shape (C,): how often random signs make it as far from 0.

    If a setting does nothing, a trial's change is as likely as its opposite; nothing else is assumed (Fisher's
    randomisation test). No p is below 1 / (draws + 1).

    Args:
        values: one per trial and channel, shape (I, C).
        draws: number of random signs of all trials.
        seed: of these.
    """
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (draws, len(values)))
    far = np.abs(values.sum(axis=0)) - ROUNDING * np.abs(values).sum(axis=0)  # equal sums may be rounded apart
    hits: Float64 = (np.abs(signs @ values) >= far).sum(axis=0).astype(np.float64)
    return (1 + hits) / (1 + draws)


def moved(share: Float64, other: Float64, draws: int, seed: int) -> tuple[Float64, Float64, Float64]:
    """How much of the contribution in each ring other channels make in another setting, 0 to 1, shape (R,).

    Half the sum over channels of how much their mean contribution differs (total variation distance), over the trials
    that have been in the ring in both settings; NaN in a ring with fewer than two.

    Args:
        share: as in `changes`, of one setting, shape (I, R, C).
        other: of the other.
        draws: number of random signs of all trials, which give what chance makes of equal settings.
        seed: of these.

    Returns:
        The share moved, what chance gives in the mean, and what it exceeds in 2.5 % of the draws.
    """
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (draws, len(share)))
    found = np.full((3, share.shape[1]), np.nan)
    for ring in range(share.shape[1]):
        difference = other[:, ring] - share[:, ring]
        known = np.isfinite(difference).all(axis=1)
        if known.sum() > 1:
            by_chance = np.abs(signs[:, known] @ difference[known]).sum(axis=1) / known.sum() / 2
            found[:, ring] = (
                np.abs(difference[known].mean(axis=0)).sum() / 2,
                by_chance.mean(),
                *np.percentile(by_chance, [97.5]),
            )
    return found[0], found[1], found[2]


def resemblance(changes_of: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Whether the same channels change alike in two settings: a correlation over channels, shape (S, S).

    Pearson's, of the mean changes over every other trial in the one setting and over the remaining trials in the other,
    the mean of both ways to do so. Of the same trials it would be too high: all are compared with the same unchanged
    ones, whose chance they share. The diagonal is a setting with itself, which noise keeps below 1.

    Args:
        changes_of: in S settings, shape (S, I, C), as `changes` gives them.
        weights: how often each trial is in each resample, shape (B, I).

    Returns:
        The correlations, and those of each resample, shape (B, S, S); NaN where a half is empty. A resample has fewer
        trials that differ, so it is noisier and its correlations are lower.
    """
    settings, half = len(changes_of), np.arange(changes_of.shape[1]) % 2 == 0

    def of(weight: Float64) -> Float64:
        even, odd = ((changes_of * (weight * part)[:, np.newaxis]).sum(axis=1) for part in (half, ~half))
        with np.errstate(invalid='ignore', divide='ignore'):
            both = np.corrcoef(even, odd)[:settings, settings:]
        return np.asarray((both + both.T) / 2, dtype=np.float64)

    return of(np.ones(len(half))), np.stack([of(weight) for weight in weights])
