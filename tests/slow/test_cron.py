"""cron itself starts a job, on a bare host; here because it takes up to a minute for that."""

from __future__ import annotations

import json
import time
from pathlib import Path

from kit.agents import ANSIBLE, ScheduledHost, wheelhouse
from kit.barehost import bare_host

STATE = "/var/lib/vya-backupdb/jobs/backup.json"


def test_cron_itself_starts_the_job(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with bare_host("db1", packages=("cron", "logrotate", "python3-packaging", "python3-venv")) as host:
        site = ScheduledHost(tmp_path, host, wheelhouse(ANSIBLE))
        jobs = {"backup": {"cron": "* * * * *", "random_delay": 0}, "status": {"enabled": False}}
        assert site.changed(jobs=jobs) > 0
        host.run("cron")
        for _turn in range(300):
            if host.run("cat", STATE, check=False) and json.loads(host.read(STATE))["finished"]:
                break
            time.sleep(0.5)
        assert json.loads(host.read(STATE))["exit_status"] == 0
        assert "wiki      pages.db  backed up" in host.read("/var/log/vya-backupdb/job-backup.log")
