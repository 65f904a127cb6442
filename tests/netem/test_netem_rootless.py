"""A link without root: as an ordinary user, no sudo."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.link

PROJECT = Path(__file__).resolve().parents[2]
NOBODY = 65_534


# Root's own Python may lie where nobody else looks; any other 3.11 with this one's packages does as well.
PYTHONS = (sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11")
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": f"{PROJECT}:{sysconfig.get_path('purelib')}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/",
}


def as_nobody(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=ENVIRONMENT,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        timeout=60,
        check=False,
    )


def works(*command: str) -> bool:
    try:
        return as_nobody(*command).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def python() -> str:
    """A Python that an ordinary user can run; skips, with the reason, where the test cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; run as an ordinary user, the other tests are rootless")
    if not works("unshare", "-Urnpf", "--mount-proc", "true"):
        pytest.skip("this host gives an ordinary user no namespaces")
    for candidate in PYTHONS:
        if works(candidate, "-c", "import sys, pyroute2; sys.exit(sys.version_info[:2] != (3, 11))"):
            return candidate
    pytest.skip("an ordinary user can run no Python 3.11 with this one's packages here")


def test_an_ordinary_user_runs_commands_over_a_link(python: str) -> None:
    command = ("sh", "-c", "id -u; grep -c link0 /proc/net/dev")
    result = as_nobody(python, "-m", "netem", "exec", "--rate", "57mbit", "--rtt", "28ms", "--", *command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["0", "1"]


def test_an_ordinary_user_s_link_is_the_one_asked_for(python: str) -> None:
    result = as_nobody(python, "-m", "netem", "check", "--rate", "57mbit", "--rtt", "28ms", "--tolerance", "0.05")
    assert result.returncode == 0, result.stderr
    assert "TCP cubic" in result.stdout
