"""A node that is told how to tilt the board: it listens to policy/tilt_command and trusts one commander at a time."""

from __future__ import annotations

import time
from typing import Any

from maze_policy import messages, topics
from maze_policy.base_node import BaseNode
from maze_policy.command import TiltCommands


class CommandedNode(BaseNode):
    """Refuses what makes no sense, and says so; `commands.tilt_rad` is what holds now."""

    wants_info = True  # for who it is that commands
    commands: TiltCommands

    def listen_to(self, commands: TiltCommands) -> None:
        """Take the tilt commands from now on."""
        self.commands = commands
        self.input(topics.TILT_COMMAND, self._on_tilt)

    def on_command(self, stamp_ns: int) -> None:
        """Called with the stamp of every command that makes sense, whether it is taken or not."""

    def _on_tilt(self, message: Any, info: Any) -> None:
        who = bytes((info.get('publisher_gid') or {}).get('data', b''))
        try:
            tilt_rad = messages.tilt(message)
        except ValueError as error:
            self.commands.refuse(who, time.monotonic())
            self.refuse('tilt command', error)
            return
        # Before Kilted nobody tells who sent a message; then whoever else could have sent it is one too many.
        if not who and (count := self.count_publishers(topics.TILT_COMMAND.name)) > 1:
            self.commands.level()
            self.refuse('second policy', f'want one node that publishes {topics.TILT_COMMAND.name}, got {count}')
            return
        stamp_ns = messages.stamp_ns(message.header)
        if objection := self.commands.take(tilt_rad, who, stamp_ns, self.now_ns(), time.monotonic()):
            self.refuse(*objection)
        self.on_command(stamp_ns)
