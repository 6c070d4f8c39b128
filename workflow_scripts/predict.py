"""Predict a split with a checkpoint: as trained, ablated, under varied settings, and by the system's predictors."""

import argparse
import json
import os
import time
from functools import partial
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.atomic import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the system on this dataset")
    parser.add_argument("--checkpoint", required=True, type=Path, help="trained checkpoint")
    parser.add_argument("--seed", required=True, type=int, help="names the run; feeds systems that draw at evaluation")
    parser.add_argument("--split", required=True, help="split to predict")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, type=Path, help="folder of predictions")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    settings = json.loads(args.settings.read_text(encoding="utf-8"))

    from workflow_scripts.lib.configuration.layers import merge
    from workflow_scripts.lib.datasets.predictions import (
        write_ablations,
        write_predictions,
        write_predictors,
        write_query_scores,
    )
    from workflow_scripts.lib.extraction.networks import read_weights, resolve_device
    from workflow_scripts.lib.store.shard_store import use_zarrs
    from workflow_scripts.lib.training.checkpoint import build_system, check_recipes, read_checkpoint
    from workflow_scripts.lib.training.items import Reader
    from workflow_scripts.lib.training.prediction import predict_details, predict_items, summarise_run
    from workflow_scripts.lib.training.prior import Prior

    use_zarrs()
    trained = read_checkpoint(args.checkpoint)
    check_recipes(settings, trained.notes["recipes"], args.checkpoint)
    config, shape = trained.notes["config"], (trained.notes["fitted"], trained.notes["stream_dims"])
    system = build_system(config["system"], config["settings"], *shape)
    device = resolve_device(settings["device"])
    base = {weights["name"]: read_weights(weights) for weights in settings["base_weights"]}
    network = system.network(base).to(device)
    network.load_state_dict(trained.state, strict=True)
    results = args.settings.parent.parent
    annotated, prior = results.parent / settings["annotations"], Prior(settings, args.seed)
    split = Reader(results, settings["config"], settings["recipes"], annotated, prior.answers).read(args.split)
    split = split.usable(partial(system.skip_reason, training=False))
    started, prepare = time.monotonic(), trained.standardiser.apply
    run_id = f"{settings['dataset']}/{settings['name']}/seed{args.seed}"
    how = (system.config.train.batch_size, device, args.seed)
    found = {
        zeroed: predict_items(
            system,
            network,
            split.items,
            partial(prepare, zeroed=zeroed),
            *how,
            progress=f"predict, {zeroed} set to zero" if zeroed else "predict",
        )
        for zeroed in [None, *settings["config"]["evaluation"]["zero_streams"]]
    }
    for name, change in settings["config"]["evaluation"]["variations"].items():
        varied = build_system(config["system"], merge(config["settings"], change), *shape)
        found[name] = predict_items(varied, network, split.items, prepare, *how, progress=f"predict, {name}")
    names = {"run_id": run_id, "system": settings["name"], "dataset": settings["dataset"], "split": args.split}
    asked = [item.query_id for item in split.items]
    write_predictions(args.out / "predictions.parquet", answers := found.pop(None), names, asked)
    write_ablations(args.out / "ablations.parquet", found, names, asked)
    predictors, scores = predict_details(system, network, split.items, prepare, *how)
    write_predictors(args.out / "predictors.parquet", predictors, names, asked)
    write_query_scores(args.out / "query_scores.parquet", scores)
    seconds = time.monotonic() - started
    summary = summarise_run(trained.notes, settings, split.skipped, answers, seconds, str(device))
    write_json(args.out / "predict.json", summary)


if __name__ == "__main__":
    run_entry_point(main)
