"""How sure a difference is, and which of many to believe."""

from __future__ import annotations

from math import erfc

import numpy as np

from maze_introspection.validity.resample import Float


def two_sided(t: Float, freedom: Float) -> Float:
    """P(|T| >= |t|) of Student's distribution, by Wallace's normal approximation.

    https://doi.org/10.1214/aoms/1177706094; for few degrees of freedom and small p it errs on the
    safe side: by 3 % of p at 5 and p = 0.01, by 2 % at 15 and p = 1e-4.
    """
    z = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(t**2 / freedom))
    return np.asarray(np.vectorize(erfc, otypes=[float])(z / np.sqrt(2)))


def false_discovery_rates(p: Float) -> Float:
    """For each p the smallest rate at which Benjamini and Hochberg's procedure calls it a discovery, shape (n,)."""
    order = np.argsort(p)
    rate = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty_like(p)
    found[order] = np.minimum(np.minimum.accumulate(rate[::-1])[::-1], 1.0)
    return found
