"""Look into the policy while it plays: contributions and preceding offsets from what its topics say."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from typing import Any

import numpy as np

from maze_introspection.config import IntrospectionConfig, IntrospectionNodeConfig
from maze_introspection.introspection import Insight, Introspection
from maze_introspection.join import StampJoin
from maze_introspection.pictures import Pictures
from maze_policy import messages, topics
from maze_policy.base_node import NICE, BaseNode, declare, refuse_unknown_parameters, run
from maze_policy.health import OK
from maze_policy.topics import Topic

# The matrices that make a step, and their number of rows.
MATRICES = {topics.LSTM_GATES: 4, topics.LSTM_STATE: 2, topics.ACTION_SCORES: 1}
BACKLOG = 1000  # steps that wait for the readout


class IntrospectionNode(BaseNode):
    """Everything comes from topics, joined by exact stamp; the policy never notices whether anybody looks."""

    niceness = NICE

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('introspection', **kwargs)
        self._config = declare(self, IntrospectionNodeConfig)
        config = declare(self, IntrospectionConfig, on_change=self._on_change)
        refuse_unknown_parameters(self)
        self._introspection = Introspection(config)
        self._pictures = Pictures(config, self._config.picture_steps)
        self._on_change(config)
        self._has_readout = False
        self._join = StampJoin(
            tuple(topic.name for topic in MATRICES), (topics.BALL.name,), self._config.ball_wait_steps
        )
        self._steps: deque[dict[str, Any]] = deque(maxlen=BACKLOG)
        self._header: Any = None  # of the last step

        self._contribution = self.output(topics.CONTRIBUTION)
        self._salient = self.output(topics.SALIENT)
        self._offset = self.output(topics.PRECEDING_OFFSET)
        self._watched = self.output(topics.WATCHED)
        self._picture_outputs = {topic: self.output(topic) for topic in topics.PICTURES}
        self.start_when_taken(self._config, self._start)

    def _start(self) -> None:
        self.input(topics.READOUT, self._on_readout)
        self.input(topics.EPISODE, self._on_episode)
        self.input(topics.BALL, self._on_ball, depth=topics.LSTM_GATES.depth)  # it is joined with parts that deep
        for topic, rows in MATRICES.items():
            self.input(topic, self._taker(topic, rows))
        self.create_timer(1.0 / self._config.picture_rate_hz, self._draw, clock=self.steady)
        self.get_logger().info('looking')

    def _on_change(self, config: IntrospectionConfig) -> None:
        """Explain with these from the next step on, which then says so."""
        self._introspection.set_config(config)
        self._pictures.set_config(config)
        self.health.facts = {f'{topics.PARAMETER_KEY}{name}': value for name, value in config.as_dict().items()}

    def _on_readout(self, message: Any) -> None:
        try:
            self._introspection.set_readout(messages.matrix(message))
        except ValueError as error:
            self.refuse(topics.READOUT.name, error)
            return
        self._has_readout = True
        self._go_on()

    def _on_episode(self, header: Any) -> None:
        self._pictures.episode = f'({header.frame_id})'

    def _on_ball(self, message: Any) -> None:
        self._take(topics.BALL, messages.stamp_ns(message.header), float(np.hypot(*messages.ball(message))))

    def _taker(self, topic: Topic, rows: int) -> Any:
        def take(message: Any) -> None:
            try:
                part = message.header, messages.matrix(message, (rows, None))
            except ValueError as error:
                self.refuse(topic.name, error)
                return
            self._take(topic, messages.stamp_ns(message.header), part)

        return take

    def _take(self, topic: Topic, stamp_ns: int, part: Any) -> None:
        try:
            self._join.add(topic.name, stamp_ns, part)
        except ValueError as error:
            self.refuse(f'part of a step on {topic.name}', error)
            return
        self._go_on()

    def _go_on(self, *, last: bool = False) -> None:
        """Explain every step that is complete; a step waits for the readout as it waits for its parts."""
        dropped = self._join.dropped
        for _, parts in self._join.flush() if last else self._join.ready():
            if len(self._steps) == BACKLOG:
                self.refuse('step without readout', f'{BACKLOG} steps wait for {topics.READOUT.name}, the oldest goes')
            self._steps.append(parts)
        for _ in range(self._join.dropped - dropped):
            self.refuse('incomplete step', 'its gates, state or scores never came')
        while self._steps and self._has_readout:
            self._explain(self._steps.popleft())

    def _explain(self, parts: dict[str, Any]) -> None:
        began_s = time.monotonic()
        (header, gates), (_, (hidden, cell)), (_, scores) = (parts[topic.name] for topic in MATRICES)
        distance_m = parts.get(topics.BALL.name, math.nan)
        stamp_ns = messages.stamp_ns(header)
        try:
            insight = self._introspection.step(gates, hidden, cell, scores[0], stamp_ns)
        except ValueError as error:
            self.refuse('step', error)
            return
        self._header = header
        if topics.PARAMETERS_SINCE_KEY not in self.health.facts:
            self._tell_parameters(stamp_ns)
        self._tell(header, insight, gates, distance_m)
        self._pictures.add(insight, gates, distance_m)
        self.health.count('steps')
        self.health.took('step', time.monotonic() - began_s)
        self.health.took('frame to insight', (self.now_ns() - stamp_ns) * 1e-9)

    def _tell_parameters(self, stamp_ns: int) -> None:
        """Say at once since which step these parameters hold, so that a replay can keep to it."""
        self.health.facts[topics.PARAMETERS_SINCE_KEY] = stamp_ns
        name, header = self.get_fully_qualified_name(), messages.header_at(self.now_ns())
        self.tell(topics.DIAGNOSTICS, messages.diagnostics_message(header, name, OK, 'ok', self.health.facts))

    def _tell(self, header: Any, insight: Insight, gates: Any, distance_m: float) -> None:
        self._contribution.publish(messages.matrix_message(header, insight.share))
        if len(insight.salient):
            self._salient.publish(messages.matrix_message(header, insight.salient))
        if len(insight.offsets):
            told = {'action': insight.action, 'distance_m': distance_m}
            columns = [told[name] if name in told else insight.offsets[name] for name in topics.OFFSET_COLUMNS]
            self._offset.publish(messages.matrix_message(header, np.stack(np.broadcast_arrays(*columns), axis=1)))
        watched = tuple(channel for channel in self._config.watched_channels if channel < gates.shape[1])
        if watched:
            self._watched.publish(messages.watched_message(watched, gates, insight.share))

    def _draw(self) -> None:
        """Draw what somebody looks at."""
        channel = next(iter(self._config.watched_channels), 0)
        draw = {
            topics.HEATMAP: self._pictures.heatmap,
            topics.CHANNEL: lambda: self._pictures.channel(channel),
            topics.HISTOGRAM: self._pictures.histogram,
        }
        for topic, output in self._picture_outputs.items():
            if self._header is not None and output.get_subscription_count():
                output.publish(messages.picture_message(self._header, draw[topic]()))

    def finish(self) -> None:
        """Explain what was still waiting for a ball."""
        self._go_on(last=True)


def main() -> int:
    """Run the node."""
    return run(IntrospectionNode)


if __name__ == '__main__':
    sys.exit(main())
