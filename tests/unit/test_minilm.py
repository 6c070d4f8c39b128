"""MiniLM without the package: rows equal to the package's, and what is left to the package."""

import json
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

from models.encoders import minilm
from models.encoders.with_torch.minilm import MiniLmEncoder, is_plain
from tests.markdown_pages import ROOT
from tests.unit.test_encoders import minilm_folder

WORDS = "a red circle moves left, while someone says über naïve 日本語 don't U.S. 3.5km 😀 supercalifragilistic"


def sentences(seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["", " ", "word " * 300] + [
        " ".join(draw.choices(WORDS.split(), k=draw.randrange(1, 40))) for _ in range(29)
    ]


@pytest.mark.parametrize("output", ["tokens", "sentence"])
def test_rows_are_those_of_the_package_to_the_last_bit(output):
    config, folder = minilm.Config(output=output), minilm_folder()
    light, package = minilm.load(config, folder, "cpu"), MiniLmEncoder(config, folder, "cpu")
    assert type(light) is not type(package)
    assert light.dim == package.dim == 384
    for batch in (sentences(0), sentences(1)[3:8], ["one sentence"]):
        for own, theirs in zip(light.encode(batch), package.encode(batch), strict=True):
            assert (own.dtype, own.shape) == (theirs.dtype, theirs.shape)
            np.testing.assert_array_equal(own, theirs)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"model_type": "roberta"}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("modules.json", None),
    ],
)
def test_another_network_is_left_to_the_package(tmp_path, file, change):
    folder = shutil.copytree(minilm_folder(), tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    assert is_plain(folder)
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content[:2] if change is None else content | change))
    assert not is_plain(folder)
    (folder / file).unlink()
    assert not is_plain(folder)


def test_the_package_is_not_imported_for_it():
    code = (
        "import sys; from pathlib import Path; from models.encoders import minilm\n"
        f"minilm.load(minilm.Config(), Path({str(minilm_folder())!r}), 'cpu').encode(['a dog'])\n"
        "sys.exit(', '.join({'sentence_transformers', 'transformers', 'torch._dynamo'} & sys.modules.keys()) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
