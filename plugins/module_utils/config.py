# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances and the host's configuration file: one schema for the file, the roles and the ``connection`` option."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .errors import InvalidConfigError, NotFoundError, PermissionDeniedError
from .problems import Problems
from .streams import LEVELS

ENGINES = ("mysql", "postgresql", "sqlite")
TLS_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
DEFAULT_PORTS = {"mysql": 3306, "postgresql": 5432}
DEFAULT_CONFIG_FILE = "/etc/vya-backupdb/config.yml"
KEY_SOURCES = ("file", "hostname")

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
    """One database server or, for SQLite, one file, folder or glob of database files.

    ``credential`` is the id of an entry of the credential store; security/credentials.py says when it is used.
    """

    id: str
    engine: str
    host: str | None = None
    port: int | None = None
    unix_socket: str | None = None
    path: str | None = None
    credential: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = field(default_factory=Tls)
    databases: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def wants_login(self) -> bool:
        """Whether a user name and a password are to be looked for elsewhere: a server that comes with neither."""
        return self.engine != "sqlite" and not self.username and not self.password

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
    retention: Mapping[str, Any] = field(default_factory=dict)
    key_source: str = "file"
    audit_log: str | None = None

    def instance(self, instance_id: str, where: str) -> Instance:
        for instance in self.instances:
            if instance.id == instance_id:
                return instance
        known = ", ".join(sorted(instance.id for instance in self.instances)) or "none"
        raise NotFoundError(
            f"There is no instance '{instance_id}' in {where} (instances there: {known}). "
            "Correct the name, or describe the instance with the option connection."
        )


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


class _Problems(Problems):
    """What may be wrong with the values of a configuration file."""

    def mapping(self, value: Any, path: str, known: Iterable[str]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.add(path, "must be a mapping")
            return {}
        for name in value:
            if name not in known:
                self.unknown(_join(path, name), sorted(known))
        return {name: item for name, item in value.items() if item is not None}

    def choice(self, values: Mapping[str, Any], name: str, path: str, choices: Iterable[str], default: str) -> str:
        value = values.get(name, default)
        if value not in choices:
            self.add(_join(path, name), f"{value!r} is not one of {', '.join(choices)}")
            return default
        return str(value)

    def number(self, values: Mapping[str, Any], name: str, path: str, smallest: int, largest: int) -> int | None:
        value = values.get(name)
        if value is None:
            return None
        try:
            number = int(str(value))
        except ValueError:
            self.add(_join(path, name), f"{value!r} is not a number")
            return None
        if not smallest <= number <= largest:
            self.add(_join(path, name), f"{number} is not between {smallest} and {largest}")
            return None
        return number

    def text(self, values: Mapping[str, Any], name: str, path: str) -> str | None:
        value = values.get(name)
        if value is None or isinstance(value, str):
            return value or None
        self.add(_join(path, name), "must be a string")
        return None

    def absolute_path(self, values: Mapping[str, Any], name: str, path: str) -> str | None:
        value = self.text(values, name, path)
        if value and not value.startswith("/"):
            self.add(_join(path, name), f"{value!r} is not an absolute path")
        return value

    def texts(self, values: Mapping[str, Any], name: str, path: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = values.get(name)
        if value is None:
            return default
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value) or default
        self.add(_join(path, name), "must be a list of names or patterns")
        return default


_INSTANCE_KEYS = (
    "id", "engine", "host", "port", "unix_socket", "path", "credential", "username", "password", "tls", "databases",
    "exclude", "enabled",
)  # fmt: skip
_CONFIG_KEYS = ("instances", "repository", "compression", "retention", "logging", "key_source")


def _instance(raw: Any, path: str, problems: _Problems) -> Instance:
    values = problems.mapping(raw, path, _INSTANCE_KEYS)
    instance_id = str(values.get("id", ""))
    if not _ID.fullmatch(instance_id):
        problems.add(
            f"{path}.id", f"{instance_id!r} must be letters, digits, '-', '_' and '.', not starting with a sign"
        )
    engine = problems.choice(values, "engine", path, ENGINES, "")
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
    credential = problems.text(values, "credential", path)
    if credential and (values.get("username") or values.get("password")):
        problems.add(f"{path}.credential", "excludes username and password: name the entry of the store, or say both")
    return Instance(
        id=instance_id,
        engine=engine,
        host=problems.text(values, "host", path),
        port=problems.number(values, "port", path, 1, 65535),
        unix_socket=problems.text(values, "unix_socket", path),
        path=database_path,
        credential=credential,
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
    import yaml  # not sooner: a host that is told its instances has no file

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
    config = _config(raw, problems)
    problems.raise_if_any(f"Wrong configuration in {path}")
    _refuse_open_passwords(path, config)
    return config


def problems_of(raw: Mapping[str, Any]) -> list[str]:
    """Every wrong value of what is to become a configuration file, with its path; empty where all is well."""
    problems = _Problems()
    _config(raw, problems)
    return problems.found


def _config(raw: Any, problems: _Problems) -> HostConfig:
    values = problems.mapping(raw, "", _CONFIG_KEYS)
    logging = problems.mapping(values.get("logging", {}), "logging", ("audit_log",))
    return HostConfig(
        instances=_instances(values.get("instances", []), problems),
        repository=problems.absolute_path(values, "repository", ""),
        compression=_compression(values.get("compression", {}), problems),
        retention=_retention(values.get("retention", {}), problems),
        key_source=problems.choice(values, "key_source", "", KEY_SOURCES, "file"),
        audit_log=problems.absolute_path(logging, "audit_log", "logging"),
    )


def _instances(raw: Any, problems: _Problems) -> tuple[Instance, ...]:
    if not isinstance(raw, list):
        problems.add("instances", "must be a list")
        return ()
    parsed = tuple(_instance(item, f"instances[{index}]", problems) for index, item in enumerate(raw))
    seen: dict[str, int] = {}
    for index, instance in enumerate(parsed):
        if instance.id in seen:
            problems.add(f"instances[{index}].id", f"{instance.id!r} is already used by instances[{seen[instance.id]}]")
        seen.setdefault(instance.id, index)
    return parsed


def _compression(raw: Any, problems: _Problems) -> dict[str, Any]:
    values = problems.mapping(raw, "compression", ("method", "level"))
    method = problems.choice(values, "method", "compression", LEVELS, "zstd")
    levels = LEVELS[method]
    level = problems.number(values, "level", "compression", levels.start, levels.stop - 1)
    return {"method": method, "level": level} if values else {}


def _retention(raw: Any, problems: _Problems) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        problems.add("retention", "must be a mapping")
        return {}
    if raw:
        from .retention.policy import parse_policy

        problems.found += [f"retention.{problem}" for problem in parse_policy(raw)[1]]
    return {name: value for name, value in raw.items() if value is not None}


def _refuse_open_passwords(path: str, config: HostConfig) -> None:
    """A file that all accounts of the host may read must not hold passwords."""
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    if mode & stat.S_IRWXO and any(instance.password for instance in config.instances):
        raise PermissionDeniedError(
            f"{path} holds passwords and is open to others (mode {mode:04o}). Run: chmod o= {path}, "
            "or move them to the credential store with the module credential."
        )


@dataclass(frozen=True)
class Selected:
    """What patterns chose: the names, and the include patterns that matched nothing."""

    names: tuple[str, ...]
    unmatched: tuple[str, ...]


def fits(name: str, pattern: str) -> bool:
    """Whether a name is meant by a shell-style pattern, or equals it to the letter."""
    return name == pattern or fnmatchcase(name, pattern)


def select_names(names: Iterable[str], include: Iterable[str], exclude: Iterable[str]) -> Selected:
    """Applies shell-style patterns to names; a name that equals a pattern to the letter always matches it."""
    available = sorted(names)
    include = tuple(include)
    chosen = [name for name in available if any(fits(name, pattern) for pattern in include)]
    return Selected(
        names=tuple(name for name in chosen if not any(fits(name, pattern) for pattern in exclude)),
        unmatched=tuple(
            pattern for pattern in include if pattern != "*" and not any(fits(name, pattern) for name in available)
        ),
    )
