# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that many modules share."""

from __future__ import annotations

from textwrap import indent

CONNECTION = r"""
id:
  description: What the instance is called in the repository. Letters, digits, C(-), C(_) and C(.).
  type: str
  required: true
engine:
  description: The kind of server. V(mysql) is MySQL and MariaDB.
  type: str
  choices: [mysql, postgresql, sqlite]
  required: true
host:
  description: Name or address of the server. Without it and without C(unix_socket), the local server.
  type: str
port:
  description: TCP port of the server. Without it, 3306 or 5432.
  type: int
unix_socket:
  description: The Unix socket of the server; for PostgreSQL the folder that holds it.
  type: path
path:
  description: For V(sqlite), a database file, a folder of such files, or a shell pattern.
  type: path
credential:
  description:
    - The id of an entry of the credential store, which has the user name and the password.
    - Without it and without C(username) and C(password), the entry with the C(id) of the instance, if there is one.
  type: str
username:
  description: The account to log in with. Mutually exclusive with C(credential).
  type: str
password:
  description: Its password.
  type: str
tls:
  description: How the connection is encrypted.
  type: dict
  suboptions:
    mode:
      description: As C(sslmode) of PostgreSQL. Without it, V(prefer).
      type: str
      choices: [disable, prefer, require, verify-ca, verify-full]
    ca:
      description: File with the certificates of the authorities to trust.
      type: path
    cert:
      description: File with the client's certificate.
      type: path
    key:
      description: File with the client's private key.
      type: path
databases:
  description: Names or shell patterns of the databases. Without it, all that are not the system's.
  type: list
  elements: str
exclude:
  description: Names or shell patterns of databases to leave out.
  type: list
  elements: str
enabled:
  description: Whether the instance is backed up. For the configuration file; a task may as well be left out.
  type: bool
"""


class ModuleDocFragment:
    # What every module needs on the host, and the options that all modules have so that they can share defaults.
    DOCUMENTATION = r"""
options:
  config_file:
    description: The configuration file of the host. It may be missing where the other options say all that is needed.
    type: path
    default: /etc/vya-backupdb/config.yml
  repository:
    description:
      - The folder in which the backup sets live, an absolute path.
      - Without it, C(repository) of the configuration file or else C(/var/backups/vya-backupdb).
    type: path
  keyring:
    description: The file with the Fernet keys of the host. Only its owner may be able to read it.
    type: path
    default: /etc/vya-backupdb/keyring.json
  credentials_file:
    description: The credential store of the host. Only its owner may be able to read it.
    type: path
    default: /etc/vya-backupdb/credentials.json
  requested_by:
    description: Who asked for this, for the audit log of the host. The roles say who runs the play.
    type: str
requirements:
  - python >= 3.11
  - sqlalchemy >= 2.0
  - pymysql >= 1.1
  - psycopg >= 3.1
  - cryptography >= 42
  - pyyaml >= 6
  - zstandard >= 0.22
notes:
  - Where the Python that runs the module is too old or lacks these libraries, the module starts again with
    C(/opt/vya-backupdb/venv/bin/python), if that exists.
  - All modules of the collection accept O(config_file), O(repository), O(keyring), O(credentials_file) and
    O(requested_by), even where they are not needed. So C(module_defaults) can set them once for the group
    C(vya.backupdb.backupdb).
  - "Environment variables of the module's process give what the task does not: C(VYA_BACKUPDB_CONFIG_FILE),
    C(VYA_BACKUPDB_REPOSITORY), C(VYA_BACKUPDB_KEYRING), C(VYA_BACKUPDB_CREDENTIALS_FILE), C(VYA_BACKUPDB_REQUESTED_BY),
    C(VYA_BACKUPDB_COMPRESSION), C(VYA_BACKUPDB_COMPRESSION_LEVEL), C(VYA_BACKUPDB_JOBS) and C(VYA_BACKUPDB_AUDIT_LOG).
    What neither gives, the configuration file gives."
"""

    INSTANCE: str = rf"""
options:
  instance:
    description: The C(id) of an instance in O(config_file). Mutually exclusive with O(connection).
    type: str
  connection:
    description: An instance that is not in O(config_file). Mutually exclusive with O(instance).
    type: dict
    suboptions:
{indent(CONNECTION, " " * 6)}
"""

    # Any number of instances at once.
    INSTANCES: str = rf"""
options:
  instance:
    description: The C(id) of an instance in O(config_file). Mutually exclusive with O(connections).
    type: str
  connections:
    description:
      - Instances that are not in O(config_file). Mutually exclusive with O(instance).
      - Without either, all instances of O(config_file).
    type: list
    elements: dict
    suboptions:
{indent(CONNECTION, " " * 6)}
"""

    # Both sides of users_info, which are live instances or backups.
    SIDES: str = rf"""
options:
  connection:
    description: A live instance that is not in O(config_file). Mutually exclusive with O(backup).
    type: dict
    suboptions:
{indent(CONNECTION, " " * 6)}
  compare:
    description: The other side, described as this one.
    type: dict
    suboptions:
      backup:
        description: The C(id) of a backup, or V(latest). Without it, a live instance.
        type: str
      instance:
        description: The C(id) of the backup's instance, or of a live one in O(config_file).
        type: str
      connection:
        description: A live instance that is not in O(config_file).
        type: dict
        suboptions:
{indent(CONNECTION, " " * 10)}
      host:
        description: Only backups that were stored under the name of this host.
        type: str
      before:
        description: Only backups that started before this moment. ISO 8601, UTC where it names no zone.
        type: str
      after:
        description: Only backups that started after this moment. ISO 8601, UTC where it names no zone.
        type: str
"""

    TARGET: str = rf"""
options:
  target:
    description:
      - Where to restore to.
      - Without it, the instance of O(config_file) that O(instance) names, or the only one there.
    type: dict
    suboptions:
      instance:
        description: The C(id) of an instance in O(config_file).
        type: str
      connection:
        description: An instance that is not in O(config_file).
        type: dict
        suboptions:
{indent(CONNECTION, " " * 10)}
      host:
        description:
          - The name of this host in the repository, under which a safety backup is stored.
          - Without it, the host name of the system.
        type: str
"""
