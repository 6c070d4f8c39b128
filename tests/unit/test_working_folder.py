"""What is checked about the working folder before and after a run."""

import os
import subprocess

import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning import planned_files, working_folder
from workflow_scripts.lib.planning.planned_files import PlannedFiles
from workflow_scripts.lib.planning.working_folder import full_disk_message, require_writable, shell_prefix


def test_a_folder_whose_records_cannot_be_written_is_refused_by_name(tmp_path, monkeypatch):
    require_writable(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, _: path.name != ".snakemake")
    require_writable(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    with pytest.raises(UserError, match=r"no permission for .*\.snakemake\. Give this user access"):
        require_writable(tmp_path)


def test_the_shell_of_a_job_finds_code_and_programs_in_folders_of_any_name(tmp_path):
    places = [tmp_path / name for name in ('it\'s "a" $(place) {x}', "two words")]
    prefix = shell_prefix(*places).replace("{{", "{").replace("}}", "}")
    done = subprocess.run(["bash", "-c", f'{prefix}echo "$PYTHONPATH"; echo "$PATH"'], capture_output=True, text=True)
    code, programs = done.stdout.splitlines()
    assert code == str(places[0])
    assert programs == f"{places[1]}:{os.environ['PATH']}"
    assert "PATH=" not in shell_prefix(places[0], None).replace("PYTHONPATH=", "")


def test_a_disk_is_full_when_a_log_would_not_fit(tmp_path, monkeypatch):
    assert full_disk_message(tmp_path) is None
    assert full_disk_message(tmp_path / "absent") is None
    monkeypatch.setattr(working_folder, "ROOM_FOR_A_LOG", 2**62)
    assert f"no disk space left while writing {tmp_path}" in full_disk_message(tmp_path)


def test_what_a_running_workflow_reads_is_left_as_it_was(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(planned_files, "LOCKS", tmp_path / "locks")
    path, lock = tmp_path / "settings.json", tmp_path / "locks/0.output.lock"
    own = PlannedFiles()
    own.bring_up_to_date(path, "old")
    lock.parent.mkdir()
    lock.touch()
    beside = PlannedFiles()
    beside.bring_up_to_date(path, "new")
    assert path.read_text() == "old"
    assert "another workflow is running in this folder" in caplog.text
    beside.bring_up_to_date(tmp_path / "absent.json", "new")
    assert (tmp_path / "absent.json").read_text() == "new"
    # The workflow that the lock is of may find out more while it runs.
    own.bring_up_to_date(path, "newer")
    assert path.read_text() == "newer"
