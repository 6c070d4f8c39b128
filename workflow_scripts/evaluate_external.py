"""Score a prediction file that somebody brings, in the benchmark's submission format, without training anything."""

import argparse
import json
from collections import Counter
from pathlib import Path

from workflow_scripts.lib.datasets.source_files import content_sha256
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.metrics.questions import Captions
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.reporting.table import metrics_table
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.pictures import with_pictures
from workflow_scripts.lib.scoring.results import Result, options_of, refusing_readably, sections, write_tables
from workflow_scripts.lib.scoring.submissions import Leniency, read_submission
from workflow_scripts.lib.scoring.tasks import TASKS
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.versions import code_revision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the prediction file")
    parser.add_argument("--annotations", required=True, type=Path, help="folder of the dataset's canonical tables")
    parser.add_argument("--out", required=True, type=Path, help="metrics file to write; tables are written beside it")
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    path = Path(settings["file"])
    accepted = {key: settings[key] for key in ("allow_missing", "empty_as_miss")}
    results, n_asked = [], 0
    with refusing_readably(str(path)):
        split = AnnotatedSplit.read(args.annotations, settings["split"])
        for name in settings["rules"]:
            rule_set, options = RULE_SETS[name], options_of(settings, name, settings["clip"])
            question = TASKS[rule_set.task].question(split, rule_set)
            if "CLIPScore" in options.also and isinstance(question, Captions):
                question = with_pictures(question, split, Path(settings["pictures"]), rule_set.about_steps)
            n_asked = max(n_asked, len(question.ids))
            leniency = Leniency.of(name, options, **accepted)
            answered, answers = read_submission(path, split, name, question, leniency)
            results.append(Result(name, answered, options, apply_rules(name, answered, answers, options)))
    n_scored = len(results[0].question.ids)
    skipped = split.empty_moments() if RULE_SETS[results[0].rules].task == "moments" else Counter()
    n_asked += skipped.total()
    if missing := n_asked - n_scored - skipped.total():
        skipped["no prediction"] = missing
    metrics = {
        "dataset": settings["dataset"],
        "system": settings["title"],
        "split": settings["split"],
        "protocol": "external",
        **sections(results),
        "groups": {},
        "ablations": {},
        "baselines": {},
        "published": settings["published"] or None,
        "counts": {"queries": n_asked, "evaluated": n_scored, "skipped": dict(skipped)},
        "provenance": {
            "code_revision": code_revision(),
            "file": str(path),
            "sha256": content_sha256(path),
            "accepted": {**accepted, "clip": settings["clip"]},
            "weights": {},
        },
        "seeds": [],
    }
    write_tables(args.out.parent, results)
    write_json(args.out, metrics)
    print(metrics_table(metrics))


if __name__ == "__main__":
    run_entry_point(main)
