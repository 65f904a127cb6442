"""One board behind ssh serves all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netem import CapabilityError
from tests.testbed import ssh_board


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssh_board.SshBoard]:
    """Skips, with the reason, where there can be none."""
    if reason := ssh_board.missing():
        pytest.skip(f"no board behind ssh: {reason}")
    try:
        with ssh_board.SshBoard(tmp_path_factory.mktemp("board")) as entered:
            yield entered
    except CapabilityError as error:
        pytest.skip(str(error))
