# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the guides, taken out of the documents. docs/testing.md says where those of the others are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from kit.guides import ROOT, commands, follow
from kit.mariadb import MariaDBServer
from kit.plays import Controller
from kit.postgres import PostgresServer


@pytest.fixture
def site(tmp_path: Path, mariadb_source: MariaDBServer, postgres_source: PostgresServer) -> Path:
    """A folder with an inventory, whose host has the instances and databases that the guides name."""
    mariadb_source.create("shop", "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1), (2)")
    mariadb_source.run(
        "CREATE USER `app`@`localhost` IDENTIFIED BY 'secret'", "GRANT SELECT ON shop.* TO app@localhost"
    )
    local = {"host": "127.0.0.1"}
    pg = {"engine": "postgresql", "port": postgres_source.port, "username": "postgres", "databases": ["postgres"]}
    maria = {"engine": "mysql", "port": mariadb_source.port, "username": "root", "databases": ["shop"]}
    host = {
        "backupdb_instances": [
            {"id": "pg-main", **local, **pg, "password": postgres_source.password},
            {"id": "maria-main", **local, **maria, "password": mariadb_source.password},
        ],
        "backupdb_users": False,
        "backupdb_repository": str(tmp_path / "repository"),
        "backupdb_keyring": str(tmp_path / "keyring.json"),
        "backupdb_config_file": str(tmp_path / "none.yml"),
        "backupdb_credentials_file": str(tmp_path / "credentials.json"),
    }
    Controller(tmp_path, {"db1": host})
    return tmp_path


def test_accounts_and_how_databases_stand(site: Path, mariadb_source: MariaDBServer) -> None:
    backup, look, compare, plan, restore, both = commands("docs/users.md")
    report = commands("docs/monitoring.md")[1]
    follow(commands("docs/fleet.md")[1], site)
    assert "maria-main" in follow(backup, site)
    assert "'app'@'localhost'" in follow(look, site)
    mariadb_source.run("DROP USER app@localhost")
    assert "'app'@'localhost'" in follow(compare, site)
    assert "CREATE USER" in follow(plan, site)
    follow(restore, site)
    mariadb_source.run("DROP USER app@localhost", "DROP DATABASE shop")
    follow(both, site)
    assert mariadb_source.value("SELECT count(*) FROM shop.orders") == 2
    assert "GRANT SELECT ON `shop`.*" in str(mariadb_source.run("SHOW GRANTS FOR app@localhost"))

    page = site / "backups.html"
    follow(report.replace("/srv/www/backups.html", str(page)), site)
    assert "maria-main" in page.read_text()
    mariadb_source.run("DROP USER app@localhost")
    mariadb_source.drop("shop")


def test_retention_and_verification_at_a_central_store(site: Path) -> None:
    follow(commands("docs/fleet.md")[1], site)
    store = site / "store"
    (site / "repository").rename(store)
    inventory = yaml.safe_load((site / "inventory.yml").read_text())
    inventory["all"]["hosts"]["store"] = {"backupdb_keyring": str(site / "keyring.json")}
    (site / "inventory.yml").write_text(yaml.safe_dump(inventory))
    at_store = [command for command in commands("docs/central.md") if "--limit store" in command]
    retire, verify = (command.replace("/srv/backups/db1", str(store)) for command in at_store)
    assert re.search(r"db1 +maria-main +shop +1 +0", follow(retire, site))
    assert re.search(r"maria-main +shop +verified +1 .* checksum", follow(verify, site))


def test_the_context_of_the_execution_environment(tmp_path: Path) -> None:
    (tmp_path / "meta").symlink_to(ROOT / "meta")
    create, build = commands("docs/awx.md")[:2]
    follow(create, tmp_path)
    assert (tmp_path / "context").is_dir()
    assert build.replace(" build ", " create ").startswith(create)  # no engine for containers here
