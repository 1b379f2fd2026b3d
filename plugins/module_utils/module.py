# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between Ansible and the library: shared argument specs, errors to fail_json. No other file here knows Ansible."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, env_fallback  # type: ignore[import-untyped]
from ansible.module_utils.common.respawn import respawn_module  # type: ignore[import-untyped]

from . import stopping
from .audit import AuditLog
from .config import DEFAULT_CONFIG_FILE, ENGINES, TLS_MODES, HostConfig, Instance, load_config, parse_instance
from .errors import BackupdbError, InvalidConfigError, KeyMissingError, LibraryMissingError, as_ours
from .interpreter import AGENT_PYTHON, agent_python_is_next
from .repository.catalog import Selection, parse_moment
from .repository.local import LocalRepository
from .security.keyring import DEFAULT_KEYRING, Keyring, load_keyring
from .security.redact import Redactor
from .streams import LEVELS

DEFAULT_REPOSITORY = "/var/backups/vya-backupdb"
DEFAULT_CREDENTIALS = "/etc/vya-backupdb/credentials.json"
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

_RECORD = re.compile(r"(?P<name>[\w.-]+?)-(?P<version>\d[^-]*)(-py[\d.]+)?\.(dist|egg)-info")

CONNECTION_SPEC: dict[str, Any] = {
    "id": {"type": "str", "required": True},
    "engine": {"type": "str", "required": True, "choices": list(ENGINES)},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "unix_socket": {"type": "path"},
    "path": {"type": "path"},
    "credential": {"type": "str"},
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
INSTANCES_SPEC: dict[str, Any] = {
    "instance": {"type": "str"},
    "connections": {"type": "list", "elements": "dict", "options": CONNECTION_SPEC},
}


def from_environment(name: str, **spec: Any) -> dict[str, Any]:
    """An option that the environment variable ``VYA_BACKUPDB_{name}`` gives where the task does not."""
    return {**spec, "fallback": (env_fallback, [f"VYA_BACKUPDB_{name}"])}


COMMON_SPEC: dict[str, Any] = {
    "config_file": from_environment("CONFIG_FILE", type="path", default=DEFAULT_CONFIG_FILE),
    "repository": from_environment("REPOSITORY", type="path"),
    "keyring": from_environment("KEYRING", type="path", default=DEFAULT_KEYRING, no_log=False),
    "credentials_file": from_environment("CREDENTIALS_FILE", type="path", default=DEFAULT_CREDENTIALS, no_log=False),
    "requested_by": from_environment("REQUESTED_BY", type="str"),
}
COMPRESSION_SPEC: dict[str, Any] = {
    "compression": from_environment("COMPRESSION", type="str", choices=list(LEVELS)),
    "compression_level": from_environment("COMPRESSION_LEVEL", type="int"),
}
SEAL_SPEC: dict[str, Any] = {
    "encrypt": {"type": "bool", "default": True},
    "create_keyring": {"type": "bool", "default": False},
}
JOBS_SPEC: dict[str, Any] = {"jobs": from_environment("JOBS", type="int")}
USERS_SELECTION_SPEC: dict[str, Any] = {
    "host": {"type": "str"},
    "instance": {"type": "str"},
    "before": {"type": "str"},
    "after": {"type": "str"},
}
SELECTION_SPEC: dict[str, Any] = {**USERS_SELECTION_SPEC, "database": {"type": "str"}}
TARGET_SPEC: dict[str, Any] = {
    "type": "dict",
    "options": {**INSTANCE_SPEC, "host": {"type": "str"}},
    "mutually_exclusive": [("instance", "connection")],
}


def installed_versions() -> dict[str, str]:
    """The version of each distribution that is installed, from the names of the folders that installers leave for it
    (packaging.python.org, "Recording installed projects"). importlib.metadata reads the files in them, which takes ten
    times as long."""
    found: dict[str, str] = {}
    for folder in map(Path, sys.path):
        with suppress(OSError):
            for record in filter(None, (_RECORD.fullmatch(path.name) for path in folder.iterdir())):
                found.setdefault(re.sub(r"[-_.]+", "-", record["name"]).lower(), record["version"])
    return found


def unfit_libraries() -> list[str]:
    """The libraries that this Python lacks or has in too old a version, each in words."""
    unfit = []
    versions = installed_versions()
    for name, minimum in LIBRARIES.items():
        wanted = f"{name} >= {'.'.join(map(str, minimum))}"
        found = versions.get(name)
        if found is None:
            unfit.append(wanted)
            continue
        if tuple(int(number) for number in re.findall(r"\d+", found)[:2]) < minimum:
            unfit.append(f"{wanted} (there is {found})")
    return unfit


class BackupdbModule(AnsibleModule):  # type: ignore[misc]
    """An AnsibleModule that runs library calls and turns their errors into fail_json."""

    def __init__(self, argument_spec: dict[str, Any], needs_libraries: bool = True, **arguments: Any) -> None:
        super().__init__(argument_spec={**COMMON_SPEC, **argument_spec}, supports_check_mode=True, **arguments)
        os.umask(PRIVATE_UMASK)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold every secret of the process
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what sshd sends when the connection is lost: the work goes on
        stopping.stop_on(signal.SIGTERM)
        if needs_libraries:
            self._require_libraries()
        self._secrets: list[str | None] = [
            self.params.get("password"),
            (self.params.get("connection") or {}).get("password"),
        ]
        self._audit: AuditLog | None = None

    def _require_libraries(self) -> None:
        unfit = unfit_libraries()
        if not unfit:
            return
        if agent_python_is_next():
            respawn_module(AGENT_PYTHON)
        self.fail_json(
            msg=f"{sys.executable} on the host lacks Python libraries: {', '.join(unfit)}. Set the host up with the "
            "playbook vya.backupdb.install, or set ansible_python_interpreter to a Python with them.",
            code=LibraryMissingError.code,
        )

    def fail_json(self, msg: str, **result: Any) -> None:
        """As Ansible's, but tells every wrong option at once, where Ansible tells the first one."""
        checked = getattr(self, "validation_result", None)
        wrong = checked.error_messages if checked else []
        if wrong:
            msg, result = "; ".join(wrong), {**result, "code": InvalidConfigError.code}
        super().fail_json(msg=msg, **result)

    def run(self, work: Callable[[], dict[str, Any]], event: str | None = None) -> NoReturn:
        """Does the work and exits with its result; a result whose ``failed`` is true exits as a failure. Its
        ``warnings`` go to Ansible, which leaves that key away where there are none.

        ``event`` is what the audit log calls this work when it fails as a whole.
        """
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - a user never sees a traceback, and its text may hold a secret
            result = self._failure(as_ours(error), event)
        if self._audit and self._audit.problem:
            self.warn(self._audit.problem)
        for warning in result.pop("warnings", ()):
            self.warn(warning)
        leave = self.fail_json if result.pop("failed", False) else self.exit_json
        leave(**result)
        raise AssertionError("AnsibleModule goes on after its end")

    def _failure(self, error: BackupdbError, event: str | None) -> dict[str, Any]:
        if event:
            with suppress(BackupdbError):  # the configuration, which names the log, may be what is wrong
                self.note(event, "failed", code=error.code)
        redact = Redactor(self._secrets)
        return {"failed": True, "msg": redact(error.message), "code": error.code, **error.result}

    def note(self, event: str, result: str, **facts: Any) -> None:
        """Tells the audit log what was done. In check mode nothing was."""
        if self._audit is None:
            path = os.environ.get("VYA_BACKUPDB_AUDIT_LOG") or self._config(required=False).audit_log
            self._audit = AuditLog(path, self.params["requested_by"], self.check_mode)
        self._audit.note(event, result, **facts)

    def _config(self, required: bool) -> HostConfig:
        path = self.params["config_file"]
        # Not Path.exists: an account that may not look into the folder has no configuration file there.
        return load_config(path) if required or os.path.exists(path) else HostConfig()  # noqa: PTH110

    def config(self) -> HostConfig:
        """The configuration file, or an empty configuration where there is none."""
        return self._config(required=False)

    def login(self, instance: Instance) -> Instance:
        """The instance with user name and password from the credential store where it does not say them itself."""
        if instance.wants_login:
            from .security.credentials import with_credentials

            options = self.params
            instance = with_credentials(instance, options["credentials_file"], options["keyring"], self.host_name())
        self._secrets.append(instance.password)
        return instance

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

    def every_instance(self) -> list[Instance]:
        """The instances that the options of INSTANCES_SPEC describe or, without any, all of the configuration file,
        the ones that are switched off included."""
        if self.params["connections"]:
            return [self.instance_of({"connection": connection}) for connection in self.params["connections"]]
        if self.params["instance"]:
            return [self.instance_of(self.params)]
        return list(self._config(required=True).instances)

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

    def sealing_keyring(self) -> tuple[Keyring | None, bool]:
        """The keyring that the options of SEAL_SPEC seal with, None for none, and whether it was made just now.

        In check mode, one that would be made is not there."""
        path = self.params["keyring"]
        if not self.params["encrypt"]:
            return None, False
        try:
            return load_keyring(path), False
        except KeyMissingError:
            if not self.params["create_keyring"]:
                raise
        if self.check_mode:
            return None, True
        from .operations.keys import KeysPlace, KeysWanted, change_keys

        place = KeysPlace(path, self.params["credentials_file"], self.host_name(), self.repository())
        made = change_keys(place, KeysWanted(), note=self.note)
        return load_keyring(path), bool(made["changed"])

    def selection(self, kind: str | None) -> Selection:
        """The backup sets that the options of SELECTION_SPEC ask for."""
        return self.selection_of(self.params, kind)

    @staticmethod
    def selection_of(options: Mapping[str, Any], kind: str | None) -> Selection:
        """The backup sets that options as those of SELECTION_SPEC ask for."""
        before, after = options.get("before"), options.get("after")
        return Selection(
            host=options.get("host"),
            instance=options.get("instance"),
            database=options.get("database"),
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
