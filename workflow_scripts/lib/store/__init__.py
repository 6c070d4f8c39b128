"""Files on disk: atomic writes, tables, digests, shards, the feature store and its incremental job."""
