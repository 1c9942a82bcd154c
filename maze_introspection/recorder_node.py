"""Record the topics, byte for byte as they came, into a bag that says its own geometry."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from maze_introspection.bag import BagError, BagWriter
from maze_introspection.config import RecorderConfig
from maze_policy import topics
from maze_policy.base_node import NICE, BaseNode, declare, refuse_unknown_parameters, run
from maze_policy.maze import Maze, load_maze

# The keep-last depths of the contract suit listeners that want the newest; the recorder wants all.
QUEUE = 200
SLOW_S = 5.0
CHUNK_S = 0.1  # what was heard longer ago than this is on the disk


class RecorderNode(BaseNode):
    """Write every message to `BAG/BAG_0.mcap` without looking into it, and at the end `BAG/metadata.yaml`.

    When the disk is nearly full, or refuses, the bag is closed and the node goes on without: it says so on
    /diagnostics, in the log and by its exit code, and nobody who talks to it notices.
    """

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
        self._lost: Counter[str] = Counter()
        self._number: dict[tuple[str, bytes], int] = {}  # of the last message, by topic and publisher
        self._stopped = ''  # why nothing more is recorded
        self._finished = False
        self._bag = BagWriter(config.bag, {'maze': json.dumps(maze.as_dict())}, round(config.min_free_mb * 1e6))
        self.start_when_taken(config, self._start)

    def _start(self) -> None:
        for name, topic in self._wanted.items():
            self._bag.add_topic(name, topic)
            reliable = self._camera_reliable or topic not in (topics.CAMERA_IMAGE, topics.CAMERA_INFO)
            self.input(topic, self._writer(name), reliable=reliable, depth=max(QUEUE, topic.depth), raw=True)
        self._unmatched = set(self._wanted)
        self._changed_s = time.monotonic()
        self._watch = self.create_timer(0.1, self._look_for_publishers, clock=self.steady)
        self.create_timer(CHUNK_S, lambda: self._try(self._bag.flush), clock=self.steady)
        self.get_logger().info(f'recording {len(self._wanted)} topics into {self._bag.path}')

    def _writer(self, name: str) -> Any:
        def write(cdr: bytes, info: Any) -> None:
            received_ns = max(self.now_ns(), 0)  # a bag knows no time before 1970
            # The middleware knows the machine's time alone, and a bag should have one clock.
            sent_ns = 0 if self._sim_time else info.get('source_timestamp') or 0
            self._note_lost(name, info)
            self.health.count('messages not recorded' if self._stopped else 'messages')
            self._try(self._bag.write, name, cdr, received_ns, sent_ns if sent_ns > 0 else received_ns)

        return write

    def _try(self, write: Callable[..., None], *arguments: Any) -> None:
        """Do something to the bag while there is one; what the disk refuses ends the recording and nothing else."""
        if self._stopped:
            return
        try:
            write(*arguments)
        except BagError as error:
            self._stopped = str(error)
            try:
                self._bag.close()
            except BagError as unfinished:
                self._stopped += f'; {unfinished}'
            self.get_logger().error(f'recording ended: {self._stopped}')
            self.report()

    def _note_lost(self, name: str, info: Any) -> None:
        """Count what the publisher numbered and we never heard (before Iron it tells no numbers)."""
        number, publisher = info.get('publication_sequence_number'), info.get('publisher_gid')
        if number is None or publisher is None:
            return
        key = (name, bytes(publisher['data']))
        lost = number - self._number.get(key, number - 1) - 1
        self._number[key] = number
        if lost > 0:
            self._lost[name] += lost
            self._bag.custom_data['lost'] = json.dumps(self._lost)
            self.health.facts['messages lost'] = self._lost.total()
            self.health.fail(f'{lost} messages lost on {name}')
            self.get_logger().warning(f'{lost} messages lost on {name}', throttle_duration_sec=SLOW_S)

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

    def report(self) -> None:
        """Put the health on /diagnostics."""
        if self._stopped:
            self.health.fail(f'recording ended: {self._stopped}')
        super().report()

    def finish(self) -> None:
        """Close the bag.

        Raises:
            BagError: if it ended too early or is empty: that is no success.
        """
        if self._finished:
            return
        self._finished = True
        if self.quiet_for_s() < self.quiet_s:
            self.get_logger().info('others still talk; the bag ends here')
        self._bag.close()
        count = self._bag.count
        self.get_logger().info(f'{sum(count.values())} messages in {self._bag.path}')
        if self._stopped:
            raise BagError(f'recording ended early: {self._stopped}')
        others = set(count) - {topics.DIAGNOSTICS.name} or set(count)  # on which we hear ourselves too
        if not any(count[name] for name in others):
            raise BagError(f'nothing was recorded: no message on {", ".join(sorted(others)) or "any topic"}')


def main() -> int:
    """Run the node."""
    return run(RecorderNode)


if __name__ == '__main__':
    sys.exit(main())
