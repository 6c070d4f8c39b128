"""Render a report as one HTML file: tables and pictures as they are, queries and answers as data for its script."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from markupsafe import Markup

from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.reporting.entries import OUTCOMES, Entry
from workflow_scripts.lib.reporting.page import TEMPLATES
from workflow_scripts.lib.reporting.table import BASELINES, headline, left_out_notes, published_rows, tables_of
from workflow_scripts.lib.reporting.training_curves import training_curves

SCRIPT = (Path(__file__).parent / "report.js").read_text(encoding="utf-8")
LISTED_REASONS = 20


@dataclass(frozen=True)
class Shown:
    """What a report shows beside the numbers.

    Attributes
    ----------
    entries : of all seeds, the worst first
    seeds : their names
    videos : id -> `src` (link to the file) or `reason`, and what is known of it; `speech`: lines; `clips`: small copies
    histories : seed -> a row per epoch
    coverage : a row per feature
    cut : sentences about what is left out
    speech : whose words
    unusable : videos of the dataset that cannot be used, with the reason
    """

    entries: Sequence[Entry] = ()
    seeds: Sequence[str] = ()
    videos: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    histories: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    coverage: Sequence[Mapping[str, Any]] = ()
    cut: Sequence[str] = ()
    speech: str = ""
    unusable: Sequence[str] = ()


def render_report(title: str, metrics: Mapping[str, Any], shown: Shown) -> str:
    """Return the report.

    Parameters
    ----------
    metrics : content of the system's metrics.json
    shown : everything else
    """
    random_weights = [f"{name} {w}" for name, w in metrics["provenance"]["weights"].items() if w.startswith("random(")]
    data = {"entries": shown.entries, "seeds": shown.seeds, "videos": shown.videos, "outcomes": OUTCOMES}
    skipped = Counter(entry["why"] for entry in shown.entries if entry.get("why"))
    return TEMPLATES.get_template("report.html.jinja").render(
        title=title,
        metrics=metrics,
        verdict=verdict(metrics),
        tables=[(_named(table.rules), table) for table in tables_of(metrics)],
        rule_sets=metrics.get("rule_sets", {}),
        published={name: published_rows(metrics, name) for name in metrics.get("rule_sets", {})},
        per_seed=metrics["seeds"] if isinstance(metrics["seeds"], Mapping) else {},
        curves=training_curves(shown.histories, chosen_epochs(metrics)) if any(shown.histories.values()) else [],
        shown=shown,
        skipped=skipped.most_common(LISTED_REASONS),
        n_reasons=len(skipped),
        unusable=shown.unusable[:LISTED_REASONS],
        random_weights=random_weights,
        left_out=left_out_notes(metrics),
        provenance=json.dumps(metrics["provenance"], indent=2, sort_keys=True),
        data=json_in_page(data | {"system": metrics["system"], "dataset": metrics["dataset"]}),
        script=Markup(SCRIPT),
        script_digest=b64encode(sha256(SCRIPT.encode()).digest()).decode(),
    )


def json_in_page(content: Any) -> Markup:
    """Return JSON that no HTML parser takes for a tag, an entity or the end of its element."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def verdict(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the headline: metric, value, interval or spread, and what answers without looking reach.

    None where nothing is scored.
    """
    rules = metrics.get("rules")
    if rules not in RULE_SETS or not metrics["metrics"]:
        return None
    own = metrics["metrics"]
    name = headline(rules, list(own))
    baselines = {
        label: metrics["baselines"][key]["metrics"][name]
        for key, label in BASELINES.items()
        if (metrics["baselines"].get(key) or {}).get("metrics", {}).get(name) is not None
    }
    return {
        "name": name,
        "value": own[name],
        "confidence": metrics.get("confidence", {}).get(name),
        "spread": metrics.get("spread", {}).get(name),
        "baselines": baselines,
    }


def chosen_epochs(metrics: Mapping[str, Any]) -> dict[str, int | None]:
    """Return the epoch whose weights each seed uses."""
    seeds = metrics["seeds"]
    of_seed = seeds if isinstance(seeds, Mapping) else dict.fromkeys(seeds, metrics)
    return {seed: own.get("provenance", {}).get("checkpoint", {}).get("epoch") for seed, own in of_seed.items()}


def _named(rules: str | None) -> str:
    if rules not in RULE_SETS:
        return ""
    return "captions of steps" if RULE_SETS[rules].about_steps else RULE_SETS[rules].task
