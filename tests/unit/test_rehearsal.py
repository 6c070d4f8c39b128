"""The rehearsal of a system: what it sees, what it refuses, what it needs to be installed."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.markdown_pages import ROOT
from tests.rehearsal import __main__ as command
from tests.rehearsal import encoders, page, systems
from tests.rehearsal.machine import Machine
from tests.rehearsal.whole_run import whole_disk, whole_run
from workflow_scripts.lib.configuration.compose import Configuration, module_names

NOT_NEEDED = {
    "av",
    "pyarrow",
    "zarr",
    "accelerate",
    "peft",
    "timm",
    "open_clip",
    "snakemake",
    "torchdata",
    "tensorboard",
}


def test_a_system_is_trained_asked_saved_and_gone_on_with():
    found = systems.rehearse(Configuration({}, ROOT / "config"), "demo", "img", Machine(), 20)
    assert found["cut down"] == "nothing"
    assert int(found["answers"]) > 0
    assert re.fullmatch(r"[\d.]+ [kM]B, state [\d.]+ [kM]B", found["checkpoints"])
    first, second = (float(loss) for loss in found["loss"].split(", then "))
    assert first != second


def test_what_goes_on_from_a_checkpoint_must_not_depend_on_what_came_before(monkeypatch):
    losses = iter([1.0, 1.0, 2.0, 3.0])
    monkeypatch.setattr(systems, "_step", lambda *_: next(losses))
    with pytest.raises(RuntimeError, match="must be equal"):
        systems.rehearse(Configuration({}, ROOT / "config"), "demo", "img", Machine(), 20)


def test_a_bare_machine_is_enough_but_for_calce():
    names = [f"models.systems.{name}.system" for name in ("img", "mrnet", "quag", "uniq4cap")]
    code = f"import sys, importlib, tests.rehearsal.__main__; [importlib.import_module(name) for name in {names}]; "
    code += (
        f"found = {NOT_NEEDED} & {{name.split('.')[0] for name in sys.modules}}; print(found); sys.exit(bool(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


CONFIGURATION = Configuration({}, ROOT / "config")


def test_every_encoder_has_a_feature_of_full_size():
    found = encoders.features_by_encoder(CONFIGURATION)
    assert set(found) == set(module_names("models.encoders"))
    assert not [name for name in found.values() if name.endswith("_tiny")]


@pytest.mark.parametrize("name", ["sound_level", "rgb_histogram", "blip2_frames", "clip_tiny", "slowfast_tiny"])
def test_an_encoder_takes_a_batch_as_its_extraction_makes_it(name):
    found = encoders.rehearse_encoder(CONFIGURATION, name, Machine())
    assert int(found["numbers of a row"]) == CONFIGURATION.feature("demo", name).dim
    assert "not run" not in found


def test_an_encoder_that_needs_files_says_so():
    found = encoders.rehearse_encoder(CONFIGURATION, "minilm", Machine())
    assert found["not run"] == "its weights are read from a sentence-transformers folder, which cannot be drawn"


def test_a_recogniser_is_cut_down_without_a_gpu_only():
    feature = CONFIGURATION.feature("demo", "whisper_large_v3")
    params, cut = encoders.settings_of(feature, is_gpu=False)
    assert (params["sizes"]["n_audio_layer"], cut) == (2, "n_audio_layer 2, n_text_layer 2")
    params, cut = encoders.settings_of(feature, is_gpu=True)
    assert (params["sizes"]["n_audio_layer"], params["word_times"], cut) == (32, True, "")


def test_hours_at_a_rate_stand_beside_those_that_are_said_before():
    found = whole_run(CONFIGURATION.system("qvh", "calce_stage1"), "qvh", 1.0, 1.0, is_cut=False)
    assert found == {
        "hours at this rate": f"training {50 * (7218 + 1550) / 3600:.1f}, answers {(1550 + 1542) / 3600:.1f}",
        "hours that are said before": "training 106.6, answers 0.7, on a GPU",
    }
    cut = whole_run(CONFIGURATION.system("qvh", "calce_stage1"), "qvh", 1.0, 1.0, is_cut=True)
    assert list(cut) == ["hours that are said before"]
    assert whole_run(CONFIGURATION.system("msrvtt", "uniq4cap"), "msrvtt", 1.0, 1.0, is_cut=False) == {}


def test_what_stays_on_the_disk():
    found = whole_disk(CONFIGURATION, "qvh", CONFIGURATION.system("qvh", "calce_stage1"), 4_000_000, 9_000_000)
    # 150 frames of 224 x 224 x 3 bytes of each of 10,148 videos.
    assert found == {"checkpoints": "4 MB, state 9 MB", "rows of the dataset": "up to 229 GB"}
    assert list(whole_disk(CONFIGURATION, "msrvtt", CONFIGURATION.system("msrvtt", "uniq4cap"), 1, 1)) == [
        "checkpoints"
    ]


def test_what_was_seen_is_entered_by_the_headings_of_its_table():
    text = "text\n\n| system | dataset | card | s |\n|---|---|---|---|\n| `a` | `x` | | |\n| `a` | `y` | | |\n\n"
    text += "| feature | card |\n|---|---|\n| `a` | |\n| `b` | |\n\n| other |\n|---|\n| `a` |\n"
    seen = {"system": "a", "dataset": "y", "card": "H", "s": "1.5", "more": "2"}
    changed = text.replace("| `a` | `y` | | |", "| `a` | `y` | H | 1.5 |")
    assert page.entered(text, seen) == changed
    assert page.entered(changed, {"feature": "b", "card": "H"}) == changed.replace("| `b` | |", "| `b` | H |")
    assert page.entered(text, {"feature": "c", "card": "H"}) == text


def test_the_headings_of_the_page_are_those_of_what_is_seen():
    found = systems.rehearse(CONFIGURATION, "demo", "img", Machine(), 20) | {"hours at this rate": "none on the demo"}
    found |= {"dataset": "charades"}
    [row] = [line for line in page.entered(page.PAGE.read_text(), found).splitlines() if line.startswith("| `img`")]
    assert "not measured" not in row
    assert all(cell.strip() for cell in row.strip("|").split("|"))
    found = encoders.rehearse_encoder(CONFIGURATION, "sound_level", Machine()) | {"feature": "cnn14"}
    [row] = [line for line in page.entered(page.PAGE.read_text(), found).splitlines() if line.startswith("| `cnn14`")]
    assert all(cell.strip() for cell in row.strip("|").split("|"))


def test_only_a_gpu_is_entered_into_the_page(monkeypatch):
    written, on_gpu = [], SimpleNamespace(is_gpu=True, name="H")
    monkeypatch.setattr(command, "rehearse", lambda *_: {"system": "img"})
    monkeypatch.setattr(command, "enter", written.append)
    for machine, more, n in ((Machine, ["--write"], 0), (lambda: on_gpu, [], 0), (lambda: on_gpu, ["--write"], 1)):
        monkeypatch.setattr(command, "Machine", machine)
        monkeypatch.setattr(sys, "argv", ["rehearsal", "img", "charades", *more])
        command.main()
        assert len(written) == n


def test_everything_of_the_page_is_rehearsed_in_turn(monkeypatch):
    called = []
    monkeypatch.setattr(
        command.subprocess, "run", lambda line, check: called.append(line[3:]) or SimpleNamespace(returncode=0)
    )
    assert command.all_in_turn(writes=True) == 0
    text = page.PAGE.read_text()
    assert {each[-1] for each in called} == {"--write"}
    called = [each[:-1] for each in called]
    assert all(f"`{name}`" in text for name in (each[-1] if each[0] == "--encoders" else each[0] for each in called))
    assert len(called) == len(command.SYSTEMS) + len(command.ENCODERS)
