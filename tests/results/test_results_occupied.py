"""A folder of results belongs to one process, also while that becomes another program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.results import occupied
from harness.spec import PROJECT

#: Holds a folder, becomes another program, and there holds it still, before and after it has asked for it again.
FIRST = """
import os, sys
from pathlib import Path
from harness.results import occupied
occupied.occupy("key", Path(sys.argv[1]))
print("held", flush=True)
input()
os.execve(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[1]], {**os.environ, **occupied.bequeathed()})
"""
SECOND = """
import os, subprocess, sys
from pathlib import Path
from harness.results import occupied
print("became", flush=True)
input()
occupied.occupy("key", Path(sys.argv[1]))
assert not any("HARNESS_HELD" in name for name in os.environ)
subprocess.Popen(["sleep", "30"])  # does not inherit it
print("adopted", flush=True)
input()
"""


def test_it_is_held_through_a_change_of_the_program_and_free_with_its_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST, str(tmp_path), SECOND]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        try:
            for said in ("held", "became", "adopted"):
                assert run.stdout.readline() == f"{said}\n"
                with pytest.raises(SpecError, match=rf"key=.*process {run.pid} ") as caught:
                    occupied.occupy("key", tmp_path)
                assert "\n" not in str(caught.value)
                if said != "adopted":
                    print(file=run.stdin, flush=True)
            run.kill()
            run.wait()
            occupied.occupy("key", tmp_path)
            occupied.occupy("key", tmp_path)  # this process's own by now
        finally:
            os.killpg(run.pid, 9)
    assert list(tmp_path.iterdir()) == []
