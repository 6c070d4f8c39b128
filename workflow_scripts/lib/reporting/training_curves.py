"""Pictures of a training: every term of the loss by itself, and the scores on the selection split."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.reporting.page import svg_markup

TOTAL = "total"
NO_TERMS = ("epoch", "step", "lr")
"""Numbers of an epoch that are no loss."""

History = Sequence[Mapping[str, Any]]


def training_curves(histories: Mapping[str, History], chosen: Mapping[str, int | None]) -> list[tuple[str, Markup]]:
    """Return title and picture of every term of the loss, the total first, and of the selection scores.

    Parameters
    ----------
    histories : seed -> a row per epoch
    chosen : seed -> the epoch whose weights were kept; None where none was chosen
    """
    rows = [row for history in histories.values() for row in history]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in NO_TERMS))
    scores = [name for name in names if _is_score(name)]
    terms = sorted((name for name in names if name not in scores), key=lambda name: name != TOTAL)
    found = [(f"loss, {term}", _picture(histories, chosen, [term], f"{term} (mean of the epoch)")) for term in terms]
    losses = [name for name in scores if name.startswith("select_")]
    percents = [name for name in scores if name not in losses]
    if percents:
        found.append(("selection split, percent", _picture(histories, chosen, percents, "percent")))
    if losses:
        found.append(("selection split, loss", _picture(histories, chosen, losses, "loss")))
    return found


def _is_score(name: str) -> bool:
    return name.startswith("select_") or any(name in rules.columns for rules in RULE_SETS.values())


def _picture(
    histories: Mapping[str, History], chosen: Mapping[str, int | None], names: Sequence[str], unit: str
) -> Markup:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.2, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="epoch", ylabel=unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for seed, history in histories.items():
        for name in names:
            known = [(row["epoch"], row[name]) for row in history if name in row]
            label = f"{name}, {seed}" if len(histories) > 1 else name
            # A line of one point would not be seen.
            axes.plot(*zip(*known, strict=True), label=label, marker="." if len(known) == 1 else None)
        if chosen.get(seed) is not None:
            axes.axvline(chosen[seed], linestyle=":", color="#555", label=f"chosen, {seed}: epoch {chosen[seed]}")
    axes.legend(fontsize="x-small")
    return svg_markup(figure)
