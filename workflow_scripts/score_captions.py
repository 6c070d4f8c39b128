"""Score captions that somebody made: BLEU, METEOR, ROUGE-L, CIDEr, and on request SPICE, BERTScore and CLIPScore.

Input are JSON lines with `id`, `caption`, `references` (a list), and optionally `group` and `images` (paths of
pictures for CLIPScore, relative to the file).
"""

import argparse
from pathlib import Path
from typing import Any

from workflow_scripts.configuration.compose import Configuration
from workflow_scripts.datasets.source_files import read_json_lines, require
from workflow_scripts.errors import UserError, run_entry_point
from workflow_scripts.metrics import captions
from workflow_scripts.store.atomic import write_json

CONFIG = Path(__file__).resolve().parent.parent / "config"
WEIGHTS_OF = {
    "SPICE": ("corenlp_3_6_0",),
    "BERTScore": ("roberta_large", "roberta_large_config", "roberta_large_merges", "roberta_large_vocab"),
    "CLIPScore": ("clip_vit_b32",),
}
"""Optional metric -> entries of config/weights.yaml."""


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captions", type=Path, help="JSON lines")
    parser.add_argument("--out", required=True, type=Path, metavar="JSON", help="metrics file to write")
    parser.add_argument(
        "--also", nargs="+", default=[], choices=WEIGHTS_OF, help="metrics that need a downloaded model"
    )
    parser.add_argument("--clip-rule", default="clipscore", choices=["clipscore", "hirest"], help="form of CLIPScore")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of downloaded weights")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="where networks run")
    return parser.parse_args()


def main() -> None:
    """Check what is needed, read, score, write."""
    arguments = parse_arguments()
    captions.check_java()
    weights = {metric: weight_paths(metric, arguments.weights) for metric in arguments.also}
    rows = [row for where, record in read_json_lines(arguments.captions) if (row := checked_row(record, where))]
    optional = {metric: scorer(metric, paths[0], rows, arguments) for metric, paths in weights.items()}
    try:
        scores = captions.evaluate(
            [row["id"] for row in rows],
            [row["caption"] for row in rows],
            [row["references"] for row in rows],
            [row.get("group") for row in rows],
            optional,
        )
    except ValueError as error:
        raise UserError(f"{arguments.captions}: {type(error).__name__}: {error}") from error
    write_json(arguments.out, {"metrics": scores.metrics, "cautions": [str(found) for found in scores.cautions]})


def weight_paths(metric: str, folder: Path) -> list[Path]:
    """Return the files that a metric needs.

    Raises
    ------
    UserError
        one is not there; names the address and the command that fetches it
    """
    from workflow_scripts.extraction.networks import missing_weights
    from workflow_scripts.extraction.settings import weight_path

    configuration, paths = Configuration({}, CONFIG), []
    for name in WEIGHTS_OF[metric]:
        weight = configuration.weight(name)
        path = Path(weight_path(weight, str(folder)))
        if not path.is_file():
            notes = {"name": name, "path": str(path), "url": weight.url, "sha256": weight.sha256}
            raise UserError(f"{metric}: {missing_weights(notes)}; or leave out `--also {metric}`")
        paths.append(path)
    return paths


def checked_row(record: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a row whose fields have the right kinds; pictures are looked up beside the file."""
    require(record, "id", (str, int), where)
    require(record, "caption", str, where)
    require(record, "references", list, where)
    folder = Path(where.rpartition(":")[0]).parent
    images = [folder / name for name in require(record, "images", list, where)] if "images" in record else []
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise UserError(f"{where}:images: {missing[0]}: no such picture")
    return record | {"images": images}


def scorer(metric: str, path: Path, rows: list[dict[str, Any]], arguments: argparse.Namespace) -> captions.Scorer:
    """Return an optional metric with its model loaded."""
    from workflow_scripts.extraction.networks import resolve_device

    if metric == "SPICE":
        from workflow_scripts.metrics.spice import Spice

        return Spice(path)
    device = resolve_device(arguments.device)
    if metric == "BERTScore":
        from workflow_scripts.metrics.bert_score import BertScore, RobertaEmbedder

        return BertScore(RobertaEmbedder(path.parent, device=device))
    from workflow_scripts.metrics.clip_score import ClipScore, OpenClip

    without = [str(row["id"]) for row in rows if not row["images"]]
    if len(without) == len(rows):
        raise UserError(f"{arguments.captions}: CLIPScore needs `images` in the lines; none has any")
    network = OpenClip.load(path, device)
    return ClipScore([network.images(row["images"]) for row in rows], network.texts, arguments.clip_rule)


if __name__ == "__main__":
    run_entry_point(main)
