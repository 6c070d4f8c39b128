"""Which GPUs a job takes where several are visible and nothing else has shared them out."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

DRIVER_FILES = ("/dev/nvidiactl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")
"""Device files of the drivers of NVIDIA (the second on its boards with a processor) and AMD, and of a GPU that Windows
lends to a Linux inside it."""


def has_gpu_driver() -> bool:
    """Return whether this machine seems to have a GPU: nothing that computes on one does without these files."""
    return any(Path(file).exists() for file in DRIVER_FILES)


def take_gpus(count: int = 1) -> None:
    """Reserve GPUs that no other job of this user has on this machine, for the life of this process.

    On a cluster the scheduler shows a job its own GPUs only, and then there is nothing to choose. On a machine of
    several GPUs Snakemake counts them (`--resources gpu=4`) but gives out none: without this all jobs would meet on the
    first one. A reservation is a file lock, so it ends with the process, however that ends. If all are taken, jobs
    share.

    To be called before CUDA starts: the choice is written into `CUDA_VISIBLE_DEVICES`, also for child processes.
    """
    visible = visible_gpus()
    if len(visible) <= count:
        return
    taken: list[str] = []
    for gpu in visible:
        if len(taken) < count and _lock(gpu):
            taken.append(gpu)
    shared = [gpu for gpu in visible if gpu not in taken]
    start = os.getpid() % max(1, len(shared))
    others = (shared[start:] + shared[:start])[: count - len(taken)]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join([*taken, *others])


def visible_gpus() -> list[str]:
    """Return the names (numbers or UUIDs) of the GPUs that this process may use."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.split() if found.returncode == 0 else []


def _lock(gpu: str) -> bool:
    """Lock a GPU; the open file is left to the process, and to what it becomes."""
    path = Path(tempfile.gettempdir()) / f"momentflow-{os.getuid()}-gpu-{gpu.replace('/', '_')}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    os.set_inheritable(descriptor, True)
    return True
