# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a play over many hosts costs the controller: ``make scale``.

All hosts are this machine, so that it bears their work, too: reached by local connections, or each by a connection of
its own to a private sshd. Each has a SQLite database and a repository of its own. Backups that are not due are put
beside ``ansible -m ping`` on the same inventory, in turns.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kit.sshd import ssh_server

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
MIB = 1 << 20
SECONDS_BETWEEN_SUMS = 2.0
"""A sum takes long to read, and would be work of its own."""


@dataclass
class Cost:
    """Wall time and processor time in seconds (of what an sshd starts, only the wall time), the largest resident size
    of the controller's process in bytes, and the largest sum of what it and its forks take (each page once,
    proc_pid_smaps(5), "Pss")."""

    wall: float
    cpu: float
    memory: int
    forks: int


def peak(process: int) -> int:
    """The largest resident size of a process so far."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def together(process: int) -> int:
    """What a process and the forks of it that have not become another program take now, in bytes."""
    total = 0
    with suppress(OSError):
        ours = Path(f"/proc/{process}/cmdline").read_bytes()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        for one in (process, *children):
            with suppress(OSError):
                if Path(f"/proc/{one}/cmdline").read_bytes() == ours:
                    rollup = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
                    total += next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    return total


def cost(command: list[str], folder: Path) -> Cost:
    """What a command costs, with all its children."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "LC_ALL": "C.UTF-8",
    }
    with (folder / "log").open("w") as log:
        started, memory, forks, looked = time.monotonic(), 0, 0, 0.0
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        while True:
            found, status, usage = os.wait4(process.pid, os.WNOHANG)
            if found:
                break
            memory = max(memory, peak(process.pid))
            if time.monotonic() - looked > SECONDS_BETWEEN_SUMS:
                forks, looked = max(forks, together(process.pid)), time.monotonic()
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit((folder / "log").read_text()[-4000:])
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, memory, forks)


@dataclass
class Reach:
    """How the hosts are reached: what the inventory says of all, and how to lose the connections that are left."""

    variables: dict[str, Any]
    cut: Callable[[], object] = lambda: None


@contextmanager
def reach(folder: Path, ssh: bool) -> Iterator[Reach]:
    if not ssh:
        yield Reach({"ansible_connection": "local"})
        return
    (folder / "sshd").mkdir()
    with ssh_server(folder / "sshd") as server:
        variables = {**server.variables}
        # Each host has its own name, and so its own connection.
        variables["ansible_ssh_common_args"] += f" -o HostName={variables.pop('ansible_host')}"
        yield Reach(variables, server.cut)


def make_fleet(folder: Path, count: int, forks: int, pipelining: bool, variables: dict[str, Any]) -> None:
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
        **variables,
        "ansible_python_interpreter": sys.executable,
        "backupdb_become": False,
        "backupdb_create_keyring": True,
        "backupdb_keyring": str(folder / "keyring.json"),
        "backupdb_max_age": "24h",
    }
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": common}}))
    settings = f"[defaults]\nforks = {forks}\ninventory = {folder}/inventory.yml\n"
    settings += f"[connection]\npipelining = {pipelining}\n"
    (folder / "ansible.cfg").write_text(settings)


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


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pipelining", action="store_true", help="send modules over the pipe of the connection")
    parser.add_argument("--bytes", action="store_true", help="list what each module ships, too")
    parser.add_argument("--ssh", action="store_true", help="reach the hosts through an sshd")
    chosen = parser.parse_args(given)
    busy = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="vya-fleet-") as name, reach(Path(name), chosen.ssh) as way:
        folder = Path(name)
        make_fleet(folder, chosen.hosts, chosen.forks, chosen.pipelining, way.variables)
        ping = [str(PROGRAMS / "ansible"), "all", "-m", "ping"]
        play = [str(PROGRAMS / "ansible-playbook"), "vya.backupdb.backup"]
        cost(play, folder)  # takes the backups
        pings, plays = [], []
        for _turn in range(chosen.rounds):
            for command, costs in ((ping, pings), (play, plays)):
                way.cut()
                costs.append(cost(command, folder))
        by = ("SSH" if chosen.ssh else "local connections") + (", pipelining" if chosen.pipelining else "")
        print(
            f"{chosen.hosts} hosts by {by}, {chosen.forks} forks, {os.cpu_count()} cores, medians of {chosen.rounds}, "
            f"load averages when it began: {' '.join(f'{load:.1f}' for load in busy)}"
        )
        medians = []
        for words, costs in (("ansible -m ping", pings), ("backups that are not due", plays)):
            wall, cpu = (statistics.median(getattr(one, name) for one in costs) for name in ("wall", "cpu"))
            medians.append((wall, cpu))
            memory, forks = (max(getattr(one, name) for one in costs) / MIB for name in ("memory", "forks"))
            print(f"{words:<26} {wall:7.1f} s {cpu:7.1f} s of processor {memory:5.0f} MiB {forks:5.0f} MiB with forks")
        ratios = [ours / of for of, ours in zip(*medians, strict=True)]
        print("ratio                      {:7.2f}   {:7.2f}".format(*ratios))
        for module, size in (shipped(folder) if chosen.bytes else {}).items():
            print(f"{module:<36} {size / 1000:7.1f} kB")


if __name__ == "__main__":
    main()
