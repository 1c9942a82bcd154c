"""A topic's QoS, from its contract in `topics`."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from maze_policy.topics import Topic


def qos(topic: Topic, *, reliable: bool = True, depth: int | None = None) -> QoSProfile:
    """Keep-last and reliable, latched where the contract says so.

    Args:
        topic: the contract.
        reliable: False for a subscriber that must also hear a best-effort camera driver.
        depth: a subscriber's own queue, where it wants a longer one than the contract's.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth or topic.depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE,
    )
