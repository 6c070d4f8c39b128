"""Several processes that know one another, as torchrun would start them, but forked: what they import is there."""

import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, GradientState
from torch import multiprocessing

from workflow_scripts.lib.training.processes import join
from workflow_scripts.lib.training.sharing import Share


def by_processes(n_processes: int, call: Callable[[Share], Any], folder: Path) -> list[Any]:
    """Return what `call` returns in each of so many processes; one is forked, too, so that all compute alike.

    Parameters
    ----------
    folder : an empty one, for what they return
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    multiprocessing.start_processes(_work, (n_processes, port, call, folder), nprocs=n_processes, start_method="fork")
    return [pickle.loads((folder / f"{process}.pickle").read_bytes()) for process in range(n_processes)]


def _work(process: int, n_processes: int, port: int, call: Callable[[Share], Any], folder: Path) -> None:
    # Threads of OpenMP do not live on in a fork.
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    if n_processes > 1:
        place = {"RANK": process, "WORLD_SIZE": n_processes, "MASTER_PORT": port}
        place |= {f"LOCAL_{name}": value for name, value in place.items() if name != "MASTER_PORT"}
        os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    processes = join("cpu")
    found = call(Share(processes.process_index, processes.num_processes))
    (folder / f"{process}.pickle").write_bytes(pickle.dumps(found))
