"""Compare two runs from their tables of single queries."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.bootstrap import compare


def compare_tables(
    first: pa.Table,
    second: pa.Table,
    first_name: str,
    second_name: str,
    rules: str | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compare every metric that both tables have, on the queries that both have.

    Parameters
    ----------
    first, second : tables `per_query.parquet`
    first_name, second_name : for messages
    rules : only this rule set; None: all that both have
    n_resamples, seed : of the bootstrap

    Returns
    -------
    one mapping per rule set and metric: both means on the common queries, `difference` (second less first) with `low`
    and `high`, all in percent, `p_value`, and how many queries are better, worse and common

    Raises
    ------
    UserError
        If the tables have no metric or no query in common.
    """
    columns = [_by_metric(table, rules) for table in (first, second)]
    common = [key for key in columns[0] if key in columns[1]]
    if not common:
        known = [", ".join(sorted({key[0] for key in found})) or "none" for found in columns]
        raise UserError(
            f"{first_name} and {second_name}: no rule set and metric in common; rule sets of the first: {known[0]}; "
            f"of the second: {known[1]}"
        )
    return [
        {"rules": key[0], "metric": key[1], **_compared(columns[0][key], columns[1][key], n_resamples, seed)}
        for key in common
        if set(columns[0][key]) & set(columns[1][key])
    ] or _refuse_other_queries(first_name, second_name)


def _refuse_other_queries(first_name: str, second_name: str) -> list[dict[str, Any]]:
    raise UserError(f"{first_name} and {second_name}: no query in common; are they of the same split?")


def _by_metric(table: pa.Table, rules: str | None) -> dict[tuple[str, str], dict[str, float]]:
    """Return (rule set, metric) -> query id -> value."""
    found = {}
    pairs = table.select(["rules", "metric"]).group_by(["rules", "metric"], use_threads=False).aggregate([])
    for key in zip(pairs["rules"].to_pylist(), pairs["metric"].to_pylist(), strict=True):
        if rules in (None, key[0]):
            chosen = table.filter(pc.and_(pc.equal(table["rules"], key[0]), pc.equal(table["metric"], key[1])))
            found[key] = dict(zip(chosen["query_id"].to_pylist(), chosen["value"].to_pylist(), strict=True))
    return found


def _compared(first: Mapping[str, float], second: Mapping[str, float], n_resamples: int, seed: int) -> dict[str, Any]:
    common = [query for query in first if query in second]
    values = [100 * np.array([run[query] for query in common]) for run in (first, second)]
    found = compare(*values, n_resamples=n_resamples, seed=seed)
    return {
        "first": float(values[0].mean()),
        "second": float(values[1].mean()),
        "difference": float(found.difference.mean),
        "low": float(found.difference.low),
        "high": float(found.difference.high),
        "p_value": found.p_value,
        "better": found.n_better,
        "worse": found.n_worse,
        "queries": len(common),
        "only_in_one": len(first) + len(second) - 2 * len(common),
    }


def comparison_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the comparison as a table for a terminal."""
    header = ["rule set", "metric", "first", "second", "difference", "95 % interval", "p", "better", "worse", "queries"]
    lines = [header]
    for row in rows:
        numbers = [f"{row['first']:.2f}", f"{row['second']:.2f}", f"{row['difference']:+.2f}"]
        interval = f"[{row['low']:+.2f}, {row['high']:+.2f}]"
        counts = [str(row[key]) for key in ("better", "worse", "queries")]
        lines.append([row["rules"], row["metric"], *numbers, interval, f"{row['p_value']:.3f}", *counts])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text = [
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    left_out = max(row["only_in_one"] for row in rows)
    if left_out:
        text.append(f"up to {left_out} values are of queries that only one of the runs has; they are left out")
    return "\n".join(text)


def mean_over_seeds(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the table of single queries of a system: the mean of its seeds, of the queries that all of them have.

    Parameters
    ----------
    tables : `per_query.parquet` of every seed
    """
    keys = ["rules", "metric", "query_id"]
    plain = [table.select([*keys, "value"]).cast(_PLAIN) for table in tables]
    found = pa.concat_tables(plain).group_by(keys, use_threads=False).aggregate([("value", "mean"), ("value", "count")])
    found = found.filter(pc.equal(found["value_count"], len(tables)))
    return found.select([*keys, "value_mean"]).rename_columns([*keys, "value"])


_PLAIN = pa.schema(
    [("rules", pa.string()), ("metric", pa.string()), ("query_id", pa.string()), ("value", pa.float64())]
)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, A simple sequentially rejective multiple test procedure, 1979).

    Parameters
    ----------
    p_values : of comparisons that are looked at together
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = largest
    return adjusted
