"""The errors of the harness.

    HarnessError            the harness or a cell failed            exit code 1
    ├── SpecError           the spec is wrong, nothing was started  exit code 2
    ├── CapabilityError     this host cannot do what was asked      exit code 1
    ├── LinkError           the link is not the one asked for       exit code 1
    ├── DeviceError         the device agent failed                 exit code 1
    ├── EdgeError           the edge server failed                  exit code 1
    └── GateFailure         the prediction did not hold             exit code 3

Every message is one line: what is wrong, what was given, what is allowed, what to do.
"""


class HarnessError(Exception):
    """Anything that the harness raises on purpose."""

    exit_code = 1


class SpecError(HarnessError):
    """The experiment spec is wrong; found before anything was started."""

    exit_code = 2


class CapabilityError(HarnessError):
    """This host lacks something that the spec needs."""


class LinkError(HarnessError):
    """The link could not be set up, or does not give what was asked for."""


class DeviceError(HarnessError):
    """The device agent failed, or could not be reached."""


class EdgeError(HarnessError):
    """The edge server failed, or could not be reached."""


class GateFailure(HarnessError):
    """Predicted and measured latency differ by more than the gate allows."""

    exit_code = 3
