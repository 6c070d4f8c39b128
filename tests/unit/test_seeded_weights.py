"""The seeded weights are the same numbers everywhere."""

import hashlib

import numpy as np
import pytest

from models.weights import seeded_state


@pytest.mark.parametrize(
    ("seed", "gain", "name", "shape", "digest"),
    [
        (131, 1.0, "visual.pos_embed", (1, 17, 176), "e0dafa717099e233"),
        (131, 1.0, "visual.blocks.1.attn.q_bias", (176,), "aea1011628ae04d4"),
        (106, 2.0, "mixed_4d.branch_1.0.batch3d.running_mean", (128,), "a3c8f1328d3250cd"),
        (102, 2.0, "Mixed_4d.b1a.bn.weight", (128,), "84294bace698c4b7"),
    ],
)
def test_published_checksums_are_reproduced(seed, gain, name, shape, digest):
    values = seeded_state({name: shape}, seed, gain)[name]
    assert hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()[:16] == digest


def test_a_tensor_depends_on_seed_and_name_but_not_on_the_others():
    alone = seeded_state({"a.weight": (3, 4)}, 1, 1.0)["a.weight"]
    together = seeded_state({"b.weight": (2, 2), "a.weight": (3, 4)}, 1, 1.0)["a.weight"]
    assert np.array_equal(alone, together)
    assert not np.array_equal(alone, seeded_state({"a.weight": (3, 4)}, 2, 1.0)["a.weight"])


def test_kinds_of_tensors_get_plausible_values():
    shapes = {"bn.num_batches_tracked": (), "bn.running_var": (500,), "logit_scale": (), "cls_token": (500,)}
    state = seeded_state(shapes | {"norm.weight": (500,), "fc.weight": (400, 300)}, 0, 2.0)
    assert state["bn.num_batches_tracked"].dtype == np.int64
    assert state["bn.running_var"].min() >= 0.5
    assert state["logit_scale"] == pytest.approx(1.0, abs=0.5)
    assert state["cls_token"].std() == pytest.approx(0.05, rel=0.2)
    assert state["norm.weight"].mean() == pytest.approx(1.0, abs=0.05)
    assert state["fc.weight"].std() == pytest.approx((2 / 300) ** 0.5, rel=0.05)
    assert all(values.dtype == np.float32 for name, values in state.items() if "num_batches" not in name)
