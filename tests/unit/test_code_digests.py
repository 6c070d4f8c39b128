"""Changing code that makes numbers asks for a decision: new numbers (raise the version) or not (accept the digest)."""

import ast
import json

import pytest

from tests.code_digests import LIBRARY, MEDIA, RECORD, code_digest, current, parts, where_to_raise
from workflow_scripts.lib.configuration.schema import Resize, Sampling
from workflow_scripts.lib.media.resize import RESIZE_RULES
from workflow_scripts.lib.media.sampling import RULES
from workflow_scripts.lib.versions import RAISED

RECORDED = json.loads(RECORD.read_text())
CURRENT = current()
DECIDES_NO_NUMBER = {"__init__", "media_error", "proxy_clips", "thumbnails", "video_files"}
"""Modules of `media` that find files, say what is wrong with them, or draw for people."""


@pytest.mark.parametrize("part", sorted(CURRENT))
def test_numbers_may_differ_raise_the_version_or_accept_the_digest(part):
    found, recorded = CURRENT[part], RECORDED.get(part)
    assert recorded is not None, f"new part {part}: run `make accept-digest`"
    assert found == recorded, (
        f"the code of {part} changed. If its numbers may differ from before, raise {where_to_raise(part)}; "
        "in either case run `make accept-digest`"
    )


def test_no_digest_is_left_of_a_part_that_is_gone():
    assert RECORDED.keys() == CURRENT.keys()


def test_every_module_of_the_media_belongs_to_a_part():
    assigned = {name for names in MEDIA.values() for name in names}
    assert assigned | DECIDES_NO_NUMBER == {path.stem for path in (LIBRARY / "media").glob("*.py")}


def test_a_raised_version_is_that_of_a_part():
    rules = {f"sampling/{rule}" for rule in RULES} | {f"resize/{rule}" for rule in RESIZE_RULES}
    single = {part for part in parts() if not part.startswith("encoder/")} - {"sampling", "resize"}
    assert RAISED.keys() <= rules | single
    assert all(version > 1 for version in RAISED.values())
    for kind, model in (("sampling", Sampling), ("resize", Resize)):
        named = ast.literal_eval(repr(model.model_fields["rule"].annotation.__args__))
        assert {f"{kind}/{rule}" for rule in named} <= rules


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ('"""Another."""\nRECIPE_VERSION = 2\nx = Field(1, description="b")  # why\n', True),
        ('"""Doc."""\nRECIPE_VERSION = 1\nx = Field(2, description="a")\n', False),
        ('"""Doc."""\nRECIPE_VERSION = 1\nx = Field(1, title="a")\n', False),
    ],
)
def test_only_what_the_machine_reads_is_in_a_digest(tmp_path, other, is_same):
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text('"""Doc."""\nRECIPE_VERSION = 1\nx = Field(1, description="a")\n')
    second.write_text(other)
    assert (code_digest([first]) == code_digest([second])) == is_same


def test_a_system_counts_the_layers_that_it_uses():
    names = {part: {path.stem for path in modules} for part, modules in parts().items()}
    assert {"losses", "network", "resampling"} <= names["system/img"]
    assert "nms" in names["system/mrnet"] - names["system/img"]
    assert "sentence_layouts" in names["reader/tacos"]
    assert "annotation_tables" in names["annotations"] - names["reader/tacos"]
