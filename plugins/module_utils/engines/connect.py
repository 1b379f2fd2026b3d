# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SQLAlchemy engine factory: pooling, timeouts, TLS modes, and driver errors turned into ours."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import DEFAULT_PORTS, Instance
from ..errors import (
    AuthenticationFailedError,
    BackupdbError,
    ConnectionFailedError,
    DatabaseBusyError,
    InvalidConfigError,
    LibraryMissingError,
    NotFoundError,
    PermissionDeniedError,
    QueryFailedError,
)
from ..security.redact import Redactor
from ..stopping import add_cut, drop_cut
from .sentences import driver_sentence

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

CONNECT_TIMEOUT_SECONDS = 10
POOL_SIZE = 2
_CUT = "vya_backupdb_cut"
FOUND_SETTINGS = "vya_backupdb_found"
"""Under this name the ``info`` of a connection to MySQL or MariaDB has what a new session's settings were."""
NO_LIMIT = 18446744073709551615
"""What sql_select_limit is where there is no limit (MySQL manual, "Server System Variables")."""
# A server may have a SQL mode in which quotes are names, backslashes no escapes, or short values padded; may cut every
# result; and may hide generated primary keys. MariaDB passes over comments for MySQL 8.
_MYSQL_SESSION = (
    f"SET SESSION sql_mode = '', SESSION sql_select_limit = {NO_LIMIT}"
    "/*!80030 , SESSION show_gipk_in_create_table_and_information_schema = ON */"
)
_MYSQL_SETTINGS = ("sql_select_limit", "show_gipk_in_create_table_and_information_schema")
_PYMYSQL_LACKS = " auth method"
"""How pymysql ends its sentence about a package that it would need for a login; it raises a plain RuntimeError."""
LOCAL_SOCKETS = {"mysql": "/run/mysqld/mysqld.sock", "postgresql": "/var/run/postgresql"}

# MySQL error numbers: "Server Error Message Reference" and "Client Error Message Reference" of the MySQL manual.
_MYSQL_ERRORS: dict[int, type[BackupdbError]] = {
    1045: AuthenticationFailedError,
    1698: AuthenticationFailedError,
    1820: AuthenticationFailedError,
    1862: AuthenticationFailedError,
    3118: AuthenticationFailedError,
    4151: AuthenticationFailedError,
    1044: PermissionDeniedError,
    1142: PermissionDeniedError,
    1143: PermissionDeniedError,
    1227: PermissionDeniedError,
    1370: PermissionDeniedError,
    1049: NotFoundError,
    1205: DatabaseBusyError,
    2002: ConnectionFailedError,
    2003: ConnectionFailedError,
    2006: ConnectionFailedError,
    2013: ConnectionFailedError,
    2026: ConnectionFailedError,
}
# SQLSTATE classes: PostgreSQL manual, appendix A.
_POSTGRESQL_STATES: dict[str, type[BackupdbError]] = {
    "28": AuthenticationFailedError,
    "42501": PermissionDeniedError,
    "3D": NotFoundError,
    "55P03": DatabaseBusyError,
    "08": ConnectionFailedError,
    "57P": ConnectionFailedError,
    "53300": ConnectionFailedError,
}
# While connecting, libpq gives only the server's sentence.
_POSTGRESQL_SENTENCES: tuple[tuple[str, type[BackupdbError]], ...] = (
    (r"password authentication failed|no password supplied|Peer authentication failed", AuthenticationFailedError),
    (r"no pg_hba.conf entry|role \".*\" does not exist|is not permitted to log in", AuthenticationFailedError),
    (r"permission denied for database", PermissionDeniedError),
    (r"database \".*\" does not exist", NotFoundError),
)


def local_socket(instance: Instance) -> str | None:
    """The Unix socket to use: the configured one or, where neither host nor socket is given, the usual one if there."""
    if instance.unix_socket or instance.host:
        return instance.unix_socket
    usual = LOCAL_SOCKETS[instance.engine]
    return usual if Path(usual).exists() else None


def tcp_address(instance: Instance) -> tuple[str, int]:
    return instance.host or "127.0.0.1", instance.port or DEFAULT_PORTS[instance.engine]


def _tls_context(instance: Instance) -> ssl.SSLContext:
    import ssl

    tls = instance.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfigError(f"The TLS files of instance {instance.id} cannot be used: {error}.") from None
    context.check_hostname = tls.mode == "verify-full"
    if tls.mode not in ("verify-ca", "verify-full"):
        context.verify_mode = ssl.CERT_NONE
    return context


def _mysql_arguments(instance: Instance) -> dict[str, Any]:
    import pymysql

    arguments: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "charset": "utf8mb4"}
    socket = local_socket(instance)
    if socket:
        arguments["unix_socket"] = socket
    else:
        arguments["host"], arguments["port"] = tcp_address(instance)
    if instance.tls.mode == "disable" or (socket and instance.tls.mode == "prefer"):
        arguments["ssl_disabled"] = True
    elif instance.tls.mode != "prefer" or pymysql.VERSION < (1, 2):  # later ones take a context for "require"
        arguments["ssl"] = _tls_context(instance)
    return arguments


def libpq_parameters(instance: Instance) -> dict[str, str]:
    """libpq's connection parameters, without the password (PostgreSQL manual, "Parameter Key Words")."""
    host, port = tcp_address(instance)
    parameters = {
        "host": local_socket(instance) or host,
        "port": str(port),
        "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
        "application_name": "vya-backupdb",
        "sslmode": instance.tls.mode,
        "user": instance.username,
        "sslrootcert": instance.tls.ca,
        "sslcert": instance.tls.cert,
        "sslkey": instance.tls.key,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def create_engine(instance: Instance, database: str | None = None) -> sa.Engine:
    """A pooled SQLAlchemy engine for a MySQL or PostgreSQL instance; connects only when first used."""
    if instance.engine == "mysql":
        driver, arguments = "mysql+pymysql", _mysql_arguments(instance)
        arguments["user"] = instance.username
        arguments["password"] = (instance.password or "").encode()  # the driver itself would take it for Latin-1
        arguments["database"] = database
    else:
        driver, arguments = "postgresql+psycopg", dict(libpq_parameters(instance))
        arguments["client_encoding"] = "UTF8"  # the driver reads names of a SQL_ASCII database as bytes otherwise
        arguments["dbname"] = database
        if instance.password is not None:
            arguments["password"] = instance.password
    try:
        engine = sa.create_engine(
            f"{driver}://", connect_args=arguments, pool_size=POOL_SIZE, pool_pre_ping=True, hide_parameters=True
        )
    except ImportError as error:  # psycopg is there and its libpq is not
        raise LibraryMissingError(
            f"The Python library {driver.partition('+')[2]} cannot be used on the host: {driver_sentence(error)}."
        ) from None
    sa.event.listen(engine, "connect", _can_be_cut)
    sa.event.listen(engine, "close", _cannot_be_cut)
    if instance.engine == "mysql":
        sa.event.listen(engine, "connect", _settle)
    if instance.engine == "mysql" and instance.tls.mode in ("require", "verify-ca", "verify-full"):
        sa.event.listen(engine, "connect", _tls_guard(instance))
    return engine


def _hang_up(connection: Any) -> None:
    """Makes whoever waits for a server's answer see the end of the connection instead."""
    descriptor = connection.fileno() if hasattr(connection, "fileno") else connection._sock.fileno()
    with closing(socket.socket(fileno=os.dup(descriptor))) as stream:
        stream.shutdown(socket.SHUT_RDWR)


def _can_be_cut(connection: Any, record: Any) -> None:
    record.info[_CUT] = add_cut(lambda: _hang_up(connection))


def _cannot_be_cut(_connection: Any, record: Any) -> None:
    drop_cut(record.info.pop(_CUT, -1))


def _settle(connection: Any, record: Any) -> None:
    """Makes a session of MySQL or MariaDB answer alike whatever the settings of the server and the account are."""
    names = ", ".join(f"'{name}'" for name in _MYSQL_SETTINGS)
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW SESSION VARIABLES WHERE variable_name IN ({names})")
        record.info[FOUND_SETTINGS] = dict(cursor.fetchall())
        cursor.execute(_MYSQL_SESSION)


def _tls_guard(instance: Instance) -> Callable[[Any, Any], None]:
    """pymysql goes on in plain text where the server offers no TLS; the modes from ``require`` on must not."""

    def check(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            row = cursor.fetchone()
        if not row or not row[1]:
            raise ConnectionFailedError(
                f"{instance.address} offers no TLS, and instance {instance.id} asks for tls.mode {instance.tls.mode}."
            )

    return check


def run_quoted(connection: sa.Connection, statement: str) -> sa.CursorResult[Any]:
    """Runs a statement whose identifiers are quoted already, to the letter: nothing in it is a placeholder."""
    return connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _classify(instance: Instance, original: BaseException) -> type[BackupdbError]:
    if instance.engine == "mysql":
        number = original.args[0] if original.args and isinstance(original.args[0], int) else 0
        return _MYSQL_ERRORS.get(number, QueryFailedError)
    state = getattr(original, "sqlstate", None)
    if state:
        for prefix, kind in _POSTGRESQL_STATES.items():
            if state.startswith(prefix):
                return kind
        return QueryFailedError
    for pattern, kind in _POSTGRESQL_SENTENCES:
        if re.search(pattern, str(original)):
            return kind
    return ConnectionFailedError


@contextmanager
def translated_errors(instance: Instance) -> Iterator[None]:
    """Turns what SQLAlchemy and the drivers raise into our errors, with the secrets masked."""
    redact = Redactor([instance.password])
    try:
        yield
    except RuntimeError as error:
        if not str(error).endswith(_PYMYSQL_LACKS):
            raise
        raise LibraryMissingError(
            f"Instance {instance.id} at {instance.address}: the login as {instance.username} needs a library that the "
            f"Python on the host lacks: {error}. Install it there, or give the account another authentication method."
        ) from None
    except sa.exc.SQLAlchemyError as error:
        original = getattr(error, "orig", None) or error
        kind = _classify(instance, original)
        said = redact(driver_sentence(original))
        who = f" as {instance.username}" if instance.username else ""
        if kind is ConnectionFailedError:
            sentence = f"Instance {instance.id} cannot be reached at {instance.address}: {said}."
        elif kind is AuthenticationFailedError:
            sentence = (
                f"Instance {instance.id} at {instance.address} refused the login{who}: {said}. "
                "Check its username and password."
            )
        else:
            sentence = f"Instance {instance.id} at {instance.address}: {said}."
        raise kind(sentence) from None
