"""The role schedule on a host that runs systemd: timers that fire, runs that overlap, fail, and are caught up on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kit.agents import ANSIBLE, ScheduledHost, wheelhouse
from kit.systemdhost import SystemdHost, systemd_host

PROGRAM = "/opt/vya-backupdb/bin/vya-backupdb-job"
SLOW = [{"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.command": "sleep 8"}]}]
BAD = [{"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.fail": {"msg": "on purpose"}}]}]
JOBS: dict[str, Any] = {
    "backup": {"calendar": "*-*-* *:*:00/20", "random_delay": 0, "variables": {"backupdb_max_age": "1h"}},
    "status": {"enabled": False},
    "slow": {"playbook": "/srv/slow.yml", "calendar": "yearly"},
    "bad": {"playbook": "/srv/bad.yml", "calendar": "yearly", "random_delay": 0},
}
OPTIONS: dict[str, Any] = {
    "time_zone": "UTC",
    "jobs": JOBS,
    "on_failure": ["sh", "-c", 'echo "$VYA_BACKUPDB_JOB: $VYA_BACKUPDB_MESSAGE" >> /var/lib/vya-backupdb/told'],
    "memory_max": "1G",
    "cpu_quota": "150%",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScheduledHost]:
    folder = tmp_path_factory.mktemp("timers")
    with systemd_host("db1") as host:
        for name, content in (("slow", SLOW), ("bad", BAD)):
            host.run("sh", "-c", f"printf '%s' '{json.dumps(content)}' > /srv/{name}.yml")
        site = ScheduledHost(folder, host, wheelhouse(ANSIBLE), backupdb_max_age="2h")
        assert site.changed("--check", **OPTIONS) > 0
        assert host.run("sh", "-c", "ls /etc/systemd/system/vya-* 2>/dev/null", check=False) == ""
        assert site.changed(**OPTIONS) > 0
        yield site


def state(host: SystemdHost, job: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(host.run("cat", f"/var/lib/vya-backupdb/jobs/{job}.json"))
    return content


def show(host: SystemdHost, unit: str, name: str) -> str:
    return host.run("systemctl", "show", "--value", "--property", name, unit)


def test_a_second_run_changes_nothing(site: ScheduledHost) -> None:
    assert site.changed(**OPTIONS) == 0
    assert site.changed("--check", **OPTIONS) == 0


def test_the_timer_fires_and_the_run_is_in_the_journal(site: ScheduledHost) -> None:
    host = site.host
    host.wait_until("sh", "-c", "ls /var/backups/vya-backupdb/db1/wiki/pages.db | wc -l", wanted="1")
    host.wait_until("sh", "-c", "grep -c '\"exit_status\": 0' /var/lib/vya-backupdb/jobs/backup.json", wanted="1")
    journal = host.run("journalctl", "--no-pager", "-u", "vya-backupdb-backup")
    assert "wiki      pages.db  backed up" in journal
    assert show(host, "vya-backupdb-backup.timer", "LastTriggerUSec") != ""
    assert (show(host, "vya-backupdb-backup", "Nice"), show(host, "vya-backupdb-backup", "MemoryMax")) == (
        "10", str(1 << 30),
    )  # fmt: skip
    assert "backup       ok" in host.run(PROGRAM, "list", check=False).replace("running ", "ok      ")


def test_the_variables_of_a_job_win_over_those_of_the_host(site: ScheduledHost) -> None:
    site.host.wait_until(
        "sh", "-c", "journalctl -u vya-backupdb-backup | grep -c 'max_age is 1 h' | grep -qv '^0' && echo yes",
        wanted="yes",
    )  # fmt: skip


def test_runs_of_a_job_never_overlap(site: ScheduledHost) -> None:
    host = site.host
    host.run("systemctl", "start", "--no-block", "vya-backupdb-slow")
    host.wait_until("systemctl", "is-active", "vya-backupdb-slow", wanted="activating")
    host.wait_until("sh", "-c", "test -e /var/lib/vya-backupdb/jobs/slow.json && echo yes", wanted="yes")
    started = state(host, "slow")["started"]
    host.run("systemctl", "start", "--no-block", "vya-backupdb-slow")
    by_hand = host.run("sh", "-c", f"{PROGRAM} run slow; echo $?")
    assert f"Job slow runs since {started}; this start does nothing." in by_hand
    assert by_hand.endswith("75")
    host.wait_until("systemctl", "is-active", "vya-backupdb-slow", wanted="inactive")
    assert state(host, "slow")["started"] == started
    assert show(host, "vya-backupdb-slow", "Result") == "success"


def test_a_failed_run_is_told(site: ScheduledHost) -> None:
    host = site.host
    host.run("systemctl", "start", "vya-backupdb-bad", check=False)
    host.wait_until("sh", "-c", "wc -l < /var/lib/vya-backupdb/told", wanted="1")
    assert host.run("cat", "/var/lib/vya-backupdb/told").startswith("bad: Job bad on db1 failed: the run of ")
    told = host.run("journalctl", "--no-pager", "-p", "err", "-t", "vya-backupdb-failed")
    assert "Job bad on db1 failed" in told
    assert (state(host, "bad")["exit_status"], state(host, "bad")["failures"]) == (2, 1)
    assert "bad          failed" in host.run(PROGRAM, "list", check=False)


def test_a_run_that_is_killed_is_told_and_not_taken_for_running(site: ScheduledHost) -> None:
    host = site.host
    host.run("systemctl", "start", "--no-block", "vya-backupdb-slow")
    host.wait_until("sh", "-c", "grep -c '\"exit_status\": null' /var/lib/vya-backupdb/jobs/slow.json", wanted="1")
    host.run("systemctl", "kill", "--signal=KILL", "vya-backupdb-slow")
    host.wait_until("sh", "-c", "grep -c '^slow: .* was cut off' /var/lib/vya-backupdb/told", wanted="1")
    assert "was cut off" in host.run(PROGRAM, "list", check=False)


def test_a_time_that_was_slept_through_is_caught_up_on(site: ScheduledHost) -> None:
    """systemd keeps in a file when a timer fired last; a stamp of two years ago is what a long sleep leaves."""
    host = site.host
    host.run("systemctl", "stop", "vya-backupdb-bad.timer")
    host.run("systemctl", "reset-failed")
    host.run("touch", "-d", "2 years ago", "/var/lib/systemd/timers/stamp-vya-backupdb-bad.timer")
    before = state(host, "bad")["failures"]
    host.run("systemctl", "start", "vya-backupdb-bad.timer")
    host.wait_until("sh", "-c", f"grep -c '\"failures\": {before + 1}' /var/lib/vya-backupdb/jobs/bad.json", wanted="1")


def test_times_that_systemd_does_not_understand_are_refused(site: ScheduledHost) -> None:
    play = site.schedule(**{**OPTIONS, "jobs": {**JOBS, "backup": {"calendar": "whenever"}}})
    assert (play.status, "'whenever UTC'" in play.output) == (2, True), play.output


def test_jobs_go_when_they_are_taken_out_and_all_goes_in_the_end(site: ScheduledHost) -> None:
    host = site.host
    left = {name: job for name, job in JOBS.items() if name in ("backup", "status")}
    assert site.changed(**{**OPTIONS, "jobs": left}) > 0
    units = host.run("sh", "-c", "cd /etc/systemd/system; ls vya-*")
    jobs = ("backup", "retention", "verify")  # the last two are there unless they are switched off
    ours = [f"vya-backupdb-{job}.{kind}" for job in jobs for kind in ("service", "timer")]
    assert units.split() == sorted([*ours, "vya-backupdb-failed@.service"])
    assert site.changed("--check", state="absent") > 0
    assert site.changed(state="absent") > 0
    assert site.changed(state="absent") == 0
    assert host.run("sh", "-c", "ls /etc/systemd/system/vya-* 2>/dev/null", check=False) == ""
    assert "vya-backupdb" not in host.run("systemctl", "list-timers", "--all", "--no-pager")
    assert host.run("ls", "/opt/vya-backupdb").split() == ["requirements.txt", "venv"]
    assert host.run("ls", "/etc/vya-backupdb").split() == ["config.yml", "keyring.json"]  # SQLite has no logins
