"""SPICE, BERTScore and CLIPScore: against plain loops on small random models, and what is said without a model."""

import json
import math
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.stand_ins import write_program
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics import bert_score, caption_rules, captions, clip_score, spice
from workflow_scripts.lib.metrics.captions import CaptionTexts
from workflow_scripts.lib.metrics.errors import BadReference
from workflow_scripts.lib.metrics.optional_captions import WEIGHTS_OF, make_scorers
from workflow_scripts.lib.metrics.questions import Captions
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import OptionalMetric, Options
from workflow_scripts.score_captions import weight_paths

OWN = ["a man slices bread", "stir the soup", ""]
WANTED = [["he cuts the bread", "a man slices bread"], ["boil some soup"], ["mix flour"]]


def texts(own=OWN, wanted=WANTED):
    return CaptionTexts(own, wanted, own, wanted)


# BERTScore


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """A folder with a random RoBERTa of two narrow layers, and the vocabulary of single bytes."""
    torch = pytest.importorskip("torch")
    from transformers import RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("roberta")
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = ["Ġ", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} >= set(bert_score.FILES)
    return folder


def plain_bert_f1(model, tokenizer, caption, reference):
    """One pair at a time and without padding, cosine by cosine."""
    import torch

    sides = []
    for text in (caption, reference):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = model(ids, output_hidden_states=True).hidden_states[2][0].double()
        sides.append([(state, int(i) not in (0, 2)) for state, i in zip(states, ids[0], strict=True)])

    def share(of, among):
        best = []
        for vector, is_word in of:
            if is_word:
                cosines = [float(vector @ other / (vector.norm() * other.norm())) for other, _ in among]
                best.append(max(cosines))
        return sum(best) / len(best)

    precision, recall = share(sides[0], sides[1]), share(sides[1], sides[0])
    return 2 * precision * recall / (precision + recall)


def test_bertscore_equals_a_plain_loop(roberta):
    from transformers import RobertaModel, RobertaTokenizer

    found = bert_score.BertScore(bert_score.RobertaEmbedder(roberta, layer=2, batch_size=2))(texts())
    model = RobertaModel.from_pretrained(roberta, add_pooling_layer=False).eval()
    tokenizer = RobertaTokenizer.from_pretrained(roberta, add_prefix_space=True)
    for i in range(2):
        expected = max(plain_bert_f1(model, tokenizer, OWN[i], reference) for reference in WANTED[i])
        assert found[i] == pytest.approx(expected, abs=1e-5)
    assert found[0] == pytest.approx(1.0, abs=1e-6)
    assert found[2] == 0.0


def test_a_match_counts_words_only_but_may_find_its_nearest_anywhere():
    one = bert_score.Tokens(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([False, True]))
    other = bert_score.Tokens(np.array([[0.0, 5.0], [3.0, 4.0]]), np.array([False, True]))
    assert bert_score.match(one, other) == pytest.approx((1.0, 0.8, 2 * 0.8 / 1.8))
    without_words = bert_score.Tokens(np.ones((2, 2)), np.array([False, False]))
    assert bert_score.match(without_words, other) == (0.0, 0.0, 0.0)


# CLIPScore


@pytest.fixture(scope="module")
def small_clip():
    torch = pytest.importorskip("torch")
    from open_clip import CLIP

    torch.manual_seed(0)
    vision = {"layers": 1, "width": 64, "head_width": 16, "patch_size": 16, "image_size": 32}
    words = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    return clip_score.OpenClip(CLIP(8, vision, words), batch_size=2)


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.mark.parametrize("rule", clip_score.RULES)
def test_clipscore_equals_a_plain_loop(small_clip, pictures, rule):
    own = ["A dog runs", "a cat", "nothing to see"]
    shown_by = [pictures[:2], pictures[2:], []]
    images = [small_clip.images(chosen) for chosen in shown_by]
    found = clip_score.ClipScore(small_clip, rule)(CaptionTexts(own, [["x"]] * 3, own, [["x"]] * 3, shown_by))
    for caption, shown, value in zip(own[:2], images[:2], found[:2], strict=True):
        words = f"A photo depicts {caption}" if rule == "clipscore" else caption.lower()
        (row,) = small_clip.texts([words])
        cosines = [
            sum(a * b for a, b in zip(map(float, picture), map(float, row), strict=True))
            / math.sqrt(sum(float(a) ** 2 for a in picture) * sum(float(b) ** 2 for b in row))
            for picture in shown
        ]
        each = [2.5 * max(cosine, 0.0) for cosine in cosines] if rule == "clipscore" else cosines
        assert value == pytest.approx(sum(each) / len(each), rel=1e-5)
    assert np.isnan(found[2])


def test_texts_and_pictures_of_one_clip_are_told_apart_and_long_texts_are_cut(small_clip, pictures):
    rows = small_clip.images(pictures)
    assert rows.shape == small_clip.texts(["a", "b " * 200, "c"]).shape == (3, 8)
    assert np.allclose(rows[:1], small_clip.images(pictures[:1]), atol=1e-6)
    with pytest.raises(ValueError, match="unknown rule"):
        clip_score.clip_score([rows], rows[:1], "clip")


@pytest.mark.parametrize("shown_by", [None, [[], [], []]])
def test_clipscore_without_any_picture_is_refused(small_clip, shown_by):
    with pytest.raises(BadReference, match="pictures"):
        clip_score.ClipScore(small_clip)(CaptionTexts(OWN, WANTED, OWN, WANTED, shown_by))


# SPICE


@pytest.fixture
def corenlp(tmp_path):
    """An archive in the form of the published one, with empty jars."""
    path = tmp_path / "stanford-corenlp-full-2015-12-09.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*spice.JARS, "README.txt"):
            archive.writestr(f"stanford-corenlp-full-2015-12-09/{name}", "")
    return path


@pytest.fixture
def answering_java(tmp_path, monkeypatch):
    """A program in Java's place that answers as SPICE does, last caption first."""
    program = tmp_path / "java"
    answer = (
        "import json, sys\n"
        "arguments = sys.argv[1:]\n"
        "rows = json.load(open(arguments[arguments.index('edu.anu.spice.SpiceScorer') + 1]))\n"
        "scores = [{'image_id': r['image_id'], 'scores': {'All': {'f': len(r['test']) / 100 + len(r['refs'])}}}"
        " for r in reversed(rows)]\n"
        "json.dump(scores, open(arguments[arguments.index('-out') + 1], 'w'))\n"
    )
    write_program(program, answer)
    monkeypatch.setattr(spice, "check_java", lambda: program)


def test_spice_gives_every_caption_its_own_score(corenlp, answering_java):
    found = spice.Spice(corenlp)(texts())
    assert found.tolist() == [len(own) / 100 + len(wanted) for own, wanted in zip(OWN, WANTED, strict=True)]
    assert {path.name for path in corenlp.with_suffix("").iterdir()} == set(spice.JARS)


def test_spice_without_its_models_ends_with_what_java_says(corenlp):
    with pytest.raises(spice.SpiceUnavailable, match=r"(?s)SPICE ended with 1: .*"):
        spice.Spice(corenlp)(texts())


def test_another_archive_than_corenlp_is_named(tmp_path):
    path = tmp_path / "models.zip"
    path.write_text("no archive")
    with pytest.raises(spice.SpiceUnavailable, match=r"models\.zip: .*download it again"):
        spice.unpack_models(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(spice.SpiceUnavailable, match=r"models\.zip: .*3\.6\.0"):
        spice.unpack_models(path)


# Together


IDS = ["1", "2", "3"]
ASKED, ANSWERED = Captions(IDS, IDS, WANTED), Captions(IDS, IDS, [[text] for text in OWN])


@pytest.mark.parametrize("rules", ["captions", "hirest_captions"])
def test_optional_metrics_stand_beside_the_others_in_percent(rules, monkeypatch):
    made = {"SPICE": lambda given: np.array([0.5, 0.25, np.nan])}
    monkeypatch.setattr(caption_rules, "make_scorers", lambda options, rule: made)
    found = apply_rules(rules, ASKED, ANSWERED, Options(also=("SPICE",)))
    assert found.metrics["SPICE"] == 37.5
    assert found.per_query["SPICE"][:2].tolist() == [0.5, 0.25]
    assert list(found.metrics) == [*captions.METRICS, "SPICE"]


def test_the_rule_set_tells_the_form_of_clipscore_and_hands_on_texts_and_pictures(monkeypatch):
    seen = []

    def make(options, rule):
        def scorer(given):
            seen.append((rule, given.captions, given.pictures))
            return np.ones(3)

        return {"CLIPScore": scorer}

    monkeypatch.setattr(caption_rules, "make_scorers", make)
    pictures = [[Path("a.png")], [], []]
    loud = replace(ANSWERED, texts=[[text.upper()] for text in OWN])
    for rules in ("captions", "hirest_captions"):
        apply_rules(rules, replace(ASKED, pictures=pictures), loud, Options(also=("CLIPScore",)))
    assert seen == [
        ("clipscore", [text.upper() for text in OWN], pictures),
        ("hirest", OWN, pictures),
    ]


def test_models_are_loaded_from_their_files(roberta, corenlp, answering_java):
    options = Options(also=("SPICE", "BERTScore"), models={"SPICE": (corenlp,), "BERTScore": (roberta / "vocab.json",)})
    scorers = make_scorers(options, "clipscore")
    assert list(scorers) == ["SPICE", "BERTScore"]
    assert isinstance(scorers["BERTScore"], bert_score.BertScore)
    assert scorers["SPICE"](texts()).shape == (3,)


def test_a_rule_set_without_the_model_of_a_metric_says_which_file_and_how_to_get_it(tmp_path):
    options = Options(also=("BERTScore",), models={"BERTScore": (tmp_path / "model.safetensors",)})
    with pytest.raises(UserError, match=r"BERTScore: .*model\.safetensors.*snakemake --cores 1"):
        apply_rules("captions", ASKED, ANSWERED, options)


def run(tmp_path, *arguments):
    lines = [{"id": i, "caption": own, "references": WANTED[i]} for i, own in enumerate(OWN)]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command = [sys.executable, "-m", "workflow_scripts.score_captions", str(tmp_path / "captions.jsonl"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_scores_a_file(tmp_path):
    done = run(tmp_path, "--out", str(tmp_path / "m.json"))
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert set(metrics["metrics"]["all"]) == {*captions.METRICS, "n"}
    assert metrics["metrics"]["all"]["n"] == 3
    assert metrics["cautions"] == ["EmptyCaption: 1, in 2"]


@pytest.mark.parametrize(
    ("metric", "file"),
    [("SPICE", "stanford-corenlp-full"), ("BERTScore", "roberta-large/model"), ("CLIPScore", "ViT-B-32")],
)
def test_a_metric_without_its_model_says_so_before_anything_is_scored(tmp_path, metric, file):
    done = run(tmp_path, "--out", str(tmp_path / "m.json"), "--also", metric, "--weights", str(tmp_path / "weights"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {metric}: weights ")
    assert file in done.stderr
    assert "Download http" in done.stderr
    assert f"leave out `--also {metric}`" in done.stderr
    assert not Path(tmp_path / "m.json").exists()


def test_every_model_of_a_metric_is_in_the_registry(tmp_path):
    assert set(WEIGHTS_OF) == set(get_args(OptionalMetric))
    for metric in WEIGHTS_OF:
        with pytest.raises(UserError, match=metric):
            weight_paths(metric, tmp_path)
