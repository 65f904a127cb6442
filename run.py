"""The entry point: Hydra in, harness.app out. `python run.py --help` explains everything."""

import gc
import os
import sys

gc.set_threshold(50_000)  # of the time to start, a tenth went into looking for garbage among what is there to stay

# A user namespace, for a link without root, is given to a process with one thread; NumPy's BLAS would start more when
# it is loaded, and nothing here needs them. What computes is a process of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hydra
from omegaconf import DictConfig

from harness import app


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> int:
    """One job of Hydra's: one cell. Never raises; conf/config.yaml's callback turns codes into the exit code."""
    return app.run_job(config)


if __name__ == "__main__":
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let its errors through: they are one line here, and exit 2
    sys.exit(app.guard(main))
