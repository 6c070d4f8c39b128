"""How the command line treats people: lists of tools, quiet ends, answers to targets that nobody makes."""

import io
import logging
import subprocess
import sys

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.console.unknown_targets import answer_unknown_targets
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.planning.targets import Targets


def run(*words, **options):
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("options", [(), ("--help",)])
def test_the_tools_that_are_run_by_hand_are_listed_with_what_they_do(options):
    done = run("-m", "workflow_scripts", *options)
    assert done.returncode == 0, done.stderr
    assert "\n  show_metrics    Print the table of a metrics file.\n" in done.stdout
    assert "train" not in done.stdout.split()


PRINTS_MUCH = (
    "from workflow_scripts.lib.errors import run_entry_point\n"
    "run_entry_point(lambda: [print('x' * 100, flush=True) for _ in range(100_000)])"
)


def test_a_tool_whose_reader_has_seen_enough_ends_quietly():
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS_MUCH], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tool:
        tool.stdout.readline()
        tool.stdout.close()
        said = tool.stderr.read()
    assert said == b""
    assert tool.returncode == 141


def test_another_pipe_that_breaks_keeps_its_traceback():
    def broken():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_entry_point(broken)


@pytest.fixture(scope="module")
def targets():
    return Targets(Configuration({}, ROOT / "config"))


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("result/qvh/calce/metrics.json", "did you mean results/qvh/calce/metrics.json?"),
        ("results/qvh/calce/metric.jsn", "did you mean results/qvh/calce/metrics.json?"),
        ("results/qvh/calce/raport.html", "did you mean results/qvh/calce/report.html?"),
        ("results/demo/transcript/whisper_tiny_en", "results/demo/transcripts/whisper_tiny_en/index.parquet"),
        ("results/qvh/manifest.parquet", "did you mean results/qvh/media/manifest.parquet?"),
        ("weigths", "did you mean weights?"),
        ("clip_b32", "the target of a feature is results/<dataset>/features/clip_b32/index.parquet"),
        ("results/qvh/clip_b32/", "the target of a feature is results/qvh/features/clip_b32/index.parquet"),
        ("results/qvh/calce", "the target of a system is results/qvh/calce/metrics.json"),
        ("results/qvh", "a target is a file, such as results/qvh/<system>/metrics.json"),
        ("something", "a target is a file, such as results/demo/img/metrics.json"),
    ],
)
def test_an_unknown_target_is_answered_with_the_nearest_one(targets, target, hint):
    assert targets.hint(target).endswith(hint)


def test_the_words_of_snakemake_about_unknown_targets_are_replaced_and_no_others():
    from snakemake.exceptions import MissingRuleException

    logger, stream = logging.Logger("made"), io.StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    answer_unknown_targets(logger, lambda target: f"what of {target}?")
    logger.error(f"MissingRuleException:\n{MissingRuleException('a file.txt')}")
    logger.error("MissingInputException in rule train")
    assert stream.getvalue() == (
        "error: a file.txt: no such target; what of a file.txt?\nMissingInputException in rule train\n"
    )
