"""Loading an encoder for an extraction job: the right weights, or a message that says what to do."""

import hashlib
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.encoders.networks.cnn14 import Cnn14
from models.encoders.networks.filling import fill
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.networks import load_encoder, resolve_device

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
TINY = {"base_width": 2}


def settings(path=None, **weights):
    found = {"name": "cnn14", "url": "https://example.org/cnn14.pth", "loader": "torch checkpoint, key `model`"}
    found |= {"sha256": "unverified", "path": str(path)} | weights
    return {"recipe": {"encoder": "panns", "params": TINY}, "weights": found, "device": "cpu"}


def seeded(seed):
    return {"recipe": {"encoder": "panns", "params": TINY}, "weights": {"seed": seed}, "device": "cpu"}


@pytest.fixture
def checkpoint(tmp_path):
    """The weights of seed 5 in the form in which PANNs are published."""
    path = tmp_path / "Cnn14.pth"
    network = Cnn14(TINY["base_width"])
    fill(network, 5, 2.0)
    torch.save({"model": network.state_dict()}, path)
    return path


def test_missing_weights_are_named_with_address_checksum_and_place(tmp_path):
    path = tmp_path / "weights" / "Cnn14.pth"
    with pytest.raises(UserError) as caught:
        load_encoder(settings(path, sha256="a" * 64))
    for part in ("'cnn14'", str(path), "https://example.org/cnn14.pth", "a" * 64, f"snakemake --cores 1 {path}"):
        assert part in str(caught.value)


def test_missing_weights_of_a_package_ask_for_the_package(tmp_path):
    with pytest.raises(UserError, match=r"which a package ships, .* run `make setup`"):
        load_encoder(settings(tmp_path / "model.safetensors", url=None))


def test_a_weights_file_with_another_checksum_is_refused(checkpoint):
    with pytest.raises(UserError, match=rf"{checkpoint}: sha256 is [0-9a-f]{{64}}, expected b+ .*delete the file"):
        load_encoder(settings(checkpoint, sha256="b" * 64))


def test_a_verified_file_is_loaded(checkpoint):
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    found = load_encoder(settings(checkpoint, sha256=sha256)).network.state_dict()
    wanted = load_encoder(seeded(5)).network.state_dict()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda state: state.pop("fc1.weight"), "Missing key"),
        (lambda state: state.update(other=torch.zeros(1)), "Unexpected key"),
        (lambda state: state.update({"fc1.weight": torch.zeros(2, 2)}), "size mismatch"),
        (lambda state: state.update({"fc1.weight": "a text"}), "can't convert"),
        (lambda state: state.update({"fc1.weight": torch.zeros(1, device="meta")}), "on the device `meta`"),
        (lambda state: state.update({0: torch.zeros(1)}), "found one called 0"),
    ],
)
def test_weights_of_another_network_that_nobody_verified_are_named(tmp_path, checkpoint, change, found):
    state = torch.load(checkpoint)["model"]
    change(state)
    path = tmp_path / "other.pth"
    torch.save({"model": state}, path)
    with pytest.raises(UserError, match=rf"other\.pth: .*{found}"):
        load_encoder(settings(path))


def test_a_verified_file_that_does_not_fit_is_a_fault_of_the_code(tmp_path, checkpoint):
    path = tmp_path / "other.pth"
    torch.save({"model": {"a": torch.zeros(1)}}, path)
    with pytest.raises(RuntimeError, match="Missing key"):
        load_encoder(settings(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))


def test_the_first_digits_that_a_file_name_states_are_checked(checkpoint):
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    load_encoder(settings(checkpoint, sha256=sha256[:8]))
    with pytest.raises(UserError, match="expected 00000000"):
        load_encoder(settings(checkpoint, sha256="0" * 8))


def test_checksums_that_names_and_addresses_state_stand_in_the_registry():
    configuration = Configuration({}, CONFIG)
    stating = 0
    for entry in map(configuration.weight, configuration.weight_names()):
        for groups in re.findall(r"-([0-9a-f]{8})\.pth$|/([0-9a-f]{64})/", entry.url or ""):
            assert entry.sha256.startswith("".join(groups)), entry.url
            stating += 1
    assert stating >= 8


def test_a_file_that_nobody_has_verified_is_loaded_with_a_warning(checkpoint, caplog):
    with caplog.at_level(logging.WARNING):
        load_encoder(settings(checkpoint))
    assert "no checksum is known for this file" in caplog.text


def test_an_unknown_loader_is_answered_with_the_nearest(checkpoint):
    with pytest.raises(UserError, match=r"cnn14\.loader: unknown loader .* did you mean \"torch checkpoint"):
        load_encoder(settings(checkpoint, loader="torch checkpont"))


def test_an_encoder_without_weights_asks_for_none():
    encoder = load_encoder({"recipe": {"encoder": "rgb_histogram", "params": {}}, "weights": {}, "device": "cpu"})
    assert encoder.dim > 0


def test_a_gpu_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UserError, match="no GPU is visible; use `auto` or `cpu`"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("cuda") == "cuda"
    assert resolve_device("cpu") == "cpu"


def test_torch_is_not_loaded_to_find_no_gpu():
    code = "import sys; from workflow_scripts.lib.extraction import gpus, networks; gpus.DRIVER_FILES = (); "
    code += "print(networks.resolve_device('auto'), networks.resolve_device('cpu'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cpu", "cpu", "False"]


def test_torch_is_asked_where_there_is_a_driver():
    code = (
        "import sys; from workflow_scripts.lib.extraction import gpus, networks; gpus.DRIVER_FILES = ('/dev/null',); "
    )
    code += "print(networks.resolve_device('auto'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "True"


def test_a_file_without_a_published_checksum_is_held_to_what_it_was_at_first(checkpoint, caplog):
    load_encoder(settings(checkpoint))
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert digest in caplog.text
    note = checkpoint.with_name("Cnn14.pth.sha256")
    assert note.read_text() == f"{digest}  Cnn14.pth\n"
    load_encoder(settings(checkpoint))
    torch.save(torch.load(checkpoint) | {"more": 1}, checkpoint)
    with pytest.raises(UserError, match=f"Cnn14.pth.sha256 says {digest}, as it was .* delete the note"):
        load_encoder(settings(checkpoint))
    note.unlink()
    load_encoder(settings(checkpoint))


def test_the_tensors_of_a_part_are_loaded_with_those_of_the_file(tmp_path):
    params = {"width_divisor": 32, "postprocess": "pca"}
    recipe = {"recipe": {"encoder": "vggish", "params": params}, "device": "cpu"}
    made = load_encoder({**recipe, "weights": {"seed": 3}})
    state, pca = made.network.state_dict(), made.pca.state_dict()
    torch.save(state, tmp_path / "vggish.pth")
    # The published PCA file holds numpy arrays.
    torch.save({key: value.numpy() for key, value in pca.items()}, tmp_path / "pca.pth")
    entries = [
        {"name": name, "url": None, "loader": "torch state dict", "sha256": "unverified", "path": str(tmp_path / name)}
        for name in ("vggish.pth", "pca.pth")
    ]
    found = load_encoder({**recipe, "weights": {**entries[0], "parts": [entries[1]]}})
    assert all(torch.equal(found.pca.state_dict()[key], value) for key, value in pca.items())
    (tmp_path / "pca.pth").unlink()
    with pytest.raises(UserError, match=r"weights 'pca\.pth'"):
        load_encoder({**recipe, "weights": {**entries[0], "parts": [entries[1]]}})
