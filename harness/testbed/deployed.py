"""A testbed on this host whose tiers run a deployment: Triton on its model repository, the agent on its device half."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.offloader import triton_server
from harness.preprocessor import manifest
from harness.preprocessor.manifest import Deployment
from harness.spec import Spec
from harness.testbed.local import START_TIMEOUT_S, TRITON, LocalTestbed

_DEPLOYMENT = Path("/tmp/deployment")
_REPOSITORY = "repository"


class DeployedTestbed(LocalTestbed):
    """Both tiers of one deployment, from entering to leaving; else as `LocalTestbed`.

    The server gets a copy of the repository and the device one of its half, each where only the run can see it.
    """

    def __init__(self, spec: Spec, logs: Path, deployment: Deployment) -> None:
        super().__init__(spec, logs)
        self._deployment = deployment

    def load(self, recordings: Mapping[str, dict[str, Any]] | None = None) -> dict[str, Any]:  # noqa: ARG002
        """Load the device's half and wait until the edge serves the other; what the agent says of them."""
        target = self.sandbox.path(_DEPLOYMENT)
        target.mkdir()
        for name in (manifest.MANIFEST, manifest.DEVICE, manifest.EDGE):
            shutil.copyfile(self._deployment.folder / name, target / name)
        sent = self.spec.hardware.edge.models == "load"
        if sent:
            shutil.copytree(self._deployment.repository, target / _REPOSITORY)
        spec = self.spec
        self._unload_at_the_end()
        with self._log_told():
            loaded: dict[str, Any] = self.agent.call(
                "deploy",
                folder=str(_DEPLOYMENT),
                threads=spec.hardware.device.threads,
                slowdown=spec.hardware.device.slowdown,
                connection=self.connection.record(),
                send=_REPOSITORY if sent else None,
                request_timeout_s=min(spec.communicator.timeout_s, spec.measure.timeout_s),
                ready_timeout_s=START_TIMEOUT_S,
            )
        self.server = loaded["server"]
        return loaded

    def _lay_out_edge(self) -> tuple[list[str], dict[str, str]]:
        command, environment = triton_server.lay_out(
            self.sandbox.path(TRITON), seen_as=TRITON, repository=self._deployment.repository
        )
        threads = {"TF_NUM_INTRAOP_THREADS": str(self.spec.hardware.edge.threads), "TF_NUM_INTEROP_THREADS": "1"}
        return command, environment | threads
