"""A program at the other end of a pipe: it is listened to, told apart from noise, renewed, and told to end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from harness.errors import DeviceError, HarnessError
from harness.testbed.lease import Renewal, Tenant
from harness.testbed.surroundings import last_line

#: Answers every line that holds anything, and counts those that hold nothing.
ECHO = """\
import json, sys
print("Welcome to this board!")
print(json.dumps({"up": True}), flush=True)
renewals = 0
for line in sys.stdin:
    if line.strip():
        print(json.dumps({"asked": json.loads(line), "renewals": renewals}), flush=True)
    else:
        renewals += 1
print("the last word", file=sys.stderr)
sys.exit(5)
"""


def failure(code: int, complaint: bytes) -> HarnessError:
    return DeviceError(f"{code}: {last_line(complaint)}")


def tenant(folder: Path, script: str = ECHO) -> Tenant:
    return Tenant([sys.executable, "-I", "-S", "-c", script], folder / "log", failure)


def test_it_is_asked_and_renewed_and_ends_with_its_input(tmp_path: Path) -> None:
    own = tenant(tmp_path)
    assert own.answer(10) == {"up": True}
    with Renewal(0.02) as renewal:
        renewal.add(own)
        time.sleep(0.2)
    found = own.ask({"one": 1}, 10)
    assert found["asked"] == {"one": 1}
    assert found["renewals"] >= 2
    own.check_alive()
    assert own.end() == 5
    with pytest.raises(DeviceError, match="5: the last word"):
        own.check_alive()
    own.renew()  # of one that has ended: nothing
    with pytest.raises(DeviceError, match="5: "):
        own.ask({"two": 2}, 1)


def test_one_that_dies_before_it_answers_says_why(tmp_path: Path) -> None:
    own = tenant(tmp_path, "import sys; print('noise'); sys.exit('no such interface')")
    with pytest.raises(DeviceError, match="1: no such interface"):
        own.answer(10)


def test_one_that_is_silent_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    own = tenant(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(DeviceError, match="said nothing"):
        own.answer(0.3)
    own.process.kill()
    own.end()
