# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances and the host's configuration file: one schema for the file, the roles and the ``connection`` option."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .errors import InvalidConfigError, NotFoundError

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import yaml

ENGINES = ("mysql", "postgresql", "sqlite")
TLS_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
DEFAULT_PORTS = {"mysql": 3306, "postgresql": 5432}
DEFAULT_CONFIG_FILE = "/etc/vya-backupdb/config.yml"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Tls:
    """How the connection is encrypted; the modes have libpq's names and meanings."""

    mode: str = "prefer"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Instance:
    """One database server or, for SQLite, one file, folder or glob of database files."""

    id: str
    engine: str
    host: str | None = None
    port: int | None = None
    unix_socket: str | None = None
    path: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = field(default_factory=Tls)
    databases: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def address(self) -> str:
        """Where the instance is, for messages: ``db1:5432``, ``/run/mysqld/mysqld.sock`` or a path."""
        if self.engine == "sqlite":
            return str(self.path)
        if self.unix_socket:
            return self.unix_socket
        return f"{self.host or 'localhost'}:{self.port or DEFAULT_PORTS[self.engine]}"


@dataclass(frozen=True)
class HostConfig:
    """The configuration file of a host; absent settings are None."""

    instances: tuple[Instance, ...] = ()
    repository: str | None = None
    compression: Mapping[str, Any] = field(default_factory=dict)

    def instance(self, instance_id: str, where: str) -> Instance:
        for instance in self.instances:
            if instance.id == instance_id:
                return instance
        known = ", ".join(sorted(instance.id for instance in self.instances)) or "none"
        raise NotFoundError(
            f"There is no instance '{instance_id}' in {where} (instances there: {known}). "
            "Correct the name, or describe the instance with the option connection."
        )


class _Problems:
    """Collects every wrong value with its path, so that all are reported at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, path: str, sentence: str) -> None:
        self.found.append(f"{path}: {sentence}")

    def mapping(self, value: Any, path: str, known: Iterable[str]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.add(path, "must be a mapping")
            return {}
        for name in value:
            if name not in known:
                self.add(f"{path}.{name}" if path else str(name), f"is unknown (known: {', '.join(sorted(known))})")
        return {name: item for name, item in value.items() if item is not None}

    def choice(self, values: Mapping[str, Any], name: str, path: str, choices: Iterable[str], default: str) -> str:
        value = values.get(name, default)
        if value not in choices:
            self.add(f"{path}.{name}", f"{value!r} is not one of {', '.join(choices)}")
            return default
        return str(value)

    def text(self, values: Mapping[str, Any], name: str, path: str) -> str | None:
        value = values.get(name)
        if value is None or isinstance(value, str):
            return value or None
        self.add(f"{path}.{name}", "must be a string")
        return None

    def texts(self, values: Mapping[str, Any], name: str, path: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = values.get(name)
        if value is None:
            return default
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value) or default
        self.add(f"{path}.{name}", "must be a list of names or patterns")
        return default

    def raise_if_any(self, where: str) -> None:
        if self.found:
            raise InvalidConfigError(f"{where}: " + "; ".join(self.found))


_INSTANCE_KEYS = (
    "id", "engine", "host", "port", "unix_socket", "path", "username", "password", "tls", "databases", "exclude",
    "enabled",
)  # fmt: skip
_CONFIG_KEYS = ("instances", "repository", "compression", "retention", "logging")


def _instance(raw: Any, path: str, problems: _Problems) -> Instance:
    values = problems.mapping(raw, path, _INSTANCE_KEYS)
    instance_id = str(values.get("id", ""))
    if not _ID.fullmatch(instance_id):
        problems.add(
            f"{path}.id", f"{instance_id!r} must be letters, digits, '-', '_' and '.', not starting with a sign"
        )
    engine = problems.choice(values, "engine", path, ENGINES, "")
    port = values.get("port")
    if port is not None:
        try:
            port = int(port)
        except (TypeError, ValueError):
            problems.add(f"{path}.port", f"{port!r} is not a number")
            port = None
        else:
            if not 1 <= port <= 65535:
                problems.add(f"{path}.port", f"{port} is not between 1 and 65535")
    database_path = problems.text(values, "path", path)
    if engine == "sqlite":
        if not database_path:
            problems.add(f"{path}.path", "is required for engine sqlite (a file, a folder or a glob)")
        elif not database_path.startswith("/"):
            problems.add(f"{path}.path", f"{database_path!r} is not an absolute path")
    elif engine and database_path:
        problems.add(f"{path}.path", f"is for engine sqlite only, not for {engine}")
    tls = problems.mapping(values.get("tls", {}), f"{path}.tls", ("mode", "ca", "cert", "key"))
    enabled = values.get("enabled", True)
    if not isinstance(enabled, bool):
        problems.add(f"{path}.enabled", "must be true or false")
    return Instance(
        id=instance_id,
        engine=engine,
        host=problems.text(values, "host", path),
        port=port,
        unix_socket=problems.text(values, "unix_socket", path),
        path=database_path,
        username=problems.text(values, "username", path),
        password=problems.text(values, "password", path),
        tls=Tls(
            mode=problems.choice(tls, "mode", f"{path}.tls", TLS_MODES, "prefer"),
            ca=problems.text(tls, "ca", f"{path}.tls"),
            cert=problems.text(tls, "cert", f"{path}.tls"),
            key=problems.text(tls, "key", f"{path}.tls"),
        ),
        databases=problems.texts(values, "databases", path, ("*",)),
        exclude=problems.texts(values, "exclude", path, ()),
        enabled=bool(enabled),
    )


def parse_instance(raw: Mapping[str, Any], where: str = "connection") -> Instance:
    """Returns the instance that a mapping describes; raises InvalidConfigError naming every wrong value."""
    problems = _Problems()
    instance = _instance(raw, where, problems)
    problems.raise_if_any("Wrong connection")
    return instance


def load_config(path: str) -> HostConfig:
    """Reads a host's configuration file; raises InvalidConfigError naming every wrong value with its path."""
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise InvalidConfigError(
            f"There is no configuration file {path}. Create it, name another with config_file, "
            "or describe the instance with the option connection."
        ) from None
    except OSError as error:
        raise InvalidConfigError(f"{path} cannot be read: {os.strerror(error.errno or 0)}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        position = getattr(error, "problem_mark", None)
        line = f" near line {position.line + 1}" if position else ""
        raise InvalidConfigError(f"{path} is not valid YAML{line}.") from None
    problems = _Problems()
    values = problems.mapping(raw, "", _CONFIG_KEYS)
    instances = values.get("instances", [])
    if not isinstance(instances, list):
        problems.add("instances", "must be a list")
        instances = []
    parsed = tuple(_instance(item, f"instances[{index}]", problems) for index, item in enumerate(instances))
    seen: dict[str, int] = {}
    for index, instance in enumerate(parsed):
        if instance.id in seen:
            problems.add(f"instances[{index}].id", f"{instance.id!r} is already used by instances[{seen[instance.id]}]")
        seen.setdefault(instance.id, index)
    config = HostConfig(
        instances=parsed,
        repository=problems.text(values, "repository", ""),
        compression=problems.mapping(values.get("compression", {}), "compression", ("method", "level")),
    )
    problems.raise_if_any(f"Wrong configuration in {path}")
    return config


@dataclass(frozen=True)
class Selected:
    """What patterns chose: the names, and the include patterns that matched nothing."""

    names: tuple[str, ...]
    unmatched: tuple[str, ...]


def select_names(names: Iterable[str], include: Iterable[str], exclude: Iterable[str]) -> Selected:
    """Applies shell-style patterns to names; a name that equals a pattern to the letter always matches it."""

    def matches(name: str, pattern: str) -> bool:
        return name == pattern or fnmatchcase(name, pattern)

    available = sorted(names)
    include = tuple(include)
    chosen = [name for name in available if any(matches(name, pattern) for pattern in include)]
    return Selected(
        names=tuple(name for name in chosen if not any(matches(name, pattern) for pattern in exclude)),
        unmatched=tuple(
            pattern for pattern in include if pattern != "*" and not any(matches(name, pattern) for name in available)
        ),
    )
