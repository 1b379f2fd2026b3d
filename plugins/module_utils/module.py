# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between Ansible and the library: shared argument specs, errors to fail_json. No other file here knows Ansible."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]
from ansible.module_utils.common.respawn import has_respawned, respawn_module  # type: ignore[import-untyped]

from .config import DEFAULT_CONFIG_FILE, ENGINES, TLS_MODES, HostConfig, Instance, load_config, parse_instance
from .errors import BackupdbError, InvalidConfigError, LibraryMissingError, unexpected
from .repository.catalog import Selection, parse_moment
from .repository.local import LocalRepository
from .security.keyring import DEFAULT_KEYRING
from .security.redact import Redactor

AGENT_PYTHON = "/opt/vya-backupdb/venv/bin/python"
DEFAULT_REPOSITORY = "/var/backups/vya-backupdb"
PRIVATE_UMASK = 0o077
LARGEST_DEFAULT_JOBS = 4
LARGEST_JOBS = 64
LIBRARIES = {
    "sqlalchemy": (2, 0),
    "pymysql": (1, 1),
    "psycopg": (3, 1),
    "cryptography": (42, 0),
    "pyyaml": (6, 0),
    "zstandard": (0, 22),
}
"""What requirements.txt says: distributions and the oldest versions that will do."""

CONNECTION_SPEC: dict[str, Any] = {
    "id": {"type": "str", "required": True},
    "engine": {"type": "str", "required": True, "choices": list(ENGINES)},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "unix_socket": {"type": "path"},
    "path": {"type": "path"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "tls": {
        "type": "dict",
        "options": {
            "mode": {"type": "str", "choices": list(TLS_MODES)},
            "ca": {"type": "path"},
            "cert": {"type": "path"},
            "key": {"type": "path", "no_log": False},
        },
    },
    "databases": {"type": "list", "elements": "str"},
    "exclude": {"type": "list", "elements": "str"},
    "enabled": {"type": "bool"},
}
INSTANCE_SPEC: dict[str, Any] = {
    "instance": {"type": "str"},
    "connection": {"type": "dict", "options": CONNECTION_SPEC},
}
COMMON_SPEC: dict[str, Any] = {
    "config_file": {"type": "path", "default": DEFAULT_CONFIG_FILE},
    "repository": {"type": "path"},
    "keyring": {"type": "path", "default": DEFAULT_KEYRING, "no_log": False},
}
SELECTION_SPEC: dict[str, Any] = {
    "host": {"type": "str"},
    "instance": {"type": "str"},
    "database": {"type": "str"},
    "before": {"type": "str"},
    "after": {"type": "str"},
}


def unfit_libraries() -> list[str]:
    """The libraries that this Python lacks or has in too old a version, each in words."""
    unfit = []
    for name, minimum in LIBRARIES.items():
        wanted = f"{name} >= {'.'.join(map(str, minimum))}"
        try:
            found = version(name)
        except PackageNotFoundError:
            unfit.append(wanted)
            continue
        if tuple(int(number) for number in re.findall(r"\d+", found)[:2]) < minimum:
            unfit.append(f"{wanted} (there is {found})")
    return unfit


class BackupdbModule(AnsibleModule):  # type: ignore[misc]
    """An AnsibleModule that runs library calls and turns their errors into fail_json."""

    def __init__(self, argument_spec: dict[str, Any], **arguments: Any) -> None:
        super().__init__(argument_spec={**COMMON_SPEC, **argument_spec}, supports_check_mode=True, **arguments)
        os.umask(PRIVATE_UMASK)
        self._require_libraries()

    def _require_libraries(self) -> None:
        unfit = unfit_libraries()
        if not unfit:
            return
        if not has_respawned() and os.access(AGENT_PYTHON, os.X_OK):
            respawn_module(AGENT_PYTHON)
        self.fail_json(
            msg=f"{sys.executable} on the host lacks Python libraries: {', '.join(unfit)}. Install them there or in "
            f"{AGENT_PYTHON.removesuffix('/bin/python')}, or set ansible_python_interpreter to a Python with them.",
            code=LibraryMissingError.code,
        )

    def run(self, work: Callable[[], dict[str, Any]]) -> NoReturn:
        """Does the work and exits with its result; a result whose ``failed`` is true exits as a failure."""
        try:
            result = work()
        except BackupdbError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a user never sees a traceback, and its text may hold a secret
            self._fail(unexpected(error))
        leave = self.fail_json if result.pop("failed", False) else self.exit_json
        leave(**result)
        raise AssertionError("AnsibleModule goes on after its end")

    def _fail(self, error: BackupdbError) -> None:
        redact = Redactor([(self.params.get("connection") or {}).get("password")])
        self.fail_json(msg=redact(error.message), code=error.code, **error.result)

    def _config(self, required: bool) -> HostConfig:
        path = self.params["config_file"]
        # Not Path.exists: an account that may not look into the folder has no configuration file there.
        return load_config(path) if required or os.path.exists(path) else HostConfig()  # noqa: PTH110

    def instance_of(self, options: Mapping[str, Any]) -> Instance:
        """The instance that a pair of options ``instance`` and ``connection`` describes, or the only one there is."""
        if options.get("connection"):
            return parse_instance({name: value for name, value in options["connection"].items() if value is not None})
        if options.get("instance"):
            return self._config(required=True).instance(options["instance"], self.params["config_file"])
        instances = self._config(required=True).instances
        if len(instances) == 1:
            return instances[0]
        known = ", ".join(instance.id for instance in instances) or "none"
        raise InvalidConfigError(f"Say which instance: {self.params['config_file']} has {known}.")

    def instances(self) -> list[Instance]:
        """The instance that the options describe or, without one, all that the configuration file has switched on."""
        if self.params["instance"] or self.params["connection"]:
            return [self.instance_of(self.params)]
        return [instance for instance in self._config(required=True).instances if instance.enabled]

    def repository(self) -> LocalRepository:
        root = self.params["repository"] or self._config(required=False).repository or DEFAULT_REPOSITORY
        if not Path(root).is_absolute():
            raise InvalidConfigError(f"repository: {root!r} is not an absolute path.")
        return LocalRepository(root)

    def compression(self) -> tuple[str, int | None]:
        """Method and level; what the options leave open, the configuration file says, or else it is zstd."""
        method, level = self.params["compression"], self.params["compression_level"]
        configured = {} if method else self._config(required=False).compression
        return method or configured.get("method", "zstd"), configured.get("level") if level is None else level

    def selection(self, kind: str | None) -> Selection:
        """The backup sets that the options of SELECTION_SPEC ask for."""
        before, after = self.params.get("before"), self.params.get("after")
        return Selection(
            host=self.params.get("host"),
            instance=self.params.get("instance"),
            database=self.params.get("database"),
            kind=kind,
            before=parse_moment(before, "before") if before else None,
            after=parse_moment(after, "after") if after else None,
        )

    def jobs(self) -> int:
        """The option jobs or, without it, the number of cores, but no more than four."""
        jobs: int | None = self.params["jobs"]
        if jobs is None:
            return min(LARGEST_DEFAULT_JOBS, os.cpu_count() or 1)
        if not 1 <= jobs <= LARGEST_JOBS:
            raise InvalidConfigError(f"jobs: {jobs} is not between 1 and {LARGEST_JOBS}.")
        return jobs

    @staticmethod
    def host_name() -> str:
        return socket.gethostname()
