"""Record the topics, byte for byte as they came, into a bag that says its own geometry."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from maze_introspection.bag import BagWriter
from maze_introspection.config import RecorderConfig
from maze_policy import topics
from maze_policy.base_node import NICE, BaseNode, declare, refuse_unknown_parameters, run
from maze_policy.maze import Maze, load_maze

# The keep-last depths of the contract suit listeners that want the newest; the recorder wants all.
QUEUE = 200
SLOW_S = 5.0


class RecorderNode(BaseNode):
    """Write every message to `BAG/metadata.yaml` and `BAG/BAG_0.mcap` without looking into it."""

    niceness = NICE
    wants_info = True  # for the time of publication
    quiet_s = 0.6  # the others' last words come after their own queues are drained

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('recorder', **kwargs)
        config = declare(self, RecorderConfig)
        maze = declare(self, Maze, 'maze', load_maze())
        refuse_unknown_parameters(self)
        self._wanted = {
            self.resolve_topic_name(topic.name): topic for topic in topics.ALL if topic.name in config.topics
        }
        self._camera_reliable = config.camera_reliable
        self._sim_time = bool(self.get_parameter('use_sim_time').value)
        self._bag = BagWriter(config.bag, {'maze': json.dumps(maze.as_dict())})
        self.start_when_taken(config, self._start)

    def _start(self) -> None:
        for name, topic in self._wanted.items():
            self._bag.add_topic(name, topic)
            reliable = self._camera_reliable or topic not in (topics.CAMERA_IMAGE, topics.CAMERA_INFO)
            self.input(topic, self._writer(name), reliable=reliable, depth=max(QUEUE, topic.depth), raw=True)
        self._unmatched = set(self._wanted)
        self._changed_s = time.monotonic()
        self._watch = self.create_timer(0.1, self._look_for_publishers, clock=self.steady)
        self.get_logger().info(f'recording {len(self._wanted)} topics into {self._bag.path}')

    def _writer(self, name: str) -> Any:
        def write(cdr: bytes, info: Any) -> None:
            received_ns = self.now_ns()
            # The middleware knows the machine's time alone, and a bag should have one clock.
            sent_ns = None if self._sim_time else info.get('source_timestamp')
            self._bag.write(name, cdr, received_ns, sent_ns or received_ns)
            self.health.count('messages')

        return write

    def _look_for_publishers(self) -> None:
        before = len(self._unmatched)
        self._unmatched = {name for name in self._unmatched if not self.count_publishers(name)}
        matched = f'{len(self._wanted) - len(self._unmatched)} of {len(self._wanted)} topics matched'
        if len(self._unmatched) < before:
            self._changed_s = time.monotonic()
        if not self._unmatched:
            self._watch.cancel()
            self.get_logger().info(f'{matched}: ready')
        elif time.monotonic() - self._changed_s > SLOW_S:
            self._changed_s = float('inf')  # said once per change
            self.get_logger().info(f'{matched}; nobody publishes {", ".join(sorted(self._unmatched))}')

    def finish(self) -> None:
        """Close the bag."""
        self._bag.close()
        self.get_logger().info(f'{sum(self._bag.count.values())} messages in {self._bag.path}')


def main() -> int:
    """Run the node."""
    return run(RecorderNode)


if __name__ == '__main__':
    sys.exit(main())
