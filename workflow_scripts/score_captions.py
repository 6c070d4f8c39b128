"""Score captions that somebody made: BLEU, METEOR, ROUGE-L, CIDEr, and on request SPICE, BERTScore and CLIPScore.

Input are JSON lines with `id`, `caption`, `references` (a list of texts), and optionally `group` and `images` (paths of
pictures for CLIPScore, relative to the file). All captions are scored together and every group on its own, in percent.
"""

import argparse
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.extraction.networks import missing_weights, resolve_device
from workflow_scripts.lib.extraction.settings import weight_path
from workflow_scripts.lib.metrics.captions import check_java
from workflow_scripts.lib.metrics.optional_captions import WEIGHTS_OF
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.scoring.caption_lines import ALL, read_caption_lines
from workflow_scripts.lib.scoring.results import refusing_readably
from workflow_scripts.lib.store.atomic import write_json

CONFIG = Path(__file__).resolve().parent.parent / "config"


def main() -> None:
    """Check what is needed, read, score, write."""
    rules = [name for name, rule_set in RULE_SETS.items() if rule_set.task == "captions"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captions", type=Path, help="JSON lines")
    parser.add_argument("--out", required=True, type=Path, metavar="JSON", help="metrics file to write")
    parser.add_argument("--rules", default="captions", choices=rules, help="rule set (docs/metrics.md)")
    parser.add_argument(
        "--also", nargs="+", default=[], choices=WEIGHTS_OF, help="metrics that need a downloaded model"
    )
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of downloaded weights")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="where networks run")
    args = parser.parse_args()
    check_java()
    models = {metric: weight_paths(metric, args.weights) for metric in args.also}
    device = resolve_device(args.device) if models else "cpu"
    options = Options(also=tuple(models), models=models, device=device)
    with refusing_readably(str(args.captions)):
        scored = read_caption_lines(args.captions).scored(args.rules, options)
    metrics = {group: found.metrics | {"n": len(found.per_query["CIDEr"])} for group, found in scored.items()}
    write_json(args.out, {"metrics": metrics, "cautions": [str(found) for found in scored[ALL].cautions]})


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
