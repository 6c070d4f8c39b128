"""Several processes that share the batches of a split give what one gives, to the last bit."""

import contextlib
from collections import Counter

import pytest
import torch

from tests.unit.made_processes import by_processes
from tests.unit.made_training import DIMS, made_annotations, made_item, made_settings, made_splits, made_training
from tests.unit.test_answer_journal import GIVEN, Drawing, Killed
from workflow_scripts.lib.training import prediction
from workflow_scripts.lib.training.answer_journal import AnswerJournal
from workflow_scripts.lib.training.checkpoint import build_system, read_checkpoint
from workflow_scripts.lib.training.prediction import Asking, predict_items
from workflow_scripts.lib.training.selection import CheckpointSelection
from workflow_scripts.lib.training.sharing import Share

ITEMS = [made_item(number) for number in range(23)]


class Drawn(Drawing):
    """Draws one number per item, from a generator that stands where one process would have it."""

    def skip_draws(self, n_units, generator, task):
        for _ in range(n_units):
            torch.rand((), generator=generator)
        return True


class Chained(Drawing):
    """Draws as many numbers as it likes, so that batches cannot be shared."""

    def skip_draws(self, n_units, generator, task):
        return False


class Forgetful(Drawing):
    """Draws, and says that it does not."""

    def skip_draws(self, n_units, generator, task):
        return True


def asking(share, batch_size=2, **more):
    return Asking(lambda item: item, batch_size, "cpu", 0, GIVEN, share=share, **more)


@pytest.fixture(autouse=True)
def _meet_often(monkeypatch):
    monkeypatch.setattr(prediction, "_BATCHES_APART", 2)


def img(**network):
    settings = made_settings(config__settings__network=network)["config"]["settings"]
    system = build_system("img", settings, {}, DIMS)
    torch.manual_seed(1)
    return system, system.network()


def test_batches_go_round_and_come_back_in_order():
    shares = [Share(process, 3) for process in range(3)]
    assert [list(share.of(range(2, 9))) for share in shares] == [[2, 5, 8], [3, 6], [4, 7]]
    assert [share.is_first for share in shares] == [True, False, False]
    assert Share().together([(4, "b"), (1, "a")]) == [(1, "a"), (4, "b")]


@pytest.mark.parametrize("n_processes", [2, 3])
@pytest.mark.parametrize("system", [Drawn, Chained])
def test_several_processes_answer_what_one_answers(tmp_path, system, n_processes):
    def ask(share):
        drawing = system()
        return predict_items(drawing, torch.nn.Identity(), ITEMS, asking(share)).answers, drawing.asked

    [(expected, n_asked)] = by_processes(1, ask, tmp_path / "one")
    assert n_asked == 12
    found = by_processes(n_processes, ask, tmp_path / "several")
    assert all(answers == expected for answers, _ in found)
    shared = [12 // n_processes] * n_processes
    assert [asked for _, asked in found] == (shared if system is Drawn else [12] + [0] * (n_processes - 1))


def test_a_system_that_draws_without_saying_so_is_not_shared_silently(tmp_path):
    def ask(share):
        with pytest.raises(RuntimeError, match="skip_draws draws other numbers than predict"):
            predict_items(Forgetful(), torch.nn.Identity(), ITEMS, asking(share))

    by_processes(2, ask, tmp_path)


@pytest.mark.parametrize("slot_noise", ["random", "fixed"])
def test_a_network_that_draws_answers_the_same_by_two(tmp_path, slot_noise):
    system, network = img(slot_noise=slot_noise)

    def ask(share):
        found = predict_items(system, network, ITEMS[:7], asking(share, in_detail=True, n_workers=0))
        return found.answers, found.scores, found.asked

    [expected] = by_processes(1, ask, tmp_path / "one")
    assert by_processes(2, ask, tmp_path / "two") == [expected, expected]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
def test_other_processes_go_on_where_a_killed_prediction_was(tmp_path, before, after):
    def ask(share, dies_after=None):
        drawing, path = Drawn(dies_after), tmp_path / "journal"
        journal = AnswerJournal(path, "k", 0.0)
        with pytest.raises(Killed) if dies_after else contextlib.nullcontext():
            return predict_items(
                drawing, torch.nn.Identity(), ITEMS, asking(share, journal=journal)
            ).answers, drawing.asked

    def plainly(share):
        return predict_items(Drawn(), torch.nn.Identity(), ITEMS, asking(share)).answers

    # All processes die before they meet for the second time.
    by_processes(before, lambda share: ask(share, dies_after=2), tmp_path / "before")
    found = by_processes(after, ask, tmp_path / "after")
    [expected] = by_processes(1, plainly, tmp_path / "plain")
    assert all(answers == expected for answers, _ in found)
    assert sum(asked for _, asked in found) == 12 - 2 * before


@pytest.mark.parametrize("n_processes", [2, 3])
def test_losses_that_select_are_those_of_one_process(tmp_path, n_processes):
    """IMG draws its slot noise from torch's global generator there."""
    settings = made_settings(config__selection__loss=["total"], config__selection__mode="min")
    system, network = img()
    _, select = made_splits()
    choice = CheckpointSelection(settings["config"], select, made_annotations(tmp_path / "annotations"))

    def losses(share):
        torch.manual_seed(share.process)
        before = torch.get_rng_state()
        found = choice.scores(system, network, asking(share, batch_size=1))
        assert torch.equal(torch.get_rng_state(), before)
        return found

    [expected] = by_processes(1, losses, tmp_path / "one")
    assert set(expected) >= {"select_total"}
    assert by_processes(n_processes, losses, tmp_path / "several") == [expected] * n_processes


@pytest.mark.parametrize("loss", [[], ["total"]], ids=["score", "loss"])
def test_two_processes_choose_the_epoch_of_one(tmp_path, loss):
    changes = {"config__selection__loss": loss, "config__selection__mode": "min" if loss else "max"}
    settings = made_settings(config__settings__train__accumulation=2, **changes)

    def train(share):
        folder, asked = tmp_path / f"by{share.n_processes}", Counter()
        training = made_training(folder, settings)
        name = "loss" if loss else "predict"
        ask = getattr(training.system, name)

        def counted(network, *args):
            asked[network.training] += 1
            return ask(network, *args)

        setattr(training.system, name, counted)
        training.run()
        return training.progress.history, training.progress.best_epoch, asked[False]

    [(history, best, n_asked)] = by_processes(1, train, tmp_path / "one")
    found = by_processes(2, train, tmp_path / "two")
    assert n_asked == 4
    for own_history, own_best, own_asked in found:
        assert own_best == best == read_checkpoint(tmp_path / "by2/state/best.safetensors").notes["epoch"]
        assert own_asked == 2
        for row, expected in zip(own_history, history, strict=True):
            assert row == pytest.approx(expected, rel=1e-5, abs=1e-6)
