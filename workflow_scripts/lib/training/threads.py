"""CPU threads of the processes of a training or prediction."""

import os


def share_threads(n_threads: int, n_processes: int) -> None:
    """Give every process its share of a job's threads, at least one; to be called before torch is imported.

    Notes
    -----
    Where MKL has a number of threads of its own, PyTorch takes that one, and Snakemake sets both to those of the job:
    processes with all threads each wait for one another, ten times as long as they compute on a busy machine.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(max(1, n_threads // n_processes))
