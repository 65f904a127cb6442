"""Run inside the device's namespace: sends the edge what no device would, and prints what came of it as JSON.

python edge_visitor.py URL
"""

from __future__ import annotations

import json
import sys

from harness.errors import EdgeError
from harness.offloader.communicator import connect
from harness.offloader.connection import Connection
from harness.offloader.endpoint import MultiplexedEndpoint

REQUESTS = {
    "unknown verb": (b"{}", {"verb": "dance"}),
    "no candidate": (b"", {"verb": "infer"}),
    "no such candidate": (b"", {"verb": "infer", "candidate": "split/7"}),
    "no such cut": (bytes(64), {"verb": "infer", "candidate": "split/99999/maxpool/float32"}),
    "no such transfer layer": (bytes(64), {"verb": "infer", "candidate": "split/7/magic/float32"}),
    "no such wire format": (bytes(64), {"verb": "infer", "candidate": "split/7/maxpool/float4"}),
    "nothing to compute": (bytes(64), {"verb": "infer", "candidate": "device-only"}),
    "payload too short": (bytes(7), {"verb": "infer", "candidate": "split/7/maxpool/float32"}),
    "payload too long": (bytes(900_000), {"verb": "infer", "candidate": "split/7/maxpool/float32"}),
    "picture that is none": (bytes(range(256)), {"verb": "infer", "candidate": "edge-only/jpeg"}),
    "control without JSON": (b"\x00{", {"verb": "prepare"}),
    "control without fields": (b"{}", {"verb": "time"}),
}


def main(url: str) -> None:
    communicator = connect(Connection(url), MultiplexedEndpoint(), 60.0)
    results = {}
    for name, (payload, parameters) in REQUESTS.items():
        try:
            communicator.send(communicator.encode(payload, parameters, ""))
            results[name] = "no error"
        except EdgeError as error:
            results[name] = str(error)
    results["echo"] = str(communicator.send(communicator.encode(bytes(500), {"verb": "echo"}, "")).output.shape)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
