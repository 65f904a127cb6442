"""A link without root: this process becomes root of a user namespace of its own (user_namespaces(7)).

What it may do there is everything that a link needs, and nothing outside: files that it makes belong to the user
who started it. The kernel lets a process with one thread do it, so it comes before libraries that start threads.
"""

import os
from pathlib import Path

from netem import linux
from netem.errors import CapabilityError

_CAP_NET_ADMIN = 12
_CAP_SYS_ADMIN = 21


def privileged() -> bool:
    """Whether this process has CAP_SYS_ADMIN and CAP_NET_ADMIN already."""
    status = Path("/proc/self/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(effective >> _CAP_SYS_ADMIN & 1 and effective >> _CAP_NET_ADMIN & 1)


def become_root_inside() -> bool:
    """Enter a user namespace, unless this process may make links already; returns whether it had to.

    Raises:
        CapabilityError: this host does not let an ordinary user do it, or this process has several threads.
    """
    if privileged():
        return False
    user, group = os.getuid(), os.getgid()
    try:
        linux.unshare(linux.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")  # the kernel's condition for mapping a group (CVE-2014-8989)
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise CapabilityError(
            f"this user may not make a user namespace ({error.strerror}): allowed are a process with one thread and a "
            "host with user.max_user_namespaces above 0 and no restriction by AppArmor; or run it as root"
        ) from error
    return True
