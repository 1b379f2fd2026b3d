# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a play over many hosts costs the controller: ``python tests/benchmark/fleet.py --hosts 200``.

The hosts are local connections to this machine, so that it bears their work, too; each has a SQLite database and a
repository of its own. Backups that are not due are put beside ``ansible -m ping`` on the same inventory.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
MIB = 1 << 20


@dataclass
class Cost:
    """Wall time and processor time in seconds, and the largest resident size of the controller's process in bytes."""

    wall: float
    cpu: float
    memory: int


def peak(process: int) -> int:
    """The largest resident size of a process so far."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def cost(command: list[str], folder: Path) -> Cost:
    """What a command costs, with all its children."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "LC_ALL": "C.UTF-8",
    }
    with (folder / "log").open("w") as log:
        started, memory = time.monotonic(), 0
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        while True:
            found, status, usage = os.wait4(process.pid, os.WNOHANG)
            if found:
                break
            memory = max(memory, peak(process.pid))
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit((folder / "log").read_text()[-4000:])
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, memory)


def make_fleet(folder: Path, count: int, forks: int) -> None:
    hosts = {}
    for number in range(count):
        name = f"host{number:04}"
        (folder / name / "files").mkdir(parents=True)
        with closing(sqlite3.connect(folder / name / "files" / "app.db")) as connection:
            connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
            connection.commit()
        instance = {"id": "files", "engine": "sqlite", "path": str(folder / name / "files")}
        hosts[name] = {"backupdb_instances": [instance], "backupdb_repository": str(folder / name / "repository")}
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "backupdb_become": False,
        "backupdb_create_keyring": True,
        "backupdb_keyring": str(folder / "keyring.json"),
        "backupdb_max_age": "24h",
    }
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": common}}))
    (folder / "ansible.cfg").write_text(f"[defaults]\nforks = {forks}\ninventory = {folder}/inventory.yml\n")


def shipped(folder: Path) -> dict[str, int]:
    """How many bytes Ansible sends to a host for each module: the file that it leaves there when told to."""
    sizes = {}
    modules = ["ansible.builtin.ping", *(f"vya.backupdb.{path.stem}" for path in ROOT.glob("plugins/modules/*.py"))]
    for module in sorted(modules):
        kept = folder / "kept" / module
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_KEEP_REMOTE_FILES": "true",
            "ANSIBLE_REMOTE_TEMP": str(kept),
        }
        command = [
            PROGRAMS / "ansible",
            "localhost",
            "-m",
            module,
            "-e",
            f"ansible_python_interpreter={sys.executable}",
        ]
        subprocess.run(command, env=environment, capture_output=True, check=False)  # it may want options
        found = list(kept.rglob("AnsiballZ_*.py"))
        if found:  # an action may not come to run its module
            sizes[module] = found[0].stat().st_size
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    subprocess.run([ROOT / "tests" / "tools" / "link"], check=True)
    with tempfile.TemporaryDirectory(prefix="vya-fleet-") as name:
        folder = Path(name)
        make_fleet(folder, chosen.hosts, chosen.forks)
        ping = [str(PROGRAMS / "ansible"), "all", "-m", "ping"]
        play = [str(PROGRAMS / "ansible-playbook"), "vya.backupdb.backup"]
        cost(play, folder)  # takes the backups
        rounds = [(cost(ping, folder), cost(play, folder)) for _turn in range(chosen.rounds)]
        print(f"{chosen.hosts} hosts, {chosen.forks} forks, {os.cpu_count()} cores, best of {chosen.rounds}")
        pings, plays = zip(*rounds, strict=True)
        for words, costs in (("ansible -m ping", pings), ("backups that are not due", plays)):
            wall, cpu = min(one.wall for one in costs), min(one.cpu for one in costs)
            print(f"{words:<26} {wall:7.1f} s {cpu:7.1f} s of processor {max(c.memory for c in costs) / MIB:6.0f} MiB")
        ratios = [min(one.wall for one in plays) / min(one.wall for one in pings)]
        ratios.append(min(one.cpu for one in plays) / min(one.cpu for one in pings))
        print("ratio                      {:7.2f}   {:7.2f}".format(*ratios))
        for module, size in shipped(folder).items():
            print(f"{module:<36} {size / 1000:7.1f} kB")


if __name__ == "__main__":
    main()
