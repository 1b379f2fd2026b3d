"""The role schedule where no systemd runs: its units as systemd-analyze sees them, and cron on a bare host.

tests/slow has the timers themselves.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.agents import ANSIBLE, ScheduledHost, wheelhouse
from kit.barehost import bare_host
from kit.plays import Controller

PROGRAM = "/opt/vya-backupdb/bin/vya-backupdb-job"


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """With every option, in a folder of their own; a program that is there stands for ours."""
    units = tmp_path / "units"
    units.mkdir()
    values: dict[str, Any] = {
        "__schedule_units": str(units),
        "__schedule_program": "/bin/true",
        "__schedule_manager": "systemd",
        "backupdb_schedule_time_zone": "UTC",
        "backupdb_schedule_memory_max": "1G",
        "backupdb_schedule_cpu_quota": "50%",
        "backupdb_schedule_unit_options": ["ProtectHome=read-only"],
        "backupdb_schedule_jobs": {"hourly": {"playbook": "own.yml", "calendar": "hourly", "random_delay": 60}},
    }
    playbook = tmp_path / "units.yml"
    role = {"name": "vya.backupdb.schedule", "tasks_from": "units.yml"}
    tasks = [{"ansible.builtin.include_role": role}]
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "vars": values, "tasks": tasks}]))
    play = Controller(tmp_path, {"db1": {}}).play(str(playbook), "--extra-vars", json.dumps(values))
    assert play.status == 0, play.output
    names = sorted(path.name for path in units.iterdir())
    assert {"vya-backupdb-backup.service", "vya-backupdb-backup.timer", "vya-backupdb-hourly.timer"} <= set(names)
    assert "vya-backupdb-failed@.service" in names
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(units / name for name in names if "@" not in name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in checked.stderr.splitlines() if "vya-backupdb" in line]
    assert (checked.returncode, ours) == (0, [])
    service = (units / "vya-backupdb-hourly.service").read_text().splitlines()
    assert {"MemoryMax=1G", "CPUQuota=50%", "ProtectHome=read-only", "ExecStart=/bin/true run hourly"} <= set(service)
    timer = (units / "vya-backupdb-hourly.timer").read_text()
    assert "OnCalendar=hourly UTC\nRandomizedDelaySec=60\n" in timer
    assert "Persistent=yes\n" in timer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScheduledHost]:
    folder = tmp_path_factory.mktemp("cron")
    with bare_host("db1", packages=("cron", "logrotate", "python3-packaging", "python3-venv")) as host:
        yield ScheduledHost(folder, host, wheelhouse(ANSIBLE), backupdb_max_age="2h")


JOBS: dict[str, Any] = {
    "backup": {"cron": "* * * * *", "random_delay": 0, "variables": {"backupdb_max_age": "1h"}},
    "status": {"enabled": False},
}


def test_cron_where_there_is_no_systemd(site: ScheduledHost) -> None:
    """The line of cron is run as cron would run it: by the shell that it names, with its environment, at once."""
    secret = "token: %s$@#'\" Mañana"
    options: dict[str, Any] = {"jobs": JOBS, "variables": {"backupdb_token": secret}}
    assert site.changed("--check", **options) > 0
    assert "vya-backupdb" not in site.host.names("/etc/cron.d")
    first = site.schedule("-vvv", "--diff", **options)
    assert first.status == 0, first.output
    told = first.output.split("TASK [")[1:]  # what Ansible says of extra variables is not ours
    assert not [task for task in told if secret in task or json.dumps(secret)[1:-1] in task]
    assert site.changed(**options) == 0
    assert site.changed("--check", **options) == 0

    settings = site.host.read("/etc/cron.d/vya-backupdb").splitlines()
    (line,) = [line for line in settings if line.startswith("* * * * * root ")]
    command = line.removeprefix("* * * * * root ")
    site.host.run("/bin/sh", "-c", command)
    state = json.loads(site.host.read("/var/lib/vya-backupdb/jobs/backup.json"))
    assert (state["exit_status"], state["failures"], state["succeeded"]) == (0, 0, state["finished"])
    log = site.host.read("/var/log/vya-backupdb/job-backup.log")
    assert "wiki      pages.db  backed up" in log
    assert secret not in log
    assert site.host.names("/var/backups/vya-backupdb/db1/wiki") == ["pages.db"]
    assert site.host.run("stat", "--format=%a", "/etc/vya-backupdb/schedule/inventory.json") == b"600\n"
    # The health file of the role monitoring is in there, for everybody to read.
    assert site.host.run("stat", "--format=%a", "/var/lib/vya-backupdb", "/var/lib/vya-backupdb/jobs") == b"755\n700\n"
    assert "backup       ok" in site.host.run(PROGRAM, "list").decode()


def test_wrong_jobs_are_refused_and_all_goes_in_the_end(site: ScheduledHost) -> None:
    for jobs in ({"Bad name": {"playbook": "x.yml", "cron": "@daily"}}, {"own": {"cron": "@daily"}}):
        refused = site.schedule(jobs=jobs)
        assert (refused.status, "cannot be scheduled: its name must be" in refused.output) == (2, True)
    zone = site.schedule(time_zone="Europe/Madrid")
    assert (zone.status, "knows the time zone of the host only" in zone.output) == (2, True)
    assert site.changed(state="absent") > 0
    assert site.changed(state="absent") == 0
    assert "vya-backupdb" not in site.host.names("/etc/cron.d")
    assert site.host.names("/opt/vya-backupdb") == ["requirements.txt", "venv"]
