"""Score captions that somebody made: BLEU, METEOR, ROUGE-L, CIDEr, and on request SPICE, BERTScore and CLIPScore.

Input are JSON lines with `id`, `caption`, `references` (a list), and optionally `group` and `images` (paths of
pictures for CLIPScore, relative to the file).
"""

import argparse
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.datasets.source_files import read_json_lines, require
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.networks import missing_weights, resolve_device
from workflow_scripts.lib.extraction.settings import weight_path
from workflow_scripts.lib.metrics import captions
from workflow_scripts.lib.metrics.errors import PredictionError
from workflow_scripts.lib.metrics.optional_captions import WEIGHTS_OF, make_scorer
from workflow_scripts.lib.store.atomic import write_json

CONFIG = Path(__file__).resolve().parent.parent / "config"


def main() -> None:
    """Check what is needed, read, score, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captions", type=Path, help="JSON lines")
    parser.add_argument("--out", required=True, type=Path, metavar="JSON", help="metrics file to write")
    parser.add_argument(
        "--also", nargs="+", default=[], choices=WEIGHTS_OF, help="metrics that need a downloaded model"
    )
    parser.add_argument("--clip-rule", default="clipscore", choices=["clipscore", "hirest"], help="form of CLIPScore")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of downloaded weights")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="where networks run")
    args = parser.parse_args()
    captions.check_java()
    weights = {metric: weight_paths(metric, args.weights)[0] for metric in args.also}
    rows, images = [], []
    for where, row in read_json_lines(args.captions):
        for field, kind in (("id", (str, int)), ("caption", str), ("references", list)):
            require(row, field, kind, where)
        rows.append(row)
        images.append([args.captions.parent / name for name in row.get("images", [])])
        missing = [path for path in images[-1] if not path.is_file()]
        if missing:
            raise UserError(f"{where}:images: {missing[0]}: no such picture")
    columns = [[row.get(field) for row in rows] for field in ("id", "caption", "references", "group")]
    try:
        device = resolve_device(args.device) if weights else "cpu"
        optional = {name: make_scorer(name, path, images, device, args.clip_rule) for name, path in weights.items()}
        scores = captions.evaluate(*columns, optional)
    except PredictionError as error:
        raise UserError(f"{args.captions}: {type(error).__name__}: {error}") from error
    write_json(args.out, {"metrics": scores.metrics, "cautions": [str(found) for found in scores.cautions]})


def weight_paths(metric: str, folder: Path) -> list[Path]:
    """Return the files that a metric needs.

    Raises
    ------
    UserError
        one is not there; names the address and the command that fetches it
    """
    configuration, paths = Configuration({}, CONFIG), []
    for name in WEIGHTS_OF[metric]:
        weight = configuration.weight(name)
        path = weight_path(weight, str(folder))
        if not path.is_file():
            notes = {"name": name, "path": str(path), "url": weight.url, "sha256": weight.sha256}
            raise UserError(f"{metric}: {missing_weights(notes)}; or leave out `--also {metric}`")
        paths.append(path)
    return paths


if __name__ == "__main__":
    run_entry_point(main)
