"""The schema of instances and the configuration file, and the patterns that choose databases."""

from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import (
    Tls,
    load_config,
    parse_instance,
    problems_of,
    select_names,
)
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    InvalidConfigError,
    NotFoundError,
    PermissionDeniedError,
)


def test_a_minimal_instance_has_defaults() -> None:
    instance = parse_instance({"id": "pg", "engine": "postgresql"})
    assert (instance.databases, instance.exclude, instance.tls, instance.enabled) == (("*",), (), Tls("prefer"), True)
    assert instance.address == "localhost:5432"


def test_addresses() -> None:
    assert parse_instance({"id": "a", "engine": "mysql", "host": "db1", "port": "3307"}).address == "db1:3307"
    assert parse_instance({"id": "a", "engine": "mysql", "unix_socket": "/run/x.sock"}).address == "/run/x.sock"
    assert parse_instance({"id": "a", "engine": "sqlite", "path": "/srv/a.db"}).address == "/srv/a.db"


def test_a_password_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(parse_instance({"id": "a", "engine": "mysql", "password": "hunter2"}))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"port": 70000}, "connection.port: 70000 is not between 1 and 65535"),
        ({"port": "many"}, "connection.port: 'many' is not a number"),
        ({"id": "../x"}, "connection.id: '../x' must be letters"),
        ({"engine": "oracle"}, "connection.engine: 'oracle' is not one of mysql, postgresql, sqlite"),
        ({"engine": "sqlite"}, "connection.path: is required for engine sqlite"),
        ({"engine": "sqlite", "path": "a.db"}, "connection.path: 'a.db' is not an absolute path"),
        ({"path": "/a.db"}, "connection.path: is for engine sqlite only, not for mysql"),
        ({"hots": "db1"}, "connection.hots: is unknown (known: credential, databases,"),
        ({"tls": {"mode": "on"}}, "connection.tls.mode: 'on' is not one of disable"),
        ({"tls": "on"}, "connection.tls: must be a mapping"),
        ({"databases": [1]}, "connection.databases: must be a list of names or patterns"),
        ({"username": 5}, "connection.username: must be a string"),
        ({"enabled": "yes"}, "connection.enabled: must be true or false"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(wrong: dict, sentence: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        parse_instance({"id": "a", "engine": "mysql", **wrong})
    assert sentence in str(caught.value)


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        parse_instance({"id": "", "engine": "x", "port": 0})
    assert str(caught.value).count("connection.") == 3


def write(folder: Path, text: str) -> str:
    path = folder / "config.yml"
    path.write_text(text)
    return str(path)


def test_a_configuration_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "repository: /srv/backups\n"
        "compression: {method: gzip, level: 9}\n"
        "instances:\n"
        "  - {id: a, engine: mysql, databases: shop}\n"
        "  - {id: b, engine: sqlite, path: /srv/a.db, enabled: false}\n",
    )
    config = load_config(path)
    assert config.repository == "/srv/backups"
    assert config.compression == {"method": "gzip", "level": 9}
    assert config.instance("a", path).databases == ("shop",)
    assert not config.instance("b", path).enabled
    with pytest.raises(NotFoundError, match=r"no instance 'c' in .*config.yml \(instances there: a, b\)"):
        config.instance("c", path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("instances: [{id: a, engine: mysql, port: 0}]", "instances[0].port: 0 is not between"),
        ("instances: [{id: a, engine: mysql}, {id: a, engine: mysql}]", "instances[1].id: 'a' is already used by inst"),
        ("instances: x", "instances: must be a list"),
        ("repositry: /srv", "repositry: is unknown"),
        ("- 1", "must be a mapping"),
        ("a: [", "is not valid YAML near line 1"),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        load_config(write(tmp_path, text))
    assert sentence in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="There is no configuration file"):
        load_config(str(tmp_path / "none.yml"))
    with pytest.raises(InvalidConfigError, match="cannot be read: Is a directory"):
        load_config(str(tmp_path))


def test_patterns() -> None:
    chosen = select_names(["shop", "shop_test", "crm", "a[1]"], ["shop*", "a[1]", "none*"], ["*_test"])
    assert chosen.names == ("a[1]", "shop")
    assert chosen.unmatched == ("none*",)


def test_the_pattern_for_all_never_fails() -> None:
    assert select_names([], ["*"], []).unmatched == ()


def test_a_credential_excludes_a_login_of_the_instances_own() -> None:
    assert parse_instance({"id": "a", "engine": "mysql", "credential": "x"}).credential == "x"
    with pytest.raises(InvalidConfigError, match=r"connection\.credential: excludes username and password"):
        parse_instance({"id": "a", "engine": "mysql", "credential": "x", "username": "y"})


def test_the_rest_of_the_file(tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path, "{repository: /srv, compression: {method: gzip, level: 9}, key_source: hostname,"
              " logging: {audit_log: /var/log/a}}")
    )  # fmt: skip
    assert (config.repository, config.compression, config.key_source, config.audit_log) == (
        "/srv", {"method": "gzip", "level": 9}, "hostname", "/var/log/a",
    )  # fmt: skip


def test_every_wrong_value_of_a_file_is_told_with_its_path() -> None:
    wrong = {
        "repository": "srv",
        "compression": {"method": "gzip", "level": 19},
        "key_source": "magic",
        "logging": {"audit_log": "a", "level": 1},
        "instances": [{"id": "a", "engine": "mysql", "port": 0}, {"id": "a", "engine": "sqlite"}],
        "instance": [],
    }
    assert sorted(problems_of(wrong)) == [
        "compression.level: 19 is not between 1 and 9",
        "instance: is unknown (known: compression, instances, key_source, logging, repository, retention)",
        "instances[0].port: 0 is not between 1 and 65535",
        "instances[1].id: 'a' is already used by instances[0]",
        "instances[1].path: is required for engine sqlite (a file, a folder or a glob)",
        "key_source: 'magic' is not one of file, hostname",
        "logging.audit_log: 'a' is not an absolute path",
        "logging.level: is unknown (known: audit_log)",
        "repository: 'srv' is not an absolute path",
    ]
    assert problems_of({"instances": [{"id": "a", "engine": "mysql"}]}) == []


def test_passwords_in_a_file_that_everybody_can_read_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "instances: [{id: a, engine: mysql, password: x}]")
    Path(path).chmod(0o644)
    with pytest.raises(PermissionDeniedError, match=f"Run: chmod o= {path}, or move them to the credential store"):
        load_config(path)
    Path(path).chmod(0o640)
    assert load_config(path).instances[0].password == "x"


def test_what_is_to_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("retention: {keep_daily: 7, keep_weekly: null, timezone: Europe/Berlin}")
    assert load_config(str(path)).retention == {"keep_daily": 7, "timezone": "Europe/Berlin"}
    assert problems_of({"retention": [7]}) == ["retention: must be a mapping"]
    assert problems_of({"retention": {"keep_daily": "x", "min_keep": 0, "keep_dayly": 1}}) == [
        "retention.keep_dayly: is unknown (known: keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, "
        "keep_yearly, keep_within, max_age, keep_safety, min_keep, only_verified, remove_damaged, timezone)",
        "retention.keep_daily: 'x' is no number of 0 or more, or -1 for all",
        "retention.min_keep: 0 is no number of 1 or more",
    ]
