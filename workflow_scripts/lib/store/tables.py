"""Parquet tables with the same bytes for the same content."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import atomic_path


class _NoPandas:
    """A finder of modules that knows one thing: pandas is not there."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def _keep_pandas_out() -> None:
    """Let pyarrow ask now, and only now, whether there is pandas.

    It asks when it is first given Python objects, and imports what it finds: as long as the probe of a shard of short
    clips takes. `to_pandas` imports it all the same.
    """
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(_NoPandas)


def _is_job() -> bool:
    """Return whether this process is an entry point of ours; what pyarrow knows in other programs is not ours."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name.startswith("workflow_scripts.")


if _is_job():
    _keep_pandas_out()


def write_table(path: Path | str, table: pa.Table, metadata: dict[str, str] | None = None) -> None:
    """Write `table` atomically as zstd-compressed Parquet.

    Parameters
    ----------
    path : Path or str
        The file to make; its folder is created when missing.
    table : pyarrow.Table
        What to write. Chunk borders and any metadata already in its schema leave no trace in the file.
    metadata : dict of str to str, optional
        File-level notes, read back as `read_table(path).schema.metadata`.
    """
    notes = dict(sorted((metadata or {}).items()))
    plain = table.combine_chunks().replace_schema_metadata(notes or None)
    with atomic_path(path) as temporary:
        pq.write_table(plain, temporary, compression="zstd", write_page_checksum=True)


def read_table(path: Path | str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file.

    Parameters
    ----------
    path : Path or str
        The file.
    columns : sequence of str, optional
        Only these columns.

    Raises
    ------
    UserError
        If the file is missing, is not Parquet, lacks a column, or a page of it does not have its checksum.
    """
    source = Path(path)
    if not source.is_file():
        raise UserError(f"{source}: no such table. Run the rule that makes it first.")
    try:
        with pq.ParquetFile(source, page_checksum_verification=True) as parquet:
            missing = sorted(set(columns or ()) - set(parquet.schema_arrow.names))
            if missing:
                known = ", ".join(parquet.schema_arrow.names)
                raise UserError(
                    f"{source}: no column {', '.join(missing)}. Columns there: {known}. If another version of the code "
                    "made it, delete it and run again."
                )
            table = parquet.read(columns=list(columns) if columns is not None else None)
            if len(table) != parquet.metadata.num_rows:
                raise pa.ArrowInvalid(f"{len(table)} of {parquet.metadata.num_rows} rows")
            return table
    except OSError as error:
        if error.errno is not None:
            raise
        # What Arrow says about a page whose checksum differs.
        raise UserError(f"{source}: damaged ({error}). Delete it and run again.") from error
    except pa.ArrowInvalid as error:
        raise UserError(f"{source}: not a readable Parquet file ({error}). Delete it and run again.") from error
