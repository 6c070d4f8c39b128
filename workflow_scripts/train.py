"""Train one system on one dataset with one seed; an interrupted training goes on where it stopped."""

import argparse
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.networks import read_weights, resolve_device
from workflow_scripts.lib.store.atomic import atomic_path
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.training.processes import is_launched, join, launch, require_gpu_for
from workflow_scripts.lib.training.threads import share_threads

log = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the system")
    parser.add_argument("--key", required=True, help="digest of the settings this job is for")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, shared by the processes")
    parser.add_argument("--nodes", type=int, default=1, help="nodes of a SLURM job, which share the processes")
    parser.add_argument("--out", required=True, type=Path, help="folder of this seed's results")
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    n_processes = settings["runtime"]["processes"]
    share_threads(args.threads, n_processes)
    if settings["train_key"] != args.key:
        raise UserError(f"{args.settings}: changed since this job was planned; start the workflow again")

    settings["device"] = resolve_device(settings["device"], n_processes)
    require_gpu_for(settings["config"]["precision"], settings["device"])
    if n_processes > 1 and not is_launched():
        launch("workflow_scripts.train", n_processes, args.nodes, args.threads)

    from workflow_scripts.lib.training.checkpoint import learns_by_steps
    from workflow_scripts.lib.training.data import read_training_data
    from workflow_scripts.lib.training.prior import PriorResults
    from workflow_scripts.lib.training.state import StateFolder

    processes = join(settings["device"])
    prior = PriorResults(settings, args.seed)
    data = read_training_data(args.settings, settings, prior)
    with processes.main_process_first():
        state = StateFolder(
            args.out / "state", digest_json([args.key, args.seed, *data.identity, *prior.checkpoint_digest])
        )
        is_finished = state.is_finished
    if is_finished:
        log.info("already trained on exactly these settings and data; taken as it is")
    else:

        def base() -> dict[str, Any]:
            """Return published weights, which nobody keeps when the network is filled from them."""
            return {weights["name"]: read_weights(weights) for weights in settings["base_weights"]}

        if learns_by_steps(settings):
            from workflow_scripts.lib.training.loop import Training

            Training(settings, data, args.out, state, args.seed, prior.weights(), base()).run()
        else:
            from workflow_scripts.lib.training.fitting import fit_only

            fit_only(settings, data, state, args.seed, base())
    if processes.is_main_process:
        for source, target in ((state.best, "checkpoint.safetensors"), (state.history, "history.jsonl")):
            with atomic_path(args.out / target) as temporary:
                shutil.copyfile(source, temporary)
    processes.destroy_process_group()


if __name__ == "__main__":
    run_entry_point(main)
