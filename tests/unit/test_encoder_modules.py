"""Every encoder is built alike: settings that need no torch, and a class at the top of a module that does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.lib.configuration.compose import module_names

ENCODERS = Path(__file__).resolve().parents[2] / "models/encoders"
NAMES = module_names("models.encoders")


def test_settings_of_all_encoders_are_read_without_torch():
    imports = "".join(f"import models.encoders.{name}\n" for name in (*NAMES, "interface"))
    code = f"{imports}import sys; sys.exit(bool({{'torch', 'transformers', 'open_clip'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ENCODERS.parents[1]).returncode == 0


@pytest.mark.parametrize("path", sorted(ENCODERS.rglob("*.py")), ids=lambda path: str(path.relative_to(ENCODERS)))
def test_no_class_is_defined_inside_a_function(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [inner.name for node in functions for inner in ast.walk(node) if isinstance(inner, ast.ClassDef)] == []


def test_a_module_with_torch_belongs_to_the_encoder_of_its_name():
    loaded = {path.stem for path in (ENCODERS / "with_torch").glob("*.py")} - {"__init__"}
    assert loaded <= set(NAMES)
    for name in loaded:
        assert f"from models.encoders.with_torch.{name} import" in (ENCODERS / f"{name}.py").read_text()
