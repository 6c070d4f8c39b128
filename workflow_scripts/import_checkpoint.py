"""Import a published checkpoint of a system: its weights under our names, with all that is needed to use them."""

import argparse
import json
from pathlib import Path

from workflow_scripts.lib.errors import UserError, run_entry_point


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the system")
    parser.add_argument("--key", required=True, help="digest of the settings this job is for")
    parser.add_argument("--file", required=True, type=Path, help="published checkpoint, a torch or safetensors file")
    parser.add_argument("--out", required=True, type=Path, help="checkpoint to write")
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    if settings["train_key"] != args.key:
        raise UserError(f"{args.settings}: changed since this job was planned; start the workflow again")

    from workflow_scripts.lib.training.checkpoint import system_class, system_config, write_checkpoint
    from workflow_scripts.lib.training.published_checkpoints import imported, read_published, warn_of_other_inputs
    from workflow_scripts.lib.training.reader import Reader

    warn_of_other_inputs(settings)
    config, reader = settings["config"], Reader.of(args.settings, settings)
    typed = system_config(config["system"], config["settings"])
    items = reader.queries_of_roles(getattr(typed, "fits_on", ()))
    fitted = system_class(config["system"]).fit(typed, items)
    state = read_published(args.file)
    write_checkpoint(args.out, imported(settings, fitted, reader.stream_dims(), state, args.file))


if __name__ == "__main__":
    run_entry_point(main)
