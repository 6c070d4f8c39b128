"""Every encoder is built alike: its class stands at the top of a module, of one with torch if it needs that.

That all settings are read without torch is tested in `test_encoders.py`.
"""

import ast
from pathlib import Path

import pytest

from workflow_scripts.lib.configuration.compose import module_names

ENCODERS = Path(__file__).resolve().parents[2] / "models/encoders"
NAMES = module_names("models.encoders")


@pytest.mark.parametrize("path", sorted(ENCODERS.rglob("*.py")), ids=lambda path: str(path.relative_to(ENCODERS)))
def test_no_class_is_defined_inside_a_function(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [inner.name for node in functions for inner in ast.walk(node) if isinstance(inner, ast.ClassDef)] == []


def test_a_module_with_torch_belongs_to_the_encoder_of_its_name():
    loaded = {path.stem for path in (ENCODERS / "with_torch").glob("*.py")} - {"__init__"}
    assert loaded <= set(NAMES)
    for name in loaded:
        assert f"from models.encoders.with_torch.{name} import" in (ENCODERS / f"{name}.py").read_text()
