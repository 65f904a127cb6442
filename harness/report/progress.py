"""Progress on the console: a live bar on a terminal, a line every few steps elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

#: A redraw costs about a millisecond of a core that a tier may want; twice a second is live enough.
_REDRAW_S = 0.5
#: Steps of a share that a plain log shows.
_PLAIN_STEP = 0.25
#: What takes longer also has the time left in a plain log.
_LONG_S = 60.0


class Steps:
    """What a cell is doing and how far it is. Redrawn only when told, so never in the middle of a timed call's
    own thread."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description:<34}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeRemainingColumn(),
                console=self._console,
                auto_refresh=False,
                transient=True,
            )
        self._task = self._bar.add_task("", total=1.0) if self._bar else None
        self._name = ""
        self._shown = 0.0
        self._drawn = 0.0
        self._begun = (0.0, 0.0)  # when the step was first told of, and its share then

    def __enter__(self) -> Steps:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, name: str, share: float) -> None:
        """Step `name` is done to `share` (0 to 1)."""
        new = name != self._name
        if new:
            self._name, self._shown = name, 0.0
            self._begun = (time.monotonic(), share)
        if self._bar is None or self._task is None:
            if new or share >= 1.0 or share - self._shown >= _PLAIN_STEP:
                self._shown = share
                print(f"{name}: {share:.0%}{self._left(share)}", file=sys.stderr, flush=True)
            return
        if new:
            self._bar.reset(self._task, description=name, total=1.0)
        now = time.monotonic()
        self._bar.update(self._task, completed=share)
        if new or now - self._drawn > _REDRAW_S:
            self._drawn = now
            self._bar.refresh()

    def _left(self, share: float) -> str:
        """`, about 7 min left` of a long step, at its pace so far; nothing of a short one."""
        started, had = self._begun
        seconds = time.monotonic() - started
        if share >= 1.0 or share <= had or seconds < _LONG_S:
            return ""
        left = seconds * (1.0 - share) / (share - had)
        return f", about {left / 60:.0f} min left" if left > _LONG_S else ", less than a minute left"

    def pause(self) -> None:
        """Take the bar off the screen while something else prints."""
        if self._bar:
            self._bar.stop()

    def resume(self) -> None:
        """Put it back."""
        if self._bar:
            self._bar.start()
