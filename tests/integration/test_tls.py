"""TLS modes, by the drivers and by the tools: what is refused, what is verified, and that it is encrypted at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance, Tls
from ansible_collections.vya.backupdb.plugins.module_utils.engines.registry import open_engine
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    AuthenticationFailedError,
    ConnectionFailedError,
    InvalidConfigError,
    ToolFailedError,
)
from kit import mariadb, postgres
from kit.certificates import Authority, Pair
from kit.roundtrip import take

ADDRESS = "127.0.0.1"


@dataclass
class Encrypted:
    """A server with a certificate for 127.0.0.1; ``guarded`` is an account that has to show a certificate."""

    instance: Instance
    guarded: str
    authority: Authority
    stranger: Authority
    client: Pair

    def at(self, host: str = ADDRESS, **tls: object) -> Instance:
        return replace(self.instance, host=host, tls=Tls(**{name: str(value) for name, value in tls.items()}))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vya-tls-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def owner(user: str) -> str | None:
    return user if os.geteuid() == 0 else None


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder, "authority")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Authority:
    return Authority(folder, "stranger")


@pytest.fixture(scope="module")
def postgresql_server(authority: Authority, stranger: Authority) -> Iterator[Encrypted]:
    certificate, key = authority.issue("postgresql-server", ADDRESS, owner("postgres"))
    client = authority.issue("postgresql-client")
    with postgres.running({}) as server:
        for name, path in (("cert", certificate), ("key", key), ("ca", authority.ca)):
            server.run("postgres", f"ALTER SYSTEM SET ssl_{name}_file = '{path}'")
        server.run("postgres", "ALTER SYSTEM SET ssl = on", "CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'guarded'")
        rules = server.data / "pg_hba.conf"
        rules.write_text(
            "local all all trust\n"
            "hostssl all guarded 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"
            "host all postgres 127.0.0.1/32 scram-sha-256\n"
        )
        server.run("postgres", "SELECT pg_reload_conf()")
        server.create("shop", "CREATE TABLE item (id int)")
        yield Encrypted(server.instance(), "guarded", authority, stranger, client)


@pytest.fixture(scope="module")
def mysql_server(authority: Authority, stranger: Authority) -> Iterator[Encrypted]:
    certificate, key = authority.issue("mariadb-server", ADDRESS, owner("mysql"))
    client = authority.issue("mariadb-client")
    with mariadb.running(ssl_cert=str(certificate), ssl_key=str(key), ssl_ca=str(authority.ca)) as server:
        server.run(
            "CREATE USER guarded@'127.0.0.1' IDENTIFIED BY 'guarded' REQUIRE X509",
            "GRANT ALL ON *.* TO guarded@'127.0.0.1'",
        )
        server.create("shop", "CREATE TABLE item (id int);")
        yield Encrypted(server.instance(), "guarded", authority, stranger, client)


@pytest.fixture(params=["postgresql", "mysql"])
def encrypted(request: pytest.FixtureRequest) -> Encrypted:
    return request.getfixturevalue(f"{request.param}_server")


def connect(instance: Instance) -> None:
    engine = open_engine(instance)
    try:
        engine.server()
    finally:
        engine.close()


def dump(instance: Instance, folder: Path) -> int:
    return len(take(instance, "shop", folder).inventory.tables)


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_modes_that_verify_nothing(encrypted: Encrypted, tmp_path: Path, mode: str) -> None:
    assert dump(encrypted.at(mode=mode), tmp_path) == 1


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_certificate_of_the_right_authority(encrypted: Encrypted, tmp_path: Path, mode: str) -> None:
    assert dump(encrypted.at(mode=mode, ca=encrypted.authority.ca), tmp_path) == 1


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_certificate_of_another_authority_is_refused(encrypted: Encrypted, mode: str) -> None:
    with pytest.raises(ConnectionFailedError, match="certificate verify failed"):
        connect(encrypted.at(mode=mode, ca=encrypted.stranger.ca))


def test_only_verify_full_looks_at_the_name(encrypted: Encrypted) -> None:
    connect(encrypted.at("localhost", mode="verify-ca", ca=encrypted.authority.ca))
    with pytest.raises(ConnectionFailedError, match="localhost"):
        connect(encrypted.at("localhost", mode="verify-full", ca=encrypted.authority.ca))


def test_the_tools_are_never_laxer_than_asked(
    postgresql_server: Encrypted, mysql_server: Encrypted, tmp_path: Path
) -> None:
    """MariaDB's programs can't look at a certificate without looking at the name; so verify-ca is stricter there."""
    wrong_name = {"mode": "verify-ca", "ca": mysql_server.authority.ca}
    assert dump(postgresql_server.at("localhost", **wrong_name), tmp_path) == 1
    with pytest.raises(ToolFailedError, match="Validation of SSL server certificate failed"):
        dump(mysql_server.at("localhost", **wrong_name), tmp_path)


def test_an_account_that_has_to_show_a_certificate(encrypted: Encrypted, tmp_path: Path) -> None:
    certificate, key = encrypted.client
    login = {"username": encrypted.guarded, "password": "guarded"}
    shown = encrypted.at(mode="verify-full", ca=encrypted.authority.ca, cert=certificate, key=key)
    assert dump(replace(shown, **login), tmp_path) == 1
    not_shown = encrypted.at(mode="verify-full", ca=encrypted.authority.ca)
    with pytest.raises((AuthenticationFailedError, ConnectionFailedError)):
        connect(replace(not_shown, **login))


def test_tls_files_that_cannot_be_used(mysql_server: Encrypted) -> None:
    with pytest.raises(InvalidConfigError, match="The TLS files of instance maria cannot be used"):
        connect(mysql_server.at(mode="verify-ca", ca="/nowhere.crt"))


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_a_server_without_tls(engine: str) -> None:
    with postgres.running({}) if engine == "postgresql" else mariadb.running(skip_ssl="1") as server:
        connect(server.instance(tls=Tls("prefer")))
        with pytest.raises(ConnectionFailedError):
            connect(server.instance(tls=Tls("require")))
