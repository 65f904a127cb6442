"""A reader that goes away, as `| head` does, ends no run."""

from __future__ import annotations

import os

from harness.streams import Tolerant


def test_what_nobody_reads_any_more_is_no_error() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        tolerant = Tolerant(stream)
        assert tolerant.write("seen\n") == 5
        tolerant.flush()
        os.close(reader)
        for _ in range(3):
            tolerant.write("not seen\n" * 10_000)
            tolerant.flush()
        assert tolerant.encoding == stream.encoding
        assert not tolerant.isatty()
