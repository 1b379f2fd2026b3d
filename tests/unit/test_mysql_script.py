# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to scripts of the dump tools on their way into a server."""

from __future__ import annotations

import io

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.script import (
    SchemaScript,
    objects_script,
    renamed_view,
    statements,
    without_indexes,
)

SCHEMA = rb"""
/*!40101 SET NAMES utf8mb4 */;

CREATE SEQUENCE `s` start with 1;
DO SETVAL(`s`, 5, 0);
CREATE TABLE `a;
b` (
  `id` int(11) DEFAULT nextval(`src`.`s`) COMMENT 'nextval(`src`.`s`);\n',
  CONSTRAINT `c,` FOREIGN KEY (`id`) REFERENCES `p` (`x``)
`) ON DELETE CASCADE,
  CONSTRAINT `d` FOREIGN KEY (`id`) REFERENCES `q` (`id`),
  CONSTRAINT `e` CHECK (`id` > 0)
) ENGINE=InnoDB;
CREATE TABLE `p` (
  `id` int(11)
) ENGINE=InnoDB;
/*!50001 CREATE VIEW `v` AS SELECT
 1 AS `x` */;
ALTER DATABASE `src` CHARACTER SET latin2 COLLATE latin2_bin ;
/*!50003 DROP FUNCTION IF EXISTS `f` */;
DELIMITER ;;
CREATE FUNCTION `f`() RETURNS int
BEGIN -- it's; CREATE TABLE `p` (
  RETURN 1;
END ;;
DELIMITER ;
/*!50001 DROP VIEW IF EXISTS `v`*/;
/*!50001 SET collation_connection      = utf8mb4_bin */;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`a`@`b` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select `src`.`f`() AS `x`,'`src`.`f`()' AS `y` from `w` WITH CASCADED CHECK OPTION */;
/*!50001 SET collation_connection      = @saved_col_connection */;
/*!50001 DROP VIEW IF EXISTS `w`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50001 VIEW `w` AS select `src`.`p`.`id` AS `id`,`src`.`id` AS `own` from `p` `src` */;
/*!50001 SET collation_connection      = @saved_col_connection */;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;
"""

OBJECTS = rb"""
/*!50003 SET sql_mode              = 'ANSI_QUOTES' */ ;
ALTER DATABASE `src` CHARACTER SET latin2 COLLATE latin2_bin ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 trigger "src" . "t""1" /* x */ before insert ON -- y
 src.p for each row set @x = ';;' */;;
/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER IF NOT EXISTS t2 AFTER INSERT OR UPDATE ON `q`
FOR EACH ROW SET @x = 1 */;;
DELIMITER ;
/*!50106 DROP EVENT IF EXISTS `e` */;
DELIMITER ;;
/*!50003 SET sql_mode              = '' */ ;;
/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`b`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO select 1 */ ;;
DELIMITER ;
"""


class Trickle(io.BytesIO):
    """Gives seven bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(7)


def read(script: SchemaScript) -> str:
    return b"".join(script.read(Trickle(SCHEMA))).decode()


@pytest.mark.parametrize("text", [SCHEMA, OBJECTS, SCHEMA.rstrip(b"\n"), b""])
def test_statements_are_the_script(text: bytes) -> None:
    assert b"".join(statement.text for statement in statements(Trickle(text))) == text


def test_statements_end_where_the_server_sees_them_end() -> None:
    found = [statement.text.strip() for statement in statements(Trickle(SCHEMA))]
    assert sum(text.startswith(b"CREATE TABLE") for text in found) == 2
    assert [statement.body for statement in statements(Trickle(SCHEMA))].count(True) == 1


def test_under_the_same_name_only_views_with_check_option_move() -> None:
    text = read(SchemaScript("src", "src"))
    assert sorted(text.splitlines()) == sorted(SCHEMA.decode().splitlines())
    assert text.index("VIEW `w` AS") < text.index("VIEW `v` AS select") < text.index("TIME_ZONE")


def test_under_another_name() -> None:
    text = read(SchemaScript("src", "n`ew"))
    assert "DEFAULT nextval(`n``ew`.`s`) COMMENT 'nextval(`src`.`s`);\\n'" in text
    assert "ALTER DATABASE `n``ew` CHARACTER SET" in text
    assert "select `n``ew`.`f`() AS `x`,'`src`.`f`()' AS `y`" in text
    assert "select `n``ew`.`p`.`id` AS `id`,`src`.`id` AS `own` from `p` `src`" in text


def test_chosen_tables_only() -> None:
    text = read(SchemaScript("src", "src", frozenset(["p"])))
    kept = [line for line in text.splitlines() if line and "SET " not in line]
    assert kept == [
        "CREATE SEQUENCE `s` start with 1;", "DO SETVAL(`s`, 5, 0);", "CREATE TABLE `p` (", "  `id` int(11)",
        ") ENGINE=InnoDB;", "DELIMITER ;;", "DELIMITER ;",
    ]  # fmt: skip


def test_foreign_keys_apart() -> None:
    script = SchemaScript("src", "src", frozenset(["a;\nb"]), foreign_keys_apart=True, sequences=False)
    text = read(script)
    assert "FOREIGN KEY" not in text
    assert "SEQUENCE" not in text
    assert "COMMENT 'nextval(`src`.`s`);\\n',\n  CONSTRAINT `e` CHECK (`id` > 0)\n)" in text
    assert script.foreign_keys == {
        "a;\nb": [
            "CONSTRAINT `c,` FOREIGN KEY (`id`) REFERENCES `p` (`x``)\n`) ON DELETE CASCADE",
            "CONSTRAINT `d` FOREIGN KEY (`id`) REFERENCES `q` (`id`)",
        ]
    }


def test_triggers_lose_the_database() -> None:
    text = b"".join(objects_script(Trickle(OBJECTS), "new", lambda _: True, events=True)).decode()
    assert '/*!50003 trigger "t""1" /* x */ before insert ON -- y\n p for each row' in text
    assert "ALTER DATABASE `new`" in text
    assert "EVENT `e`" in text


def test_triggers_of_chosen_tables() -> None:
    text = b"".join(objects_script(Trickle(OBJECTS), "src", {"q"}.__contains__, events=False)).decode()
    assert "TRIGGER IF NOT EXISTS t2 AFTER" in text
    for gone in ('"t""1"', "EVENT", "ALTER DATABASE"):
        assert gone not in text
    assert text.count("SET sql_mode") == 2


def test_a_view_that_could_not_be_opened() -> None:
    sql = b"CREATE VIEW `v` AS select `a b`.`t`.`c` AS `c`,'from `a b`.`t`' AS `d`,`a b`.`e` AS `e` from "
    assert renamed_view(sql + b"`t`", "a b", "x") == sql.replace(b"select `a b`", b"select `x`") + b"`t`"
    both = sql + b"((`a b`.`t` join `a b`.`u`) join `other`.`a b`)"
    assert renamed_view(both, "a b", "x").endswith(b"`a b`.`e` AS `e` from ((`x`.`t` join `x`.`u`) join `other`.`a b`)")
    assert renamed_view(sql, "a b", "a b") == sql


@pytest.mark.parametrize(
    ("printed", "renamed"),
    [
        (b"from `o`.`b` straight_join `src`.`a`", b"from `o`.`b` straight_join `x`.`a`"),
        (b"nextval(`src`.`q`),setval(`src`.`q`,5,1,0)", b"nextval(`x`.`q`),setval(`x`.`q`,5,1,0)"),
        (b"select extract(year from `src`.`made`) AS `y` from `src`",) * 2,
        (b"trim(leading 'x from `' from `src`.`t`),trim(both `src`.`t` from `src`.`t`)",) * 2,
        (
            b"trim(both `src`.`f`(1) from `src`.`t`) from `src`.`t`",
            b"trim(both `x`.`f`(1) from `src`.`t`) from `x`.`t`",
        ),
        (b"trim(both (select 1 from `src`.`t`) from 'a')", b"trim(both (select 1 from `x`.`t`) from 'a')"),
        (
            b"trim(`src`.`t`) AS `from `,'trim(both ' AS `b` from `src`.`t`",
            b"trim(`src`.`t`) AS `from `,'trim(both ' AS `b` from `x`.`t`",
        ),
    ],
)
def test_where_a_database_stands_in_front_of_a_name(printed: bytes, renamed: bytes) -> None:
    assert renamed_view(printed, "src", "x") == renamed


INDEXED = rb"""CREATE TABLE `t` (
  `id` int(11) NOT NULL AUTO_INCREMENT COMMENT 'the `id`, KEY',
  `a` varchar(9) DEFAULT ',\n  KEY `x` (`a`)',
  PRIMARY KEY (`id`),
  UNIQUE KEY `of ``a``, (` (`a`(5),`id`) COMMENT 'it''s, \\',
  KEY `b` (`a` DESC) USING BTREE,
  CONSTRAINT `c` FOREIGN KEY (`a`) REFERENCES `p` (`a`)
) ENGINE=InnoDB AUTO_INCREMENT=5 COMMENT='USING HASH';
"""


def test_names_that_look_like_indexes() -> None:
    column = b"CREATE TABLE `t` (\n  `id` int(11) NOT NULL,\n  `x,\n  KEY `` (y\nz` int(11) DEFAULT NULL,\n"
    text = column + b"  PRIMARY KEY (`id`),\n  KEY `a` (`id`)\n) ENGINE=InnoDB"
    assert without_indexes(text) == (column + b"  PRIMARY KEY (`id`)\n) ENGINE=InnoDB", ["KEY `a` (`id`)"])


def test_indexes_apart() -> None:
    text, clauses = without_indexes(INDEXED)
    assert clauses == ["UNIQUE KEY `of ``a``, (` (`a`(5),`id`) COMMENT 'it''s, \\\\'", "KEY `b` (`a` DESC) USING BTREE"]
    assert text.count(b"\n") == INDEXED.count(b"\n") - 2
    assert b"PRIMARY KEY (`id`),\n  CONSTRAINT" in text
    assert b"',\\n  KEY `x` (`a`)'" in text
    script = SchemaScript("src", "src", large=frozenset("t"), foreign_keys_apart=True)
    (statement,) = script.read(io.BytesIO(INDEXED))
    assert statement == text.replace(b",\n  CONSTRAINT `c` FOREIGN KEY (`a`) REFERENCES `p` (`a`)", b"")
    assert script.indexes == {"t": clauses}
    assert SchemaScript("src", "src", large=frozenset("u")).read(io.BytesIO(INDEXED)).__next__() == INDEXED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ENGINE=InnoDB", b"ENGINE=MyISAM"),
        (b"  PRIMARY KEY (`id`),\n", b""),
        (b"PRIMARY KEY (`id`)", b"PRIMARY KEY (`a`,`id`)"),
        (b"USING BTREE", b"USING HASH"),
        (b"  KEY `b`", b"  FULLTEXT KEY `b`"),
        (b"  KEY `b`", b"  SPATIAL KEY `b`"),
        (b"`a` DESC", b"`id`,`p` WITHOUT OVERLAPS"),
        (b" AUTO_INCREMENT=5", b" WITH SYSTEM VERSIONING"),
    ],
)
def test_indexes_that_a_table_needs_stay(old: bytes, new: bytes) -> None:
    text = INDEXED.replace(old, new, 1)
    assert text != INDEXED
    assert without_indexes(text) == (text, [])
