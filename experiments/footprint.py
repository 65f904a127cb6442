"""What the processes of a run hold, as the kernel tells it (proc(5)): private memory and open files, by their role."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Processes of a run by what stands in their command, the first that does; launchers have that of the other as well.
ROLES = {
    "netem.enter": "launchers",
    "netem.holder": "sandbox",
    "netem.relay": "relay",
    "harness.testbed.agent": "agent",
    "bin/tritonserver ": "tritonserver",
    "triton_python_backend_stub": "python stub",
}


@dataclass(frozen=True)
class Held:
    """What one process holds."""

    pid: int
    role: str
    private_bytes: int
    open_files: int


def held(root: int) -> Iterable[Held]:
    """What a process and all that it started hold; one that ends meanwhile is left out."""
    for pid in descendants(root):
        with suppress(OSError):
            role = "harness" if pid == root else role_of(Path(f"/proc/{pid}/cmdline").read_bytes())
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            yield Held(pid, role, private_bytes(rollup), sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))


def descendants(root: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):  # it has ended
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(path.name))
    found, below = [], [root]
    while below:
        found.append(pid := below.pop())
        below += children.get(pid, [])
    return found


def role_of(command: bytes) -> str:
    """What a process is in a run, by its command line as the kernel has it."""
    text = command.replace(b"\0", b" ").decode(errors="replace")
    return next((role for part, role in ROLES.items() if part in text), "others")


def private_bytes(rollup: str) -> int:
    """Memory that is this process's alone, from the text of its `smaps_rollup`."""
    lines = (line.split() for line in rollup.splitlines() if line.startswith(("Private_Clean:", "Private_Dirty:")))
    return sum(1024 * int(words[1]) for words in lines)
