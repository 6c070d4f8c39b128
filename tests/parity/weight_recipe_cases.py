"""`cases.json` of the extractor networks: checksums of a few seeded weights of every network."""

import hashlib
import json
from pathlib import Path

from models.weights import seeded_state
from tests.parity.harness import Check, has_files


def claims(folder: Path) -> bool:
    """Return whether the folder has a `cases.json` with weight checks; a broken file is left to the other handlers."""
    if not has_files(folder, "cases.json"):
        return False
    return '"weight_checks"' in (folder / "cases.json").read_text()


def checks(folder: Path) -> list[Check]:
    """Return one check per network."""
    cases = json.loads((folder / "cases.json").read_text())
    return [
        Check(f"{name}-weights", lambda _, case=case: check_weights(case))
        for name, case in cases.items()
        if isinstance(case, dict) and "weight_checks" in case
    ]


def check_weights(case: dict) -> None:
    shapes = {key: tuple(check["shape"]) for key, check in case["weight_checks"].items()}
    state = seeded_state(shapes, case["weight_seed"], case["gain"])
    for key, check in case["weight_checks"].items():
        digest = hashlib.sha256(state[key].astype("<f4").tobytes()).hexdigest()
        assert digest.startswith(check["sha256_16"]), f"{key}: first values {state[key].ravel()[:3]}"
