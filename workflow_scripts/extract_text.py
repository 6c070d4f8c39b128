"""Encode the queries that belong to one shard of videos."""

from collections.abc import Iterable, Iterator

import numpy as np

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.extraction.job import computed_rows, parse_job, run_job
from workflow_scripts.lib.extraction.networks import load_encoder
from workflow_scripts.lib.extraction.query_texts import encode_texts, texts_of
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.store.digest import digest_bytes
from workflow_scripts.lib.store.shard_job import Computed, Wanted
from workflow_scripts.lib.store.shards import is_in_shard
from workflow_scripts.lib.store.tables import read_table


def main() -> None:
    args, settings = parse_job(__doc__)
    queries = read_table(args.rows_of, ["query_id", "video_id", "modality", "text", "extra_json"]).to_pylist()
    texts = {
        row["query_id"]: texts_of(row, settings["recipe"].get("wordings"))
        for row in queries
        if row["modality"] == "text" and is_in_shard(row["video_id"], args.shard, args.n_shards)
    }
    batch_size, stalls = settings["runtime"]["batch_size"], Stalls()

    def compute(missing: Iterable[str]) -> Iterator[Computed]:
        encoder = load_encoder(settings)
        stalls.enter("compute")
        ids = list(missing)
        for start in range(0, len(ids), batch_size):
            batch = ids[start : start + batch_size]
            for query_id, rows in zip(batch, encode_texts(encoder.encode, [texts[q] for q in batch]), strict=True):
                # A token has no time in the video: its row number stands in, so that the store's form is the same.
                index = np.arange(len(rows), dtype=np.float64)
                yield computed_rows(query_id, rows, np.stack([index, index + 1], axis=1), encoder.dim, None)

    # A query without other wordings keeps the key that it has as a query alone.
    wanted = [Wanted(query_id, digest_bytes("\n".join(own).encode())) for query_id, own in texts.items()]
    run_job(settings, args.store, wanted, compute, stalls)


if __name__ == "__main__":
    run_entry_point(main)
