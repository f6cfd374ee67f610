"""Services of a benchmark: ports, session and log folder of their own; stopped whichever way it ends."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reason.llm_service.serve import options_of_environment, serving
from scripts.bench.ports import free_port

SMALL = {"lm_gpus": "0", "rm_gpus": "0", "gpu_memory_utilization": 0.2, "max_cores": 4}  # as create_service_tiny.sh


@contextmanager
def services(bench: str, lm: str, rm: str, **options: Any) -> Iterator[str]:
    """Serve `lm` and `rm` while the block runs; yields the controller's address. Messages go to stderr.

    `options`: of `ServeOptions`; what is not given is taken from the environment, such as MODEL_BASE and LM_ARGS.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix=f"{bench}-") as logs:
        own = {"controller_port": port, "worker_base_port": free_port(8), "session": f"{bench}-{port}", "logdir": logs}
        own |= {"policy_model_name": lm, "value_model_name": rm}
        with serving(options_of_environment(SMALL, **own, **options), sys.stderr) as controller:
            yield controller
