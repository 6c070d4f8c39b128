"""Fit principal components on all rows of a feature and store them, as `more_weights` of c3d needs them."""

import argparse
import json
import logging
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.decomposition import PCA

from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.store.atomic import atomic_path
from workflow_scripts.lib.store.feature_store import FeatureStore

log = logging.getLogger(__name__)


def fit(rows: np.ndarray, n_components: int, seed: int) -> dict[str, np.ndarray]:
    """Return `mean` (D,) and `components` (K, D), float32, of rows (N, D).

    Notes
    -----
    scikit-learn's default solver, not whitened, as MRNet reduced C3D on TACoS; for large tables it draws random
    numbers, here from `seed`.

    Raises
    ------
    UserError
        there are fewer rows or columns than components
    """
    if n_components > min(rows.shape):
        raise UserError(f"{n_components} components need as many rows and columns; the feature has {rows.shape}")
    found = PCA(n_components, random_state=seed).fit(rows)
    log.info("%d components of %d rows keep %.1f %% of the variance", n_components, len(rows), 100 * kept(found))
    return {"mean": found.mean_.astype(np.float32), "components": found.components_.astype(np.float32)}


def kept(found: PCA) -> float:
    """Return the share of the variance that the components keep."""
    return float(found.explained_variance_ratio_.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("feature", type=Path, help="index.parquet of the feature")
    parser.add_argument("--components", type=int, default=500, help="how many (published: 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the solver")
    parser.add_argument("--out", required=True, type=Path, help="safetensors file to write")
    args = parser.parse_args()
    store = FeatureStore(args.feature.parent)
    parts = [store[video_id].values for video_id in sorted(store)]
    tensors = fit(np.concatenate([np.zeros((0, store.dim), np.float32), *parts]), args.components, args.seed)
    fitted_on = {"recipe": json.dumps(store.recipe, sort_keys=True), "seed": str(args.seed)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(args.out) as temporary:
        save_file(tensors, temporary, metadata=fitted_on)


if __name__ == "__main__":
    run_entry_point(main)
