"""Which query of Charades-STA's text files is which in the tvr files; the two families number them differently."""

import pyarrow as pa

from workflow_scripts.lib.datasets.errors import UnknownQuery

CHARADES_QID_MAP = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("occurrence", pa.int32(), nullable=False),
        pa.field("text_query_id", pa.string(), nullable=False),
        pa.field("text_source_id", pa.string()),
        pa.field("tvr_query_id", pa.string()),
        pa.field("tvr_source_id", pa.string()),
    ]
)
"""One row per query of the text files; `tvr_*` are null for the four training queries that the tvr files lack."""


def charades_qid_map(text_queries: pa.Table, tvr_queries: pa.Table) -> pa.Table:
    """Match the queries of both families by split, video, sentence and occurrence.

    Parameters
    ----------
    text_queries, tvr_queries : pyarrow.Table
        Canonical tables of queries of one family each.

    Returns
    -------
    pyarrow.Table
        Columns of `CHARADES_QID_MAP`, in the order of `text_queries`.

    Raises
    ------
    UnknownQuery
        If a query of the tvr files is not in the text files.
    """
    counterparts = dict(_keyed(tvr_queries))
    rows = []
    for key, row in _keyed(text_queries):
        counterpart = counterparts.pop(key, {"query_id": None, "source_query_id": None})
        rows.append(
            {
                **dict(zip(("split", "video_id", "text", "occurrence"), key, strict=True)),
                "text_query_id": row["query_id"],
                "text_source_id": row["source_query_id"],
                "tvr_query_id": counterpart["query_id"],
                "tvr_source_id": counterpart["source_query_id"],
            }
        )
    if counterparts:
        (split, video_id, text, _), row = next(iter(counterparts.items()))
        raise UnknownQuery(
            row["query_id"],
            f"{len(counterparts)} queries without counterpart, first {text!r} of {video_id}",
            f"the same sentence in the text files' split {split!r}",
            "Check that the tables are those of Charades-STA, the one with 12,408 training queries first.",
        )
    return pa.Table.from_pylist(rows, CHARADES_QID_MAP)


def _keyed(queries: pa.Table) -> list[tuple[tuple[str, str, str, int], dict[str, str]]]:
    seen: dict[tuple[str, str, str], int] = {}
    found = []
    for row in queries.select(["split", "video_id", "text", "query_id", "source_query_id"]).to_pylist():
        sentence = (row["split"], row["video_id"], row["text"])
        found.append(((*sentence, seen.get(sentence, 0)), row))
        seen[sentence] = seen.get(sentence, 0) + 1
    return found
