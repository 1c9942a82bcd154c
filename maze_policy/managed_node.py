"""A managed (lifecycle) node: one that actuates, so that others can stop it in a known way and start it again."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNodeMixin, TransitionCallbackReturn

from maze_policy.base_node import USERS_ERRORS, BaseNode
from maze_policy.node_config import ManagedNodeConfig


class ManagedNode(LifecycleNodeMixin, BaseNode):
    """Configured, activated, deactivated, cleaned up and shut down by the lifecycle services, or by itself.

    Where it can't be configured or activated it says why and stays what it was; where it can't be stopped it ends.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        BaseNode.__init__(self, name, **kwargs)
        self.configured = self.active = False
        self._failure: Exception | None = None
        self._by_itself = False  # the transition at hand
        self._wait_for: tuple[str, ...] = ()
        LifecycleNodeMixin.__init__(self)

    def configure(self) -> None:
        """Get ready, without being heard."""

    def activate(self) -> None:
        """Listen and act."""

    def deactivate(self) -> None:
        """Make things safe, then listen no more."""

    def clean_up(self) -> None:
        """Give back what `configure` took."""

    def begin(self, config: ManagedNodeConfig) -> None:
        """With `autostart`: configure now, and activate once `wait_for` holds. The last thing in `__init__`.

        Raises:
            Exception: why it can't be configured.
        """
        self._wait_for = config.wait_for
        if config.autostart:
            self._go(self.trigger_configure)
            self.start_when_taken(config, lambda: self._go(self.trigger_activate) if self._waits() else None)

    def _waits(self) -> bool:
        return self.configured and not self.active  # else somebody else took over meanwhile

    def _go(self, transition: Callable[[], Any]) -> None:
        self._failure, self._by_itself = None, True
        transition()
        self._by_itself = False
        if self._failure:
            raise self._failure

    def on_configure(self, _: Any) -> Any:
        """The transition."""
        return self._attempt(self.configure, TransitionCallbackReturn.FAILURE, configured=True)

    def on_activate(self, _: Any) -> Any:
        """The transition; it fails while somebody in `wait_for` does not listen."""

        def activate() -> None:
            if missing := self._missing(self._wait_for):
                raise ValueError('; '.join(missing))
            self.activate()

        return self._attempt(activate, TransitionCallbackReturn.FAILURE, active=True)

    def on_deactivate(self, _: Any) -> Any:
        """The transition."""
        return self._attempt(self.deactivate, TransitionCallbackReturn.ERROR, active=False)

    def on_cleanup(self, _: Any) -> Any:
        """The transition."""
        return self._attempt(self.clean_up, TransitionCallbackReturn.ERROR, configured=False)

    def on_shutdown(self, state: Any) -> Any:
        """The transition, from any state."""
        if self.active and self.on_deactivate(state) != TransitionCallbackReturn.SUCCESS:
            return TransitionCallbackReturn.ERROR
        return self.on_cleanup(state) if self.configured else TransitionCallbackReturn.SUCCESS

    def _attempt(self, do: Callable[[], None], otherwise: Any, **then: bool) -> Any:
        """Do it and note what holds then; or say why not (rclpy would swallow the exception)."""
        try:
            do()
        except Exception as error:
            self._failure = error
            if otherwise == TransitionCallbackReturn.ERROR:
                self.exit_code = 1
            if not self._by_itself:
                if not isinstance(error, USERS_ERRORS):
                    traceback.print_exc()
                self.health.fail(f'{do.__name__}: {error}')
                self.get_logger().error(f'{do.__name__}: {error}')
            return otherwise
        for name, holds in then.items():
            setattr(self, name, holds)
        return TransitionCallbackReturn.SUCCESS
