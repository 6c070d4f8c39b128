"""Predict a split with a checkpoint: as trained, ablated, under varied settings, and by the system's predictors."""

import argparse
import json
import time
from functools import partial
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.networks import read_weights, resolve_device
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.training.processes import is_launched, join, launch
from workflow_scripts.lib.training.threads import share_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the system on this dataset")
    parser.add_argument("--checkpoint", required=True, type=Path, help="trained checkpoint")
    parser.add_argument("--seed", required=True, type=int, help="names the run; feeds systems that draw at evaluation")
    parser.add_argument("--split", required=True, help="split to predict")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, shared by the processes")
    parser.add_argument("--nodes", type=int, default=1, help="nodes of a SLURM job, which share the processes")
    parser.add_argument("--out", required=True, type=Path, help="folder of the run")
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    config, n_workers = settings["config"], settings["runtime"]["num_workers"]
    n_processes = settings["runtime"]["processes"]
    share_threads(args.threads, n_processes)
    device = resolve_device(settings["device"], n_processes)
    if n_processes > 1 and not is_launched():
        launch("workflow_scripts.predict", n_processes, args.nodes, args.threads)

    from workflow_scripts.lib.configuration.schema import BASELINE
    from workflow_scripts.lib.predictions.answer_tables import write_answers, write_query_scores
    from workflow_scripts.lib.store.digest import digest_json, file_sha256
    from workflow_scripts.lib.training.answer_journal import AnswerJournal
    from workflow_scripts.lib.training.checkpoint import check_recipes, read_checkpoint, rebuild
    from workflow_scripts.lib.training.prediction import join_answers, summarise_run
    from workflow_scripts.lib.training.prior import PriorResults
    from workflow_scripts.lib.training.reader import Reader
    from workflow_scripts.lib.training.sharing import Share
    from workflow_scripts.lib.training.variants import answer_floor, answer_variants

    processes = join(device)
    share, trained = Share(processes.process_index, processes.num_processes), read_checkpoint(args.checkpoint)
    check_recipes(settings, trained.notes["recipes"], args.checkpoint)
    base = {weights["name"]: read_weights(weights) for weights in settings["base_weights"]}
    system, network = rebuild(trained, base, args.checkpoint)
    network = network.to(processes.device)
    reader = Reader.of(args.settings, settings, PriorResults(settings, args.seed).answers)
    split = reader.read(args.split).usable(partial(system.skip_reason, training=False))
    started = time.monotonic()
    key = digest_json([file_sha256(args.checkpoint), split.digest, config, device, args.seed])
    with processes.main_process_first():
        journal = AnswerJournal(args.out / "answers_so_far.jsonl", key)
    own, others = answer_variants(
        trained, network, split.items, config, processes.device, args.seed, journal, n_workers, share
    )
    processes.destroy_process_group()
    if not share.is_first:
        return
    train = [] if config["system"] == BASELINE else reader.queries_of_roles(("train",))
    if train:
        others.append(answer_floor(train, split.items, system, config["given"], args.seed))
    run_id = f"{settings['dataset']}/{settings['name']}/seed{args.seed}"
    names = {"run_id": run_id, "system": settings["name"], "dataset": settings["dataset"], "split": args.split}
    may_be_reversed = config["evaluation"]["reversed"] == "miss"
    write_answers(args.out, join_answers([own, *others]), names, own.asked, may_be_reversed=may_be_reversed)
    write_query_scores(args.out, own.scores)
    seconds = time.monotonic() - started
    summary = summarise_run(trained.notes, settings, split, own, seconds, device, reader.feature_revisions())
    write_json(args.out / "predict.json", summary)
    journal.close()


if __name__ == "__main__":
    run_entry_point(main)
