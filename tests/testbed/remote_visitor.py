"""Runs where "this host" is, as its own process: `python remote_visitor.py VERB OVERRIDE ...`, results as JSON lines.

look    enters the testbed of a cell, says what it finds there, and leaves
stay    enters it, says `{"up": true}`, and stays until it is told otherwise; then what `check_alive` says
enter   enters it and leaves at once; or the error that came of it
each    the same for each of several further overrides, which come as a JSON list in the place of the last one
"""

from __future__ import annotations

import json
import os
import socket
import stat
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from harness.errors import HarnessError
from harness.spec import PROJECT, Spec
from harness.testbed.remote import RemoteTestbed
from harness.testbed.ssh import Shell
from netem.namespaces import module_argv

_ROUND_TRIPS = 15


def look(bed: RemoteTestbed) -> dict[str, Any]:
    """What can be seen of a testbed that is up."""
    # Board and "this host" share a file system: the agent's own folder is the one without a Triton in it.
    sockets = {(path.parent / "triton").exists(): path for path in Path("/tmp").glob("scissionlite-*/agent.sock")}
    local, remote = sockets[True], sockets[False]
    return {
        "described": bed.agent.call("describe"),
        "in_force": bed.in_force(),
        "probe": bed.probe().as_dict(),
        "link": bed.link.as_dict(),
        "notes": bed.notes(),
        "board": bed.board,
        "modes": [oct(stat.S_IMODE(path.stat().st_mode)) for one in (local, remote) for path in (one.parent, one)],
        "others_refused": [_refused_to_others(path) for path in (local, remote)],
        "unknown_verb": _unknown_verb(bed),
        "under_load": under_load(bed),
    }


def under_load(bed: RemoteTestbed) -> dict[str, float]:
    """Round trips through ssh, and over the shaped path, while the board's queue towards this host is full."""
    shell = Shell(bed.spec.hardware.device)
    with subprocess.Popen(shell.argv(["cat"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        idle_ms = _round_trips_ms(session)
        with socket.create_server((str(bed.spec.hardware.edge.address), 0)) as sink:
            executable = (bed.board or {})["executable"]
            command = [executable, "-c", _FLOOD, *map(str, sink.getsockname())]
            with subprocess.Popen(shell.argv(command), stdin=subprocess.DEVNULL) as sender:
                taken, _ = sink.accept()
                threading.Thread(target=_drain, args=(taken,), daemon=True).start()
                time.sleep(1.0)
                loaded_ms = _round_trips_ms(session)
                shaped_ms = _shaped_round_trip_ms(bed)
                sender.kill()
                taken.close()
        session.kill()
    return {"idle_ms": idle_ms, "loaded_ms": loaded_ms, "shaped_ms": shaped_ms}


_FLOOD = """\
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    while True:
        sock.sendall(bytes(65536))
"""


def _round_trips_ms(session: subprocess.Popen[bytes]) -> float:
    assert session.stdin
    assert session.stdout
    found = []
    for _ in range(_ROUND_TRIPS):
        started_s = time.monotonic()
        session.stdin.write(b"x\n")
        session.stdin.flush()
        session.stdout.readline()
        found.append((time.monotonic() - started_s) * 1e3)
    return statistics.median(found)


def _shaped_round_trip_ms(bed: RemoteTestbed) -> float:
    """One small echo from the board over the shaped path: behind everything that waits there."""
    address = str(bed.spec.hardware.edge.address)
    command = module_argv("netem.probe_peer", "serve", json.dumps({"address": address, "timeout_s": 60}))
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/") as server:
        assert server.stdout
        plan = {"exchanges": 1, "up": [], "down": [], "idle_s": 0}
        port = int(server.stdout.readline())
        found = bed.agent.call("probe", address=address, port=port, plan=plan, step_s=60)
        server.kill()
    return float(found["rtt_ms"][0])


def _drain(sock: socket.socket) -> None:
    try:
        while sock.recv(1 << 20):
            pass
    except OSError:
        return


def _refused_to_others(path: Path) -> str:
    """What an ordinary user gets who tries to talk to the agent."""
    script = (  # becomes that user only once it runs: root's own Python may lie where nobody else looks
        "import os, socket; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def _unknown_verb(bed: RemoteTestbed) -> str:
    try:
        bed.agent.call("system", command="true")
    except HarnessError as error:
        return str(error)
    return ""


def each(overrides: list[str]) -> None:
    """One start of Python for many ways to be refused."""
    *common, others = overrides
    for other in json.loads(others):
        main("enter", [*common, other])


def main(verb: str, overrides: list[str]) -> None:
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        spec = Spec.from_config(compose("config", ["model=mobilenetv2", *overrides]))
    logs = Path(tempfile.mkdtemp(prefix="visitor-"))
    try:
        with RemoteTestbed(spec, logs) as bed:
            if verb == "look":
                say(look(bed))
            if verb == "stay":
                say({"up": True})
                stay(bed)
    except HarnessError as error:
        say({"error": str(error), "kind": type(error).__name__, "code": error.exit_code})


def stay(bed: RemoteTestbed) -> None:
    started_s = time.monotonic()
    try:
        while time.monotonic() - started_s < 120:
            bed.check_alive()
            time.sleep(0.2)
    except HarnessError as error:
        say({"died": str(error), "kind": type(error).__name__, "after_s": time.monotonic() - started_s})
        os._exit(1)  # not politely: what is at the other end must see to itself


def say(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "each":
        each(sys.argv[2:])
    else:
        main(sys.argv[1], sys.argv[2:])
