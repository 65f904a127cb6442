"""The errors of the link.

    NetemError              anything this package raises on purpose
    ├── LinkSpecError       the link asked for is impossible; nothing was started
    ├── CapabilityError     this host cannot do what was asked
    ├── ShapingError        the kernel did not take, or did not keep, what was asked
    └── ProbeError          the link does not give what was asked, or could not be measured

Every message is one line: what is wrong, what was given, what is allowed, what to do.
"""


class NetemError(Exception):
    """Anything that netem raises on purpose."""


class LinkSpecError(NetemError):
    """The link asked for is impossible or ambiguous; found before anything was started."""


class CapabilityError(NetemError):
    """This host lacks a privilege, a device or a kernel part that the link needs."""


class ShapingError(NetemError):
    """The link could not be set up, or the kernel reports something else than what was set."""


class ProbeError(NetemError):
    """The link as measured is not the link as asked for, or could not be measured."""
