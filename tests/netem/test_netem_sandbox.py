import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from netem import NetemError, Sandbox

pytestmark = pytest.mark.link

PIPE = subprocess.PIPE


def output(sandbox: Sandbox, where: str, *argv: str, **options: object) -> str:
    child = sandbox.popen(where, argv, stdout=PIPE, **options)
    text = child.communicate(timeout=20)[0].decode()
    assert child.returncode == 0
    return text.strip()


def test_processes_see_the_network_they_were_put_in(sandbox: Sandbox) -> None:
    here = str(Path("/proc/self/ns/net").readlink())
    seen = {where: output(sandbox, where, "readlink", "/proc/self/ns/net") for where in ("device", "edge")}
    assert len({here, *seen.values()}) == 3
    for where, inode in seen.items():
        assert str(Path(sandbox.netns(where)).readlink()) == inode
        assert sandbox.call(where, lambda: str(Path("/proc/thread-self/ns/net").readlink())) == inode
        assert "lo" in output(sandbox, where, "cat", "/proc/net/dev")
    assert str(Path("/proc/self/ns/net").readlink()) == here


def test_loopback_is_up_and_pids_are_private(sandbox: Sandbox) -> None:
    code = "import socket, os; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    assert output(sandbox, "edge", sys.executable, "-S", "-c", code) == ""
    pids = output(sandbox, "device", "sh", "-c", "ls /proc | grep -c '^[0-9]'")
    assert int(pids) < 10


def test_tmp_is_private_and_readable_from_outside(sandbox: Sandbox) -> None:
    name = f"/tmp/{uuid.uuid4().hex}"
    output(sandbox, "device", "sh", "-c", f"echo inside > {name}")
    assert not Path(name).exists()
    assert sandbox.path(name).read_text() == "inside\n"
    assert output(sandbox, "edge", "cat", name) == "inside"


def test_what_is_kept_stays_visible(tmp_path: Path, host_backend: str) -> None:
    (tmp_path / "model").write_text("weights")
    with Sandbox(keep=[tmp_path]) as sandbox:
        assert output(sandbox, "edge", "cat", str(tmp_path / "model")) == "weights"
        output(sandbox, "edge", "sh", "-c", f"echo answer > {tmp_path}/out")
    assert (tmp_path / "out").read_text() == "answer\n"


def test_environment_folder_and_core(sandbox: Sandbox) -> None:
    env = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": "/nowhere", "MARK": "a b"}
    command = "echo $LD_LIBRARY_PATH $MARK; pwd; grep Cpus_allowed_list /proc/self/status"
    lines = output(sandbox, "device", "sh", "-c", command, env=env, cwd="/usr", cpu=0).splitlines()
    assert lines[:2] == ["/nowhere a b", "/usr"]
    assert lines[2].split()[-1] == "0"


def test_exit_codes_and_signals_pass_through(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    assert sandbox.popen("device", ["sh", "-c", "exit 7"]).wait(10) == 7
    assert sandbox.popen("device", ["no-such-command"]).wait(10) == 127
    assert "cannot run no-such-command" in capfd.readouterr().err
    trapping = sandbox.popen("edge", ["sh", "-c", "trap 'exit 3' TERM; echo ready; sleep 60 & wait"], stdout=PIPE)
    assert trapping.stdout is not None
    assert trapping.stdout.readline() == b"ready\n"
    trapping.terminate()
    assert trapping.wait(10) == 3
    plain = sandbox.popen("edge", ["sh", "-c", "echo ready; exec sleep 60"], stdout=PIPE)
    assert plain.stdout is not None
    plain.stdout.readline()
    plain.terminate()
    assert plain.wait(10) == -signal.SIGTERM


def test_a_killed_launcher_takes_its_command_along(sandbox: Sandbox) -> None:
    child = sandbox.popen("device", ["sh", "-c", "echo ready; exec sleep 4242"], stdout=PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.wait(10)
    deadline = time.monotonic() + 5
    while "4242" in output(sandbox, "edge", "sh", "-c", "cat /proc/[2-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_closing_ends_everything_inside(host_backend: str) -> None:
    with Sandbox() as sandbox:
        child = sandbox.popen("edge", ["sleep", "600"])
        holder = sandbox.pid
    assert child.returncode is not None
    assert not Path(f"/proc/{holder}").exists()
    with pytest.raises(NetemError, match="not running"):
        sandbox.popen("edge", ["true"])


OWNER = """
import subprocess, sys, time
from netem import LinkSpec, Sandbox, apply
with Sandbox() as sandbox:
    for where in ("device", "edge"):
        sandbox.popen(where, ["sh", "-c", "touch /tmp/$NETEM_TEST_MARK; sleep 600"])
    apply(sandbox, LinkSpec(57, 1000, 2, 2))
    print("up", flush=True)
    time.sleep(600)
"""


def marked(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("attempt", range(5))
def test_sigkill_at_a_random_moment_leaves_nothing(host_backend: str, attempt: int) -> None:
    kill_at_a_random_moment(attempt)


@pytest.mark.slow
def test_a_hundred_kills_leave_nothing(host_backend: str) -> None:
    interfaces = Path("/proc/net/dev").read_text().count(":")
    for attempt in range(100):
        kill_at_a_random_moment(attempt)
    assert Path("/proc/net/dev").read_text().count(":") == interfaces


def kill_at_a_random_moment(attempt: int) -> None:
    mark = f"netem-test-{uuid.uuid4().hex}"
    owner = subprocess.Popen([sys.executable, "-c", OWNER], env={**os.environ, "NETEM_TEST_MARK": mark}, stdout=PIPE)
    if attempt == 0:  # once with everything up for certain
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert len(marked(mark)) >= 6
    else:
        time.sleep(random.uniform(0, 1))
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 10
    # The namespaces have no name: with the last process in them, or holding them open, they are gone.
    while left := marked(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    assert not Path("/tmp", mark).exists()
    assert "uplink0" not in Path("/proc/net/dev").read_text()
