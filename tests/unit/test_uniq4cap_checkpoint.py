"""UniQ4Cap's published weights: strict import, and a start from BERT and BLIP-2 that says what it drops."""

from typing import Any

import pytest
import torch

from models.systems.uniq4cap.checkpoint import HEAD, POSITION_NUMBERS, TIED, WORDS, start_from_published, trained_state
from models.systems.uniq4cap.network import Captioner
from tests.unit.made_uniq4cap import AUDIO, VIDEO, VOCABULARY, made_config, made_network

N_WORDS = len(VOCABULARY) + 1
BODY = "Qformer.bert.encoder.layer.1.attention.self.key.weight"


def published(network: Captioner) -> dict[str, Any]:
    """Return a captioner as it is published, towers and doubles included."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state |= {double: state[name].clone() for double, name in TIED.items()}
    state |= {POSITION_NUMBERS: torch.arange(16)[None], "video_encoder.embeddings.position_ids": torch.arange(3)[None]}
    return state


def bert(network: Captioner) -> dict[str, Any]:
    """Return a BERT with other numbers, under the names of its own checkpoint; older ones call norms gamma and beta."""
    torch.manual_seed(7)
    state = {"bert.pooler.dense.weight": torch.zeros(2, 2)}
    for name, tensor in network.state_dict().items():
        if name.startswith("Qformer.") and "crossattention" not in name and "_query" not in name:
            rows = tensor[:-1] if name in (WORDS, f"{HEAD}bias") else tensor
            old = name.removeprefix("Qformer.").replace("LayerNorm.weight", "LayerNorm.gamma")
            state[old] = torch.randn_like(rows)
    return state


def blip2(network: Captioner, queries: int = 2) -> dict[str, Any]:
    """Return a BLIP-2 with other numbers, few queries and words of its own."""
    torch.manual_seed(8)
    state = {
        name: torch.randn_like(tensor)
        for name, tensor in network.state_dict().items()
        if not name.startswith(("ln_", "video_", "audio_", *TIED))
    }
    state["query_tokens"] = torch.randn(1, queries, network.query_tokens.shape[2])
    state[WORDS], state[f"{HEAD}bias"] = torch.randn(40, 24), torch.randn(40)
    return {"model": state | {"ln_vision.weight": torch.zeros(3)}}


def new_network(**network: Any) -> tuple[Captioner, Any]:
    config = made_config(network={"start": "published", **network}).network
    torch.manual_seed(1)
    return Captioner(config, N_WORDS, VIDEO, AUDIO), config


def test_a_published_captioner_is_imported_with_all_its_words():
    network = made_network()
    state = {f"module.{name}": tensor for name, tensor in published(network).items()}
    other = made_network(seed=5)
    other.load_state_dict(trained_state(other, {"model": state, "optimizer": {}}), strict=True)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop(BODY), "missing.*key.weight"),
        (lambda state: state.update(other=torch.zeros(1)), "unknown.*other"),
        (lambda state: state.update(temp=torch.zeros(2)), "temp"),
        (lambda state: state[f"{HEAD}decoder.weight"].add_(1), "must be equal to"),
    ],
)
def test_the_import_is_strict(change, message):
    network = made_network()
    state = published(network)
    change(state)
    with pytest.raises(ValueError, match=message):
        trained_state(network, state)


def test_a_start_takes_the_body_of_blip2_and_the_words_of_bert_and_says_so():
    network, config = new_network()
    words, body = bert(network), blip2(network)["model"]
    row_of_dec = network.state_dict()[WORDS][-1].clone()
    start = start_from_published(network, config, words, {"model": body})
    state = network.state_dict()
    assert torch.equal(state[BODY], body[BODY])
    assert torch.equal(state[WORDS][:-1], words["bert.embeddings.word_embeddings.weight"])
    assert torch.equal(state[WORDS][-1], row_of_dec)
    assert torch.equal(state[f"{HEAD}bias"][:-1], words["cls.predictions.bias"])
    assert torch.equal(state["query_tokens"], body["query_tokens"].repeat(1, 2, 1))
    assert torch.equal(state["temp"], body["temp"])
    assert {WORDS, f"{HEAD}bias", f"{HEAD}transform.dense.weight"} <= set(start.dropped) & set(start.from_bert)
    assert set(start.new) == {f"{n}.{k}" for n in ("ln_video", "ln_audio") for k in ("weight", "bias")} | {
        f"{n}_project.{k}" for n in ("video", "audio") for k in ("weight", "bias")
    }
    assert start.unused == ["Qformer.bert.pooler.dense.weight", "ln_vision.weight"]
    assert WORDS in str(start)
    parts = (start.from_bert, start.twins, start.from_blip2, start.new)
    assert sorted(name for part in parts for name in part) == sorted(state)


def test_what_blip2_lacks_of_the_queries_parts_comes_from_the_words():
    network, config = new_network()
    words, body = bert(network), blip2(network)["model"]
    name = "Qformer.bert.encoder.layer.0.intermediate_query.dense.weight"
    del body[name]
    start = start_from_published(network, config, words, body)
    assert start.twins == [name]
    assert torch.equal(network.state_dict()[name], words["bert.encoder.layer.0.intermediate.dense.weight"])


def test_blip2s_words_are_taken_where_they_are_wanted():
    network, config = new_network(bert="uncased", drop_embeddings=False)
    body = blip2(network)["model"]
    with pytest.raises(ValueError, match="BLIP-2 does not fit"):
        start_from_published(network, config, bert(network), body)
    body |= {WORDS: torch.randn(N_WORDS, 24), f"{HEAD}bias": torch.randn(N_WORDS)}
    start = start_from_published(network, config, bert(network), body)
    assert not start.dropped
    assert torch.equal(network.state_dict()[WORDS], body[WORDS])


def test_more_queries_are_repeated_told_apart_or_new():
    def halves(**options) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        network, config = new_network(**options)
        new = network.query_tokens.detach().clone()
        start_from_published(network, config, bert(network), blip2(network))
        return network.query_tokens[:, :2], network.query_tokens[:, 2:], new

    first, second, _ = halves(tile_noise=0.02)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, second, atol=0.2, rtol=0)
    first, second, new = halves(query_init="random")
    assert torch.equal(torch.cat([first, second], dim=1), new)
    network, config = new_network(queries=5)
    with pytest.raises(ValueError, match="multiple of the 2"):
        start_from_published(network, config, bert(network), blip2(network))


def test_a_captioner_is_no_start_since_it_would_lose_its_words():
    network, config = new_network()
    with pytest.raises(ValueError, match="checkpoint_file"):
        start_from_published(network, config, bert(network), {"model": published(made_network())})


@pytest.mark.parametrize("file", ["bert", "blip2"])
def test_a_file_of_which_nothing_fits_is_refused(file):
    network, config = new_network()
    files = {"bert": bert(network), "blip2": blip2(network)} | {file: {"other": torch.zeros(1)}}
    with pytest.raises(ValueError, match=f"nothing of {file}"):
        start_from_published(network, config, files["bert"], files["blip2"])
