"""What every message of a bag says, with nothing dropped in silence: what cannot be read becomes a finding."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.bag.access import OpenBag
from maze_introspection.bag.decode import cdr_stamp_ns, introspection_parameters, matrix
from maze_introspection.verify.verdict import Finding
from maze_policy import topics
from maze_policy.config import TiltConfig
from maze_policy.topics import Topic

# Matrices: wanted rows and columns, None where the policy or the step decides.
MATRICES: dict[Topic, tuple[int | None, int | None]] = {
    topics.LSTM_GATES: (4, None),
    topics.LSTM_STATE: (2, None),
    topics.ACTION_SCORES: (1, None),
    topics.READOUT: (None, None),
    topics.CONTRIBUTION: (1, None),
    topics.SALIENT: (None, 3),
    topics.PRECEDING_OFFSET: (None, len(topics.OFFSET_COLUMNS)),
}
ONE_SIZE = (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES, topics.CONTRIBUTION)
VECTORS = {topics.TILT_COMMAND: 'vector', topics.BALL: 'point'}
PICTURES = (topics.OBSERVATION, topics.CAMERA_IMAGE)  # only their stamps: they are read again, one by one
HEARD = (*MATRICES, *VECTORS, *PICTURES, topics.CAMERA_INFO, topics.EPISODE, topics.WATCHED, topics.DIAGNOSTICS)


class Series:
    """The messages of one topic, in the order in which they were recorded.

    Attributes:
        stamps: of their headers, ns.
        values: what each says: a matrix, three numbers, an episode's name; nothing of a picture.
    """

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.values: list[Any] = []

    def __len__(self) -> int:
        return len(self.stamps)

    def add(self, stamp: int, value: Any = None) -> None:
        """Take one more message."""
        self.stamps.append(stamp)
        self.values.append(value)

    def first_of_each(self) -> dict[int, int]:
        """Where the first message of each stamp is."""
        where: dict[int, int] = {}
        for index, stamp in enumerate(self.stamps):
            where.setdefault(stamp, index)
        return where


class Heard:
    """All that a bag says of one policy, gathered message by message.

    Attributes:
        series: of every topic in `HEARD`; one that is not in the bag has no message.
        listed: topics that were recorded, with or without a message.
        malformed: messages that could not be read.
        parameters: those of the introspection node, by the stamp since which they hold; 0: it did not say since when.
        facts: what the policy said of itself on /diagnostics: checkpoint, build, tilt.
    """

    def __init__(self, bag: OpenBag) -> None:
        self.path, self._namespace = bag.path, bag.namespace
        self.listed = {topic for topic in HEARD if bag.lists(topic)}
        self.series = {topic: Series() for topic in HEARD}
        self.malformed: list[Finding] = []
        self.parameters: dict[int, dict[str, float]] = {}
        self.facts: dict[str, Any] = {}

    def take(self, topic: Topic, cdr: bytes) -> None:
        """Take one message."""
        stamp = None
        try:
            if topic is not topics.WATCHED:
                stamp = cdr_stamp_ns(cdr)
            self._take(topic, stamp or 0, cdr)
        except Exception as error:  # a damaged message shows as whatever its decoder stumbles over
            says = str(error).removeprefix(f'{self.path}: ')
            self.malformed.append(Finding(f'does not decode: {says}', topic.name, stamp_ns=stamp))

    def _take(self, topic: Topic, stamp: int, cdr: bytes) -> None:
        if topic in PICTURES or topic is topics.CAMERA_INFO:
            self.series[topic].add(stamp)
            return
        message = OpenBag.decode(topic, cdr)
        if topic in MATRICES:
            values = matrix(self.path, topic, message)
            wrong = [want is not None and want != got for want, got in zip(MATRICES[topic], values.shape)]
            if any(wrong) or 0 in values.shape:
                raise ValueError(f'want a matrix {MATRICES[topic]}, got {values.shape}')
            self.series[topic].add(stamp, values)
        elif topic in VECTORS:
            point = getattr(message, VECTORS[topic])
            self.series[topic].add(stamp, np.array([point.x, point.y, point.z]))
        elif topic is topics.EPISODE:
            self.series[topic].add(stamp, message.frame_id)
        elif topic is topics.WATCHED:
            channels = tuple(int(word) for word in message.layout.dim[0].label.split()[1:])
            self.series[topic].add(0, (channels, np.asarray(message.data, dtype=np.float32)))
        else:
            self._take_diagnostics(message)

    def _take_diagnostics(self, message: Any) -> None:
        since, told = introspection_parameters(message, self._namespace)
        if told and since is None:
            self.parameters.setdefault(0, told)
        elif told:
            self.parameters[int(since or 0)] = told
        for status in message.status:
            if status.name == f'{self._namespace}/policy':
                values = {pair.key: pair.value for pair in status.values}
                tilt = {name: float(values[key]) for name, key in topics.TILT_KEYS.items() if key in values}
                TiltConfig.from_dict(tilt)  # or it is malformed
                said = {key: values[key] for key in topics.POLICY_KEYS if key in values}
                self.facts = said | {topics.TILT_KEYS[name]: number for name, number in tilt.items()} | self.facts

    def settle(self) -> None:
        """Once all is heard: matrices that are not of the size of the others of their topic are malformed."""
        for topic in ONE_SIZE:
            series = self.series[topic]
            if not len(series):
                continue
            want, _ = Counter(values.shape for values in series.values).most_common(1)[0]
            kept = Series()
            for stamp, values in zip(series.stamps, series.values):
                if values.shape == want:
                    kept.add(stamp, values)
                else:
                    says = f'want a matrix of {want} as its others, got {values.shape}'
                    self.malformed.append(Finding(says, topic.name, stamp_ns=stamp))
            self.series[topic] = kept

    def readout(self) -> npt.NDArray[np.float32] | None:
        """The policy's readout, as it was told first."""
        values = self.series[topics.READOUT].values
        return values[0] if values else None


def hear(bag: OpenBag, progress: Any) -> Heard:
    """Every message of a bag; `progress` is told of each.

    Raises:
        BagError: where the file itself cannot be read.
    """
    heard = Heard(bag)
    for topic, cdr in bag.raw(HEARD):
        heard.take(topic, cdr)
        progress.update()
    heard.settle()
    return heard
