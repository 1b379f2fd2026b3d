"""Planted secrets are looked for wherever they could show, in success and in failure: outputs, processes, files."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kit import mariadb, postgres
from kit.modules import COLLECTIONS, ModuleRun, run_module

WRONG = "Planted wrong: %s$@#'\" Mañana\\"
PLACES = ("/tmp", "/dev/shm", "/var/tmp")


def forms(secret: str) -> set[str]:
    """How a secret could be written."""
    raw = secret.encode()
    escaped = json.dumps(secret)[1:-1]
    return {
        secret,
        escaped,
        json.dumps(escaped)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        quote(secret, safe=""),
        base64.b64encode(raw).decode().rstrip("="),
        raw.hex(),
        secret.replace("\\", "\\\\").replace("'", "\\'"),
        secret.replace("'", "''"),
    }


@dataclass
class Watch:
    """Looks at all descendants of a process as long as it lives: arguments, environments, limits."""

    process: subprocess.Popen[str]
    seen: dict[str, bytes] = field(default_factory=dict)
    core_limits: set[str] = field(default_factory=set)

    def look(self) -> None:
        pids = [self.process.pid]
        for pid in pids:
            folder = Path(f"/proc/{pid}")
            try:
                for thread in (folder / "task").iterdir():
                    pids += [int(child) for child in (thread / "children").read_text().split()]
                told = (folder / "cmdline").read_bytes() + b"\0" + (folder / "environ").read_bytes()
                limits = (folder / "limits").read_text()  # nothing where the process is going
            except (OSError, ValueError):
                continue
            self.seen[f"{pid} {len(told)}"] = told
            if pid != self.process.pid:
                self.core_limits.update(line.split()[4] for line in limits.splitlines() if "core file" in line)

    def until_it_ends(self) -> None:
        while self.process.poll() is None:
            self.look()
            time.sleep(0.002)


@dataclass
class Host:
    """A host's files, and the servers whose passwords are planted in them."""

    folder: Path
    postgres: postgres.PostgresServer
    mariadb: mariadb.MariaDBServer

    @property
    def options(self) -> dict[str, str]:
        names = {"config_file": "config.yml", "keyring": "keyring.json", "credentials_file": "credentials.json"}
        paths = {option: str(self.folder / name) for option, name in names.items()}
        return {**paths, "repository": str(self.folder / "repository")}

    @property
    def secrets(self) -> list[str]:
        keys = [key["key"] for key in json.loads((self.folder / "keyring.json").read_text())["keys"]]
        return [WRONG, self.postgres.password, self.mariadb.password, *keys]

    def connection(self, engine: str, **changes: Any) -> dict[str, Any]:
        server, username = {"mysql": (self.mariadb, "root"), "postgresql": (self.postgres, "postgres")}[engine]
        login = {"username": username, "password": server.password}
        return {"id": engine, "engine": engine, "host": "127.0.0.1", "port": server.port, **login, **changes}

    def leaks(self, text: str | bytes) -> list[str]:
        """The secrets that are in a text."""
        told = text if isinstance(text, bytes) else text.encode()
        return [secret for secret in self.secrets for form in forms(secret) if form.encode() in told]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[postgres.PostgresServer, mariadb.MariaDBServer]]:
    with postgres.running({}) as pg, mariadb.running() as maria:
        pg.create("planted", "CREATE TABLE t (id int)", "INSERT INTO t SELECT generate_series(1, 1000000)")
        maria.create("planted", "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_1_to_400000;")
        yield pg, maria


@pytest.fixture
def host(tmp_path: Path, servers: tuple[postgres.PostgresServer, mariadb.MariaDBServer]) -> Host:
    """A host whose logins are in every place that may hold one."""
    host = Host(tmp_path, *servers)
    config = {
        "logging": {"audit_log": str(tmp_path / "audit.log")},
        "instances": [
            {**host.connection("mysql"), "id": "in-config", "databases": ["planted"]},
            {**host.connection("postgresql", username=None, password=None), "id": "in-store", "databases": ["planted"]},
            {**host.connection("mysql", password=WRONG), "id": "wrong"},
        ],
    }
    (tmp_path / "config.yml").write_text(json.dumps(config))
    (tmp_path / "config.yml").chmod(0o600)
    run_module("keyring", **host.options)
    run_module("credential", **host.options, id="in-store", username="postgres", password=host.postgres.password)
    return host


def everything_printed(run: ModuleRun) -> tuple[str, Watch]:
    watch = Watch(run.process)
    thread = threading.Thread(target=watch.until_it_ends)
    thread.start()
    output = run.output()
    thread.join()
    return output, watch


def open_files(host: Host) -> list[str]:
    """Files of the host, and temporary ones of ours, that others may read, or that hold a secret without being its
    place."""
    wrong = []
    own = [path for path in host.folder.rglob("*") if path.is_file()]
    temporary = [path for place in PLACES for path in Path(place).glob("vya*backup*") if path.is_file()]
    for path in [*own, *temporary]:
        try:
            mode, content = path.stat().st_mode, path.read_bytes()
        except FileNotFoundError:  # another test's
            continue
        if mode & 0o077:
            wrong.append(f"{path} is open to others")
        if path.name not in {"config.yml", "keyring.json"} and host.leaks(content):
            wrong.append(f"{path} holds a secret")
    return wrong


def test_the_search_finds_what_is_there(host: Host) -> None:
    """Each form of each secret, in a text, in a file, and in the arguments and environments of children."""
    for secret in host.secrets:
        for form in forms(secret):
            assert host.leaks(f"before {form} after") != []
    (host.folder / "leak").write_text(host.mariadb.password)
    assert len(open_files(host)) == 2
    script = "import subprocess, sys; subprocess.run(['sleep', '1'], env={'SECRET': sys.argv[1]}, check=True)"
    child = subprocess.Popen([sys.executable, "-c", script, host.postgres.password], text=True)
    watch = Watch(child)
    watch.until_it_ends()
    assert sum(bool(host.leaks(told)) for told in watch.seen.values()) >= 2


def test_success_and_failure_side_by_side_tell_nothing(host: Host) -> None:
    """A backup of all instances, one of whose passwords is wrong, and restores of what it made."""
    run = ModuleRun("backup", **host.options)
    output, watch = everything_printed(run)
    result = json.loads(output.strip().splitlines()[-1])
    assert sorted(entry["instance"] for entry in result["backups"]) == ["in-config", "in-store"]
    assert [entry["code"] for entry in result["failures"]] == ["authentication_failed"]
    outputs, watches = [output], [watch]
    for backup in result["backups"]:
        chosen = {"backup": backup["id"], "instance": backup["instance"], "target_database": "planted_again"}
        for _existing in ("first", "second"):  # the second finds its target there
            output, watch = everything_printed(ModuleRun("restore", **host.options, **chosen))
            outputs.append(output)
            watches.append(watch)
    assert sum('"target_exists"' in output for output in outputs) == 2
    children = [told for watch in watches for told in watch.seen.values()]
    programs = b" ".join(children)
    assert all(name in programs for name in (b"mariadb-dump", b"pg_dump", b"pg_restore"))
    assert [output for output in [*outputs, *children] if host.leaks(output)] == []
    assert {limit for watch in watches for limit in watch.core_limits} == {"0"}
    assert open_files(host) == []
    audit = (host.folder / "audit.log").read_text()
    assert [json.loads(line)["result"] for line in audit.splitlines()].count("failed") == 3
    host.postgres.drop("planted_again")
    host.mariadb.drop("planted_again")


FAILURES = {
    "wrong password": ({"password": WRONG}, "authentication_failed"),
    "wrong password with a line break": ({"password": f"{WRONG}\nmore"}, "authentication_failed"),
    "server down": ({"port": 1}, "connection_failed"),
    "no such database": ({"databases": ["none"]}, "not_found"),
    "wrong TLS file": ({"tls": {"mode": "verify-full", "ca": "/nowhere/ca.crt"}}, None),
    "TLS that the server does not offer": ({"tls": {"mode": "require"}}, "connection_failed"),
    "a password in the wrong place": ({"username": WRONG}, "authentication_failed"),
    "a wrong option": ({"port": 70000}, "invalid_config"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("engine", ["mysql", "postgresql"])
def test_failures_tell_nothing(host: Host, engine: str, failure: str) -> None:
    changes, code = FAILURES[failure]
    output, watch = everything_printed(
        ModuleRun("backup", **host.options, connection=host.connection(engine, **changes))
    )
    result = json.loads(output.strip().splitlines()[-1])
    assert result["failed"] is True
    assert code in (None, result["code"])
    secrets = [WRONG] if failure != "a password in the wrong place" else []  # a name is no secret
    told = [text for text in [output, *watch.seen.values()] if set(host.leaks(text)) - ({WRONG} - set(secrets))]
    assert told == []
    assert open_files(host) == []


@pytest.mark.parametrize("engine", ["mysql", "postgresql"])
def test_a_killed_tool_tells_nothing(host: Host, engine: str) -> None:
    """The dump tool is killed at work; what it leaves, and what is said of it, holds no secret."""
    name = {"mysql": b"mariadb-dump", "postgresql": b"pg_dump"}[engine]
    run = ModuleRun("backup", **host.options, connection=host.connection(engine, databases=["planted"]))
    watch = Watch(run.process)
    killed = False
    while run.process.poll() is None and not killed:
        watch.look()
        for key, told in list(watch.seen.items()):
            if name in told.split(b"\0")[0] and b"--version" not in told:
                with suppress(ProcessLookupError):
                    os.kill(int(key.split()[0]), signal.SIGABRT)
                    killed = True
    output = run.output()
    assert killed
    assert (json.loads(output.strip().splitlines()[-1])["failed"], host.leaks(output)) == (True, [])
    assert list(Path.cwd().glob("core*")) == []
    assert open_files(host) == []


def test_a_module_leaves_no_core_file(host: Host, tmp_path: Path) -> None:
    """Even where the system would write one into the working folder."""
    script = (
        "import resource; hard = resource.getrlimit(resource.RLIMIT_CORE)[1];"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)); print(hard, flush=True);"
        "import runpy; runpy.run_module('ansible_collections.vya.backupdb.plugins.modules.instance_info',"
        "run_name='__main__', alter_sys=True)"
    )
    options = tmp_path / "options.json"
    slow = host.connection("mysql", host="192.0.2.1")  # nobody answers there (RFC 5737)
    options.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**host.options, "connection": slow}}))
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(options)], cwd=COLLECTIONS, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert int(process.stdout.readline()) != 0  # from here on it could leave a core file
    limits = Path(f"/proc/{process.pid}/limits")
    soft = ""
    while soft != "0" and process.poll() is None:
        soft = next(line for line in limits.read_text().splitlines() if "core file" in line).split()[4]
        time.sleep(0.01)
    process.send_signal(signal.SIGABRT)
    process.communicate()
    assert (soft, process.returncode) == ("0", -signal.SIGABRT)
    assert list(COLLECTIONS.glob("core*")) == []
