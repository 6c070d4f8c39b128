"""Processes of a training share the threads of its job, as torch counts them."""

import os
import subprocess
import sys

PROGRAM = """
import sys
from workflow_scripts.lib.training.threads import share_threads
share_threads(int(sys.argv[1]), int(sys.argv[2]))
import torch
print(torch.get_num_threads())
"""


def test_torch_has_the_share_of_a_process_where_snakemake_names_the_threads_of_the_job():
    job = {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}
    for n_processes, share in ((2, 2), (8, 1)):
        command = [sys.executable, "-c", PROGRAM, "4", str(n_processes)]
        done = subprocess.run(command, env=os.environ | job, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [str(share)]
