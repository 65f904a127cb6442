"""Ctrl-C and a polite kill (SIGTERM): at once while a cell works, after the writing while results are written.

Signals belong to the process, and so does the one state here.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Whoever asks this often is not kept waiting, whatever is being written.
_IMPATIENT = 3


class Interrupts:
    """Whether somebody asked this process to stop, and when it may be told.

    Until `watch` is called the signals do what Python has them do.
    """

    def __init__(self) -> None:
        self._count = 0
        self._deferring = False

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._count > 0

    def watch(self) -> None:
        """Take over SIGINT and SIGTERM; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._came)

    def over(self) -> None:
        """The exit code stands: one more signal, while Python takes itself down, does not make another of it."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)

    def defer(self) -> None:
        """From now on a signal is only noted, except inside `allowed`."""
        self._deferring = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """The same while entered."""
        before, self._deferring = self._deferring, True
        try:
            yield
        finally:
            self._deferring = before

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """While entered a signal raises KeyboardInterrupt; so does entering after one was noted."""
        before, self._deferring = self._deferring, False
        try:
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._deferring = before

    def _came(self, _number: int, _frame: object) -> None:
        self._count += 1
        if not self._deferring or self._count >= _IMPATIENT:
            self._deferring = True  # what is now taken down is not interrupted again
            raise KeyboardInterrupt


INTERRUPTS = Interrupts()
