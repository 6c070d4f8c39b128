"""Word vectors and sentence means: files as published, words without a vector, keys."""

import shutil
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.encoders import glove, sentence_mean, word_average
from tests.unit.test_encoders import minilm_folder, word_average_folder

LINES = "dog 1 0\n. . 9 9\ncat 5 5\ncat 0 2\nclose 3 3 3\n"


@pytest.fixture(params=["text", "zip"])
def vectors(request, tmp_path):
    """A GloVe file of two values per word: a word with a space, a repeated one, a line too long."""
    if request.param == "text":
        (tmp_path / "glove.txt").write_text(LINES)
        return tmp_path / "glove.txt"
    with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
        archive.writestr("glove.txt", LINES)
    return tmp_path / "glove.zip"


def test_a_word_gets_its_last_vector_and_an_unknown_one_zeros(vectors):
    encoder = glove.load(glove.Config(dim=2), vectors, "cpu")
    cat, none = encoder.encode(["The dog, the Cat.", ""])
    assert cat.tolist() == [[0, 0], [1, 0], [0, 0], [0, 0], [0, 2], [0, 0]]
    assert none.shape == (0, 2)
    assert encoder.encode(["dog"])[0].tolist() == [[1, 0]]


def test_splitting_at_spaces_leaves_punctuation_at_the_words(vectors):
    encoder = glove.load(glove.Config(dim=2, tokenizer="spaces"), vectors, "cpu")
    assert encoder.encode(["Dog cat."])[0].tolist() == [[1, 0], [0, 0]]


def test_a_file_of_another_dimension_is_refused(vectors):
    with pytest.raises(ValueError, match="no line has a word and 50 values"):
        glove.load(glove.Config(dim=50), vectors, "cpu").encode(["dog"])


def test_a_sentence_mean_is_that_of_normalised_token_states():
    from transformers import AutoModel, AutoTokenizer

    folder, text = str(minilm_folder()), "somebody closes the door"
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state
        expected = torch.nn.LayerNorm(384)(states).mean(1)
        plain = states.mean(1)
    (found,) = sentence_mean.load(sentence_mean.Config(), folder, "cpu").encode([text])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    (found,) = sentence_mean.load(sentence_mean.Config(layer_norm=False), folder, "cpu").encode([text])
    np.testing.assert_allclose(found, plain, atol=1e-5)


@pytest.mark.parametrize("fault", ["missing", "unexpected"])
def test_a_transformers_folder_is_loaded_strictly(tmp_path, fault):
    folder = shutil.copytree(minilm_folder(), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    value = tensors.pop("encoder.layer.0.output.dense.bias")
    if fault == "unexpected":
        tensors |= {"encoder.layer.0.output.dense.bias": value, "encoder.layer.99.bias": value.clone()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RuntimeError, match=rf"{fault} keys \['encoder\.layer\.(0\.output\.dense|99)\.bias'\]"):
        sentence_mean.load(sentence_mean.Config(), folder, "cpu")


def test_heads_that_predict_words_are_left_out(tmp_path):
    folder = shutil.copytree(minilm_folder(), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors = {key: value for key, value in tensors.items() if not key.startswith("pooler.")}
    save_file(
        tensors | {"cls.predictions.bias": torch.zeros(3)}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    assert sentence_mean.load(sentence_mean.Config(), folder, "cpu").dim == 384


def test_a_word_average_leaves_unknown_words_and_stop_words_out():
    encoder = word_average.load(word_average.Config(), word_average_folder(), "cpu")
    both, one, none = encoder.encode(["a red dog", "red zebra", "zebra"])
    (red,) = encoder.encode(["red"])
    (dog,) = encoder.encode(["dog"])
    np.testing.assert_allclose(both, (red + dog) / 2, atol=1e-6)
    np.testing.assert_allclose(one, red, atol=1e-6)
    assert not none.any()
