"""Encode the queries that belong to a shard of videos, or to several."""

from collections.abc import Iterable, Iterator

import numpy as np

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.job import computed_rows, parse_job, queries_of_shards, run_jobs
from workflow_scripts.lib.extraction.networks import loaded_once
from workflow_scripts.lib.extraction.query_texts import encode_texts, texts_of
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.store.digest import digest_bytes
from workflow_scripts.lib.store.shard_job import Computed, Wanted


def main() -> None:
    args, settings = parse_job(__doc__)
    shards = queries_of_shards(args, ["query_id", "video_id", "modality", "text", "extra_json"], "text")
    wordings = settings["recipe"].get("wordings")
    texts = {row["query_id"]: texts_of(row, wordings) for rows in shards for row in rows}
    load, batch_size, stalls = loaded_once(settings), settings["runtime"]["batch_size"], Stalls()

    def compute(missing: Iterable[str]) -> Iterator[Computed]:
        encoder = load()
        stalls.enter("compute")
        ids = list(missing)
        for start in range(0, len(ids), batch_size):
            batch = ids[start : start + batch_size]
            for query_id, rows in zip(batch, encode_texts(encoder.encode, [texts[q] for q in batch]), strict=True):
                # A token has no time in the video: its row number stands in, so that the store's form is the same.
                index = np.arange(len(rows), dtype=np.float64)
                yield computed_rows(query_id, rows, np.stack([index, index + 1], axis=1), encoder.dim, None)

    # A query without other wordings keeps the key that it has as a query alone.
    keys = {query_id: digest_bytes("\n".join(own).encode()) for query_id, own in texts.items()}
    wanted = [[Wanted(row["query_id"], keys[row["query_id"]]) for row in rows] for rows in shards]
    run_jobs(settings, args.store, wanted, compute, stalls)


if __name__ == "__main__":
    run_entry_point(main)
