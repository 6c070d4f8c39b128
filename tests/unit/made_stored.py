"""Made items whose rows lie in a feature store, and a count of what is read of it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models.systems.calce.system import System as Calce
from models.systems.img.config import Config as ImgConfig
from models.systems.img.system import System as Img
from models.systems.interface import Annotated, AnnotatedStep, FeatureRows, Item, Told
from models.systems.mrnet.config import Config as MrnetConfig
from models.systems.mrnet.system import System as Mrnet
from models.systems.quag.config import Config as QuagConfig
from models.systems.quag.system import System as Quag
from tests.unit import made_calce, made_training, made_uniq4cap
from workflow_scripts.lib.store.feature_store import FeatureStore, Places, StoredRows, write_index
from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
from workflow_scripts.lib.store.shard_writing import publish_shard
from workflow_scripts.lib.training.rows import RowsInStore

MRNET = {"dim": 16, "feature_dim": 12, "pre_clips": 16, "clips": 8, "pool_kernel": 2, "pooling_counts": [3, 2]}
QUAG = {"start": "random", "width": 16, "fusion_width": 12, "heads": 2, "layers": 1, "decoder_layers": 1, "ffn_dim": 16}
CALCE_FRAMES, CALCE_ROWS = 8, 64
"""CALCE looks at few of the frames that are stored."""


@dataclass
class Reads:
    """What was read of a store's files.

    Attributes
    ----------
    rows : number of rows of every read, by feature and id
    """

    rows: dict[tuple[str, str], list[int]] = field(default_factory=dict)


@contextlib.contextmanager
def counted() -> Iterator[Reads]:
    """Count every read of a feature store inside."""
    reads, read = Reads(), FeatureStore.read

    def counting(store: FeatureStore, video_id: str, rows: Places = slice(None)) -> StoredRows:
        found = read(store, video_id, rows)
        reads.rows.setdefault((store.root.name, video_id), []).append(len(found.values))
        return found

    FeatureStore.read = counting
    try:
        yield reads
    finally:
        FeatureStore.read = read


def write_store(root: Path, rows: dict[str, FeatureRows], dtype: str = "float32") -> FeatureStore:
    """Write rows by their ids as one shard of a feature, and open it."""
    [dim] = {own.values.shape[1] for own in rows.values()}
    parts = [
        (VideoRows(name, f"key-{name}", 0, 0, own.status, ""), own.values.astype(dtype), own.times)
        for name, own in rows.items()
    ]
    publish_shard(root / "0000.zarr", concatenate(parts, dim, dtype), {"encoder": root.name})
    write_index([root / "0000.zarr"], root / "index.parquet")
    return FeatureStore(root)


def in_store(items: list[Item], folder: Path) -> list[Item]:
    """Return the items with their rows in stores, a feature per stream; queries of one video share its rows."""
    lazy: dict[tuple[str, str], RowsInStore] = {}
    for stream in items[0].streams:
        owners = {owner_of(stream, item): item.streams[stream][0] for item in items}
        store = write_store(folder / stream, owners)
        lazy |= {(stream, owner): RowsInStore(store, owner, rows.status) for owner, rows in owners.items()}
    return [
        replace(item, streams={stream: [lazy[stream, owner_of(stream, item)]] for stream in item.streams})
        for item in items
    ]


def owner_of(stream: str, item: Item) -> str:
    return item.id if stream == "text" else item.video_id


def img() -> tuple[Any, list[Item]]:
    config = ImgConfig.model_validate(made_training.SETTINGS["config"]["settings"])
    return Img(config, {}, made_training.DIMS), [made_training.made_item(0)]


def mrnet() -> tuple[Any, list[Item]]:
    one, other = (made_training.made_item(number) for number in range(2))
    other = replace(other, video_id=one.video_id, streams=one.streams | {"text": other.streams["text"]})
    items = [replace(item, streams={name: item.streams[name] for name in ("visual", "text")}) for item in (one, other)]
    return Mrnet(MrnetConfig.model_validate({"network": MRNET}), {}, made_training.DIMS), items


def calce() -> tuple[Any, list[Item]]:
    config = made_calce.made_config(data={"n_frames": CALCE_FRAMES})
    items = [made_calce.made_item(1, n_rows=CALCE_ROWS)]
    return Calce(config, {}, {"visual": [made_calce.TOKENS * made_calce.WIDTH]}), items


def quag() -> tuple[Any, list[Item]]:
    item = made_training.made_item(0)
    bounds = item.annotated.moments[0].tolist()
    streams = {"visual": item.streams["visual"], "speech": item.streams["audio"], "text": item.streams["text"]}
    dims = {
        name: made_training.DIMS[old] for name, old in (("visual", "visual"), ("speech", "audio"), ("text", "text"))
    }
    annotated = Annotated(moments=item.annotated.moments, steps=(AnnotatedStep(*bounds, "ring it"),))
    system = Quag(QuagConfig.model_validate({"network": {"form": "quag", **QUAG}}), {}, dims)
    told = Told(moment=tuple(bounds), steps=(tuple(bounds),))
    return system, [replace(item, streams=streams, annotated=annotated, told=told)]


def uniq4cap() -> tuple[Any, list[Item]]:
    return made_uniq4cap.made_system(), [made_uniq4cap.made_item(0)]


SYSTEMS = {"img": img, "mrnet": mrnet, "calce": calce, "quag": quag, "uniq4cap": uniq4cap}
"""Every system that is trained by steps -> itself and items that are one unit of its training, or several."""
