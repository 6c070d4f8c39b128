"""Cases of UniQ4Cap: `captioner_*` files of one folder, from the towers' tokens to captions and gradients.

Beside it, where they are there, losses of alignment and points of the learning rate (`frontend_and_aux*`).

Sizes come from the `config` of the meta file and from the shapes of the weights, options of decoding from its `decode`.
"""

import json
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.systems.uniq4cap import alignment, captioning, losses, optimisation
from models.systems.uniq4cap.checkpoint import trained_state
from models.systems.uniq4cap.config import Config, DecodingConfig, LossConfig, TrainConfig
from models.systems.uniq4cap.losses import Negatives
from models.systems.uniq4cap.network import Captioner
from models.systems.uniq4cap.words import CaptionWords
from tests.parity.harness import Check, has_files
from tests.parity.uniq4cap_tower_cases import assert_close

TOLERANCE = 2e-5
"""Absolute, of float32 in another order of sums."""
GRADIENT_TOLERANCE = 1e-4
"""Relative."""
STEP_TOLERANCE = 1e-6
"""Absolute, of parameters whose gradient is above it too."""
RATE_TOLERANCE = 1e-12
RATES, ALIGNMENT = "frontend_and_aux_meta.json", "frontend_and_aux.safetensors"
SAMPLED = DecodingConfig(mode="nucleus", min_length=4, max_length=14)
"""What the stored chances of drawing were made with."""
STEP = TrainConfig(learning_rate=2e-4, weight_decay=0.05)
"""Of the stored optimiser step."""
PAST_KEYS = "triple.past_key_layer"
ONLY_WRITING = {"mtc": 0.0, "mtm": 0.0}


def claims(folder: Path) -> bool:
    """Return whether the folder holds the captioner or losses of alignment."""
    return any(has_files(folder, name) for name in ("captioner_state.safetensors", RATES, ALIGNMENT))


def checks(folder: Path) -> list[Check]:
    """Return the checks of all that is there."""
    found = []
    if has_files(folder, "captioner_state.safetensors"):
        found += [Check(name, partial(_run, check)) for name, check in CaptionerCase(folder).checks().items()]
    if has_files(folder, RATES):
        found.append(Check("learning-rate", partial(check_rates, folder / RATES)))
    if has_files(folder, ALIGNMENT):
        found.append(Check("alignment", partial(check_alignment, folder / ALIGNMENT)))
    return found


def _run(check: Callable[[], None], data_path: Path | None) -> None:
    check()


def check_rates(path: Path, data_path: Path | None) -> None:
    schedules = json.loads(path.read_text())["lr"]
    assert schedules
    for schedule in schedules:
        train = TrainConfig(
            epochs=schedule["max_epoch"],
            learning_rate=schedule["init_lr"],
            min_rate=schedule["min_lr"],
            warmup_rate=schedule["warmup_lr"],
            warmup_steps=schedule["warmup_steps"],
        )
        for epoch, step, expected in schedule["points_epoch_iter_lr"]:
            assert abs(optimisation.rate(epoch, step, train) - expected) < RATE_TOLERANCE, (epoch, step)


def check_alignment(path: Path, data_path: Path | None) -> None:
    case = {name.removeprefix("align."): t for name, t in load_file(path).items() if name.startswith("align.")}
    scale = case["logit_scale"].exp()
    assert_close(alignment.nce(case["v"], case["t"], scale).view(1), case["nce"], TOLERANCE)
    found = alignment.mil_nce(case["a"], case["tbag"], case["bag_mask"].bool(), scale)
    for own, expected in zip((*found, sum(found) / 2), ("mil_nce_a2t", "mil_nce_t2a", "mil_nce"), strict=True):
        assert_close(own.view(1), case[expected], TOLERANCE)


class CaptionerCase:
    """A captioner of a folder; everything is computed on first use."""

    def __init__(self, folder: Path) -> None:
        self.state = load_file(folder / "captioner_state.safetensors")
        self.stored = load_file(folder / "captioner_io.safetensors")
        self.meta: dict[str, Any] = json.loads((folder / "captioner_meta.json").read_text())
        sizes = self.meta["config"]
        self.words = CaptionWords(self.meta["vocab"], lowercase=False)
        self.config = Config.model_validate(
            {
                "network": {
                    "start": "random",
                    "queries": sizes["nq"],
                    "width": sizes["hid"],
                    "layers": sizes["layers"],
                    "heads": sizes["heads"],
                    "ffn_dim": sizes["inter"],
                    "look_every": sizes["freq"],
                    "media_width": len(self.state["video_project.weight"]),
                    "shared_width": sizes["embed"],
                    "positions": sizes["maxpos"],
                },
                "data": {"max_words": sizes["maxtxt"]},
            }
        )

    def build(self) -> Captioner:
        """Return a network in evaluation mode with the case's weights."""
        widths = (self.state[f"{name}_project.weight"].shape[1] for name in ("video", "audio"))
        network = Captioner(self.config.network, len(self.words.vocabulary), *widths)
        network.load_state_dict(trained_state(network, self.state), strict=True)
        return network.eval()

    @property
    def batch(self) -> dict[str, Any]:
        """What the network sees: the stored tokens of both towers, the stored texts."""
        return {
            "video": self.stored["video.tokens"],
            "audio": self.stored["audio.tokens"],
            "ids": self.stored["text.input_ids"].long(),
            "ids_mask": self.stored["text.attention_mask"].bool(),
            "start_writing": self.words.ids.start_writing,
        }

    @cached_property
    def negatives(self) -> Negatives:
        """The stored negatives."""
        return Negatives(self.stored["triple.neg_media_idx"].long(), self.stored["triple.neg_text_idx"].long())

    def checks(self) -> dict[str, Callable[[], None]]:
        """Return the checks by name: one per way of decoding that has options, and those of the whole network."""
        found = {check.__name__.removeprefix("check_"): partial(check, self) for check in ALL}
        for name, decoded in self.meta["decode"].items():
            if isinstance(decoded, dict) and "options" in decoded:
                found[f"captions-{name}"] = partial(check_captions, self, name)
        return found


def check_words(case: CaptionerCase) -> None:
    """Word pieces, ids with padding, and the special words."""
    special, ids = case.meta["special"], case.words.ids
    assert [ids.pad, ids.start, ids.end, ids.start_writing] == [special[n] for n in ("pad", "cls", "sep", "dec")]
    for text, expected in case.meta["tokenised"].items():
        assert [case.words.vocabulary[number] for number in case.words.pieces(text)] == expected
    longest = case.config.data.max_words
    encoded = [case.words.encode(text, longest) for text in case.meta["texts"]]
    padded = [own + [ids.pad] * (longest - len(own)) for own in encoded]
    assert padded == case.stored["text.input_ids"].tolist()
    assert [[n < len(own) for n in range(longest)] for own in encoded] == case.batch["ids_mask"].tolist()


def check_passes(case: CaptionerCase) -> None:
    """The passes of the Q-Former: queries, text alone, both, captions."""
    network, batch, stored = case.build(), case.batch, case.stored
    with torch.no_grad():
        media = network.media(batch["video"], batch["audio"])
        assert_close(media, stored["triple.fused_tokens"], TOLERANCE)
        asked = network.ask(media)
        assert_close(asked.rows, stored["triple.query_out"], TOLERANCE)
        keys = {name: t for name, t in stored.items() if name.startswith(PAST_KEYS)}
        assert keys
        for name, expected in keys.items():
            assert_close(asked.pairs[int(name.removeprefix(PAST_KEYS))][0], expected, TOLERANCE)
        media_vectors = network.compared_media(asked.rows)
        first_rows = network.read(batch["ids"], batch["ids_mask"])
        text_vectors = network.compared_texts(first_rows)
        assert_close(media_vectors, stored["triple.query_feat"], TOLERANCE)
        assert_close(first_rows, stored["triple.text_cls"], TOLERANCE)
        assert_close(text_vectors, stored["triple.text_feat"], TOLERANCE)
        alike = torch.einsum("iqd,jd->ijq", media_vectors, text_vectors)
        assert_close(alike, stored["triple.sim_q2text"], TOLERANCE)
        decoder_ids = batch["ids"].clone()
        decoder_ids[:, 0] = batch["start_writing"]
        assert decoder_ids.tolist() == stored["triple.decoder_input_ids"].tolist()
        labels = decoder_ids.masked_fill(~batch["ids_mask"], losses.IGNORED)
        assert labels.tolist() == stored["triple.labels"].tolist()
        logits = network.write(asked.pairs, decoder_ids, batch["ids_mask"])
        assert_close(logits, stored["triple.lm_logits"], TOLERANCE)


def check_losses(case: CaptionerCase) -> None:
    network, batch, stored = case.build(), case.batch, case.stored
    with torch.no_grad():
        asked = network.ask(network.media(batch["video"], batch["audio"]))
        found = losses.similarities(network, asked.rows, batch["ids"], batch["ids_mask"])
        assert_close(found.of_media, stored["triple.sim_m2t"], TOLERANCE)
        assert_close(found.of_texts, stored["triple.sim_t2m"], TOLERANCE)
        assert_close(losses.negative_weights(found.of_media, found.own), stored["triple.neg_weights_m2t"], TOLERANCE)
        assert_close(losses.negative_weights(found.of_texts, found.own), stored["triple.neg_weights_t2m"], TOLERANCE)
        texts = (batch["ids"], batch["ids_mask"])
        scores = losses.matching_logits(network, asked.memory, *texts, case.negatives, losses.Choice(*texts))
        assert_close(scores, stored["triple.mtm_logits"], TOLERANCE)
        terms = losses.loss_terms(network, batch, case.config.loss, case.negatives)
        names = {"total": "triple.loss", **{name: f"triple.loss_{name}" for name in ("mtc", "mtm", "mgm")}}
        assert terms.keys() == names.keys()
        for name, theirs in names.items():
            assert_close(terms[name].view(1), stored[theirs], TOLERANCE)
        alone = losses.loss_terms(network, batch, LossConfig.model_validate(ONLY_WRITING))
        assert alone.keys() == {"total", "mgm"}
        assert_close(alone["total"].view(1), stored["lm_only.loss"], TOLERANCE)


def check_gradients(case: CaptionerCase) -> None:
    """Norms of the gradients of all three losses and of the last one alone, and what gets none."""
    for group, loss in (("triple", case.config.loss), ("lm_only", LossConfig.model_validate(ONLY_WRITING))):
        gradients = gradients_of(case, case.build(), loss)
        norms = {name: gradient.norm() for name, gradient in gradients.items()}
        norms["total"] = torch.stack(list(norms.values())).norm()
        prefix = f"{group}.gradnorm."
        expected = {n.removeprefix(prefix): t for n, t in case.stored.items() if n.startswith(prefix)}
        assert expected
        expected["total"] = case.stored[f"{group}.total_gradnorm"]
        for name, norm in expected.items():
            # The norm of no gradient is stored as 0.
            own = norms.get(name, torch.zeros(()))
            torch.testing.assert_close(own.view(1), norm, rtol=GRADIENT_TOLERANCE, atol=1e-7, msg=name)
    for name, expected in case.stored.items():
        if name.startswith("lm_only.grad."):
            assert_close(gradients[name.removeprefix("lm_only.grad.")], expected, TOLERANCE)
    without = {name for name, _ in case.build().named_parameters()} - gradients.keys()
    assert without == set(case.meta["params_without_grad_lm_only"])


def gradients_of(case: CaptionerCase, network: Captioner, loss: LossConfig) -> dict[str, Tensor]:
    """Return the gradients of the parameters that get one."""
    losses.loss_terms(network, case.batch, loss, case.negatives)["total"].backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def check_optimiser_step(case: CaptionerCase) -> None:
    """Which parameters are decayed, and one step of the optimiser."""
    network = case.build()
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = optimisation.parameter_groups(network, STEP)
    found = [{names[parameter] for parameter in group["params"]} for group in groups]
    assert [group["weight_decay"] for group in groups] == [STEP.weight_decay, 0.0]
    assert found == [set(case.meta["param_groups"][name]) for name in ("decay", "no_decay")]
    optimiser = optimisation.optimiser(groups, STEP)
    gradients = gradients_of(case, network, LossConfig.model_validate(ONLY_WRITING))
    optimiser.step()
    stored = {n.removeprefix("adamw1."): t for n, t in case.stored.items() if n.startswith("adamw1.")}
    assert stored
    parameters = dict(network.named_parameters())
    for name, expected in stored.items():
        part = tuple(slice(length) for length in expected.shape)
        counts = gradients[name][part].abs() > STEP_TOLERANCE
        assert counts.any()
        assert_close(parameters[name][part][counts], expected[counts], STEP_TOLERANCE)


def check_first_words(case: CaptionerCase) -> None:
    """Scores of the first word, and the chances with which it is drawn."""
    network, ids = case.build(), case.words.ids
    with torch.no_grad():
        pairs = asked_pairs(case, network)
        first = torch.full((len(pairs[0][0]),), ids.start_writing)
        logits = captioning.CachedWriter(network, pairs).next_logits(first)
        assert_close(logits, case.stored["decode.step1_logits"], TOLERANCE)
        scores = captioning.restricted(logits, first[:, None], ids, SAMPLED)
        assert_close(captioning.chances(scores, SAMPLED), case.stored["decode.step1_sampling_probs"], TOLERANCE)


def asked_pairs(case: CaptionerCase, network: Captioner) -> list[tuple[Tensor, Tensor]]:
    """Return keys and values of the queries."""
    with torch.no_grad():
        return network.ask(network.media(case.batch["video"], case.batch["audio"])).pairs


def check_captions(case: CaptionerCase, name: str) -> None:
    given = dict(case.meta["decode"][name]["options"])
    assert not given.pop("do_sample")
    beams = given.pop("num_beams")
    options = DecodingConfig(mode="beam" if beams > 1 else "greedy", beams=beams, **given)
    network = case.build()
    found = captioning.write_captions(network, asked_pairs(case, network), case.words.ids, options)
    expected = case.stored[f"decode.{name}"]
    padded = [written.ids + [case.words.ids.pad] * (expected.shape[1] - len(written.ids)) for written in found]
    assert padded == expected.tolist()
    assert [case.words.text(written.ids) for written in found] == case.meta["decode"][name]["captions"]


ALL = (check_words, check_passes, check_losses, check_gradients, check_optimiser_step, check_first_words)
"""Checks of the whole network."""
