"""Jobs of a host: what is known of their runs, and the program that runs them, with a stand-in for ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import InvalidConfigError, NotFoundError
from ansible_collections.vya.backupdb.plugins.module_utils.repository.lock import try_lock
from ansible_collections.vya.backupdb.plugins.module_utils.schedule import jobs, runner
from kit.waiting import wait_until

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """The program sets one for itself, and here it is a function of this process."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@pytest.fixture
def places(tmp_path: Path) -> runner.Places:
    """A schedule of two jobs. The stand-in writes down its arguments and ends as the variables of the job say."""
    settings, states, bin_folder = tmp_path / "settings", tmp_path / "data" / "jobs", tmp_path / "bin"
    settings.mkdir()
    bin_folder.mkdir()
    job = {"playbook": "vya.backupdb.backup", "when": "daily", "within": "26h", "alone": True}
    (settings / "jobs.json").write_text(json.dumps({"backup": job, "verify": {**job, "playbook": "v.yml"}}))
    os.utime(settings / "jobs.json", (NOW.timestamp(), NOW.timestamp()))
    (settings / "on_failure.json").write_text("[]")
    for name in ("backup", "verify"):
        (settings / f"{name}.variables.json").write_text("0")
    stand_in = bin_folder / "ansible-playbook"
    stand_in.write_text(
        f'#!/bin/sh\necho "$3 config $ANSIBLE_CONFIG forks ${{ANSIBLE_FORKS:-none}}" >> {tmp_path}/calls\n'
        'read -r sentence < "${2#@}"; echo "$sentence"\n'
        f"while [ -e {tmp_path}/held ]; do sleep 0.05; done\n"
        'set -- $sentence; sleep "${2:-0}"; exit "$1"\n'
    )
    stand_in.chmod(0o755)
    return runner.Places(settings, states, stand_in)


def ends_with(places: runner.Places, job: str, sentence: str) -> None:
    """The exit status of the next runs, and how many seconds they take."""
    (places.settings / f"{job}.variables.json").write_text(f"{sentence}\n")


def report(places: runner.Places, job: str = "backup", now: datetime | None = None) -> jobs.Report:
    return next(found for found in jobs.reports(places.settings, places.states, now) if found.job == job)


def test_a_good_run_then_bad_ones_then_a_good_one(places: runner.Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_FORKS", "99")
    ends_with(places, "backup", "0")
    assert report(places, now=NOW).result == "waiting"
    assert runner.run("backup", places) == 0
    ended = report(places).state.succeeded
    assert ended
    good = report(places, now=datetime.fromisoformat(ended))
    assert (good.result, good.words, good.state.failures) == ("ok", "last run ended 0 s ago", 0)
    calls = (places.settings.parent / "calls").read_text()
    assert calls == f"vya.backupdb.backup config {places.settings}/ansible.cfg forks none\n"
    ends_with(places, "backup", "2")
    assert [runner.run("backup", places) for _turn in range(2)] == [2, 2]
    bad = report(places)
    assert (bad.result, bad.state.failures, bad.state.succeeded) == ("failed", 2, good.state.succeeded)
    assert bad.words.endswith("ended with status 2, 2 times in a row")
    ends_with(places, "backup", "0")
    runner.run("backup", places)
    assert (report(places).result, report(places).state.failures) == ("ok", 0)


def test_a_run_that_is_overdue_is_missed(places: runner.Places) -> None:
    assert report(places, now=NOW + timedelta(hours=26)).result == "waiting"
    never = report(places, now=NOW + timedelta(hours=27))
    assert (never.result, never.words) == ("missed", "it never ran, and a run is expected every 26 h")
    places.states.mkdir(parents=True)
    done = jobs.State("2026-11-25T11:00:00Z", "2026-11-25T12:00:00Z", 0, "2026-11-25T12:00:00Z")
    jobs.write_state("backup", done, places.states)
    assert report(places, now=NOW + timedelta(hours=26)).result == "ok"
    late = report(places, now=NOW + timedelta(hours=50))
    assert (late.result, late.words) == ("missed", "last run ended 2 days ago, and a run is expected every 26 h")


def test_a_run_that_was_cut_off_has_failed_and_one_that_goes_on_is_running(places: runner.Places) -> None:
    places.states.mkdir(parents=True)
    jobs.write_state("backup", jobs.State(started="2026-11-25T11:00:00Z"), places.states)
    assert report(places, now=NOW).words == "the run of 2026-11-25T11:00:00Z was cut off"
    lock = try_lock(jobs.lock_path("backup", places.states))
    assert lock is not None
    assert report(places, now=NOW).result == "running"
    os.close(lock)
    assert report(places, now=NOW).result == "failed"


def start(places: runner.Places, *arguments: str) -> subprocess.Popen[str]:
    code = (
        "import sys; from pathlib import Path\n"
        "from ansible_collections.vya.backupdb.plugins.module_utils.schedule import runner\n"
        "sys.exit(runner.main(sys.argv[4:], runner.Places(*map(Path, sys.argv[1:4]))))"
    )
    argv = [sys.executable, "-c", code, places.settings, places.states, places.ansible_playbook, "run", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)


def test_one_run_of_a_job_at_a_time_and_jobs_one_after_another(places: runner.Places) -> None:
    held = places.settings.parent / "held"
    held.touch()
    first = start(places, "backup")
    wait_until((places.states / "backup.json").exists)
    second, other = start(places, "backup"), start(places, "verify")
    said, _nothing = second.communicate()
    held.unlink()
    assert (second.returncode, "<4>Job backup runs since " in said) == (runner.BUSY, True)
    for process in (first, other):
        process.communicate()
        assert process.returncode == 0
    earlier, later = (jobs.read_state(name, places.states) for name in ("backup", "verify"))
    assert earlier.finished
    assert later.started
    assert later.started >= earlier.finished


def test_a_killed_program_counts_as_a_failure(places: runner.Places) -> None:
    ends_with(places, "backup", "0 30")
    with start(places, "backup") as process:
        wait_until((places.states / "backup.json").exists)
        process.kill()
    # What the program was about to start may hold its lock for a moment.
    wait_until(lambda: report(places).result == "failed")
    assert jobs.read_state("backup", places.states).failures == 1


def test_failures_are_told(places: runner.Places, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ends_with(places, "backup", "4")
    told = tmp_path / "told"
    command = ["sh", "-c", f'echo "$VYA_BACKUPDB_JOB $VYA_BACKUPDB_EXIT_STATUS $VYA_BACKUPDB_FAILURES" >> {told}']
    (places.settings / "on_failure.json").write_text(json.dumps(command))
    log = tmp_path / "log"
    with start(places, "backup", "--tell", "--log", str(log)) as process:
        assert process.wait() == 4
    assert told.read_text() == "backup 4 1\n"
    assert "failed: the run of " in log.read_text()
    assert runner.main(["failed", "backup"], places) == 0
    assert capfd.readouterr().out.startswith("<3>Job backup on ")
    (places.settings / "on_failure.json").write_text("[]")
    assert runner.main(["failed", "backup"], places) == 0
    assert runner.main(["list"], places) == 1
    assert "backup       failed   the run of " in capfd.readouterr().out


def test_what_is_not_there_or_damaged(places: runner.Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["run", "lunch"], places) == 1
    assert "not_found: There is no job 'lunch'" in capsys.readouterr().err
    with pytest.raises(NotFoundError, match="there is backup, verify"):
        jobs.find_job("lunch", places.settings)
    assert jobs.load_jobs(places.settings.parent) == {}
    damaged: list[Any] = ["{", "[]", '{"backup": {}}', '{"backup": 1}']
    for content in damaged:
        (places.settings / "jobs.json").write_text(content)
        with pytest.raises(InvalidConfigError, match=r"Run the playbook vya\.backupdb\.schedule"):
            jobs.load_jobs(places.settings)


def test_a_damaged_state_is_no_state(tmp_path: Path) -> None:
    known = replace(jobs.State(), failures=3)
    jobs.write_state("backup", known, tmp_path)
    assert jobs.read_state("backup", tmp_path) == known
    (tmp_path / "backup.json").write_text('{"started": 1}')
    assert jobs.read_state("backup", tmp_path) == jobs.State()
