"""The processes of a training or prediction: started by torchrun, on one node or on each of those of a SLURM job.

Torch is loaded by those that compute, not by the one that starts them.
"""

import logging
import os
import socket
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from workflow_scripts.lib.errors import UserError

if TYPE_CHECKING:
    from accelerate import PartialState

_LONGEST_WAIT = timedelta(hours=12)
"""While one process scores answers the others wait; one that dies is noticed by torchrun, whatever this limit is."""
_FIRST_PORT, _N_PORTS = 20_000, 10_000


def is_launched() -> bool:
    """Tell whether this process is one of those that torchrun started."""
    return "RANK" in os.environ


def launch(module: str, n_processes: int, n_nodes: int, n_threads: int) -> None:
    """Become torchrun, which starts `module` with this command line in every process; does not return.

    Parameters
    ----------
    n_processes, n_threads : of all nodes together
    n_nodes : nodes of the SLURM job in whose batch step this process runs; 1 needs no SLURM

    Raises
    ------
    UserError
        the nodes cannot share the processes equally
    """
    if n_processes % n_nodes:
        raise UserError(
            f"runtime.processes: {n_processes} cannot be shared equally by the {n_nodes} nodes of this job; make it a "
            "multiple"
        )
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(n_processes // n_nodes)),
        *("--signals-to-handle", "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"),
        *(["--standalone"] if n_nodes == 1 else _meeting_point(n_nodes)),
        *("--module", module, *sys.argv[1:]),
    ]
    if n_nodes > 1:
        # One torchrun per node.
        share = ["--nodes", n_nodes, "--ntasks", n_nodes, "--cpus-per-task", max(1, n_threads // n_nodes)]
        command[:0] = ["srun", "--kill-on-bad-exit=1", *map(str, share)]
    # Its advice at this level is on settings that a user cannot change.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.execvp(command[0], command)


def _meeting_point(n_nodes: int) -> list[str]:
    """Return torchrun's options for processes that meet on this node, the first of the job."""
    job = os.environ["SLURM_JOB_ID"]
    endpoint = f"{socket.gethostname()}:{_FIRST_PORT + int(job) % _N_PORTS}"
    return ["--nnodes", str(n_nodes), "--rdzv-backend", "c10d", "--rdzv-id", job, "--rdzv-endpoint", endpoint]


def join(device: str) -> "PartialState":
    """Return this process's place among those of the job, which may be one; only the first logs its progress.

    Parameters
    ----------
    device : `cpu` or `cuda`; of several GPUs each process takes the one with its number

    Raises
    ------
    UserError
        this node has fewer GPUs than processes
    """
    import torch
    from accelerate import PartialState

    n_local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if device == "cuda" and n_local > torch.cuda.device_count():
        raise UserError(
            f"runtime.processes: {n_local} processes of this job are on a node where it has "
            f"{torch.cuda.device_count()} GPU(s); set `runtime.gpu` of the system to as many, or fewer processes"
        )
    processes = PartialState(cpu=device == "cpu", **({"timeout": _LONGEST_WAIT} if is_launched() else {}))
    if not processes.is_main_process:
        logging.getLogger().setLevel(logging.WARNING)
    return processes


def require_gpu_for(precision: str, device: str) -> None:
    """Refuse a training in fp16 without a GPU.

    Raises
    ------
    UserError
        the scaler of the loss, without which gradients vanish, is for GPUs
    """
    if precision == "fp16" and device != "cuda":
        raise UserError(
            "precision: fp16 scales the loss, which needs a GPU, and this training has none; say `precision: bf16` or "
            "`precision: 'no'` for the system"
        )
