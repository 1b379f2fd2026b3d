# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One MySQL database full of what breaks backup tools, as kit.mariadb_cases has for MariaDB; and what to find in it.

MySQL 9.7 itself refuses bodies that hold a name with doubled backticks, so none names the database.

``PROBES`` maps a line of the fidelity list to queries with what they give where the case is whole.
"""

from __future__ import annotations

from .mariadb import quoted
from .mariadb_cases import CHARACTER_SETS, PLACEHOLDERS

NAME = "Zoë`s `shop`.v2 100%"

TABLES = r"""
CREATE TABLE l01_generated (a int, s int AS (a * 2) STORED, v varchar(40) AS (concat('v', a)) VIRTUAL, KEY (v), x int);
INSERT INTO l01_generated (a, x) VALUES (1, 10), (2, 20), (NULL, 30);
CREATE TABLE l02_invisible (id int PRIMARY KEY, seen int, hidden int DEFAULT 7 INVISIBLE,
    both_of int AS (seen + hidden) VIRTUAL INVISIBLE);
INSERT INTO l02_invisible (id, seen) VALUES (1, 1);
INSERT INTO l02_invisible (id, seen, hidden) VALUES (2, 2, 99);
SET sql_generate_invisible_primary_key = ON;
CREATE TABLE l02_generated_key (a int);
INSERT INTO l02_generated_key VALUES (1), (1);
SET sql_generate_invisible_primary_key = OFF;
CREATE TABLE l03_now (id int PRIMARY KEY, made timestamp(3) DEFAULT current_timestamp(3),
    changed datetime DEFAULT current_timestamp ON UPDATE current_timestamp,
    day date DEFAULT (curdate() + INTERVAL 1 DAY), u varchar(36) DEFAULT (uuid()), j json DEFAULT (json_array()));
INSERT INTO l03_now (id) VALUES (1), (2);
CREATE TABLE l04_bytes (id int PRIMARY KEY, b binary(16), vb varbinary(300), bl longblob, bi bit(64), g geometry,
    p point NOT NULL SRID 0, SPATIAL KEY (p), w point SRID 4326);
INSERT INTO l04_bytes VALUES
    (1, 0x00, concat(0x00010A0D1A22275C60FF, '\n(', ';\n'), repeat(unhex('00FF0A275C22'), 1000), b'1', point(1, 2),
    point(-1.5, 1e300), st_srid(point(1, 2), 4326)),
    (2, NULL, '', '', ~0, st_geomfromtext('POLYGON((0 0,10 0,10 10,0 0))', 4326), point(0, 0), NULL),
    (3, repeat('\\', 16), '''', NULL, 0,
    st_geomfromtext('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'), point(9, 9), NULL);
CREATE TABLE l05_json (doc json, name varchar(50) AS (json_unquote(json_extract(doc, '$.name'))) VIRTUAL, KEY (name),
    KEY many ((CAST(doc -> '$.n' AS unsigned ARRAY))));
INSERT INTO l05_json (doc) VALUES ('{"name": "O\'Neil \\"x\\" \\\\ é", "n": [1, 2]}'), (NULL);
CREATE TABLE l06_enum (e enum('é', 'ü;\n', 'it''s', '') CHARACTER SET latin1, s set('à', 'ñ', 'z') CHARACTER SET latin1)
    CHARSET latin1;
INSERT INTO l06_enum VALUES ('é', 'à,z'), ('ü;\n', ''), ('it''s', 'ñ'), ('', NULL);
CREATE TABLE l07_ucs2 (id int PRIMARY KEY, t varchar(9) CHARACTER SET ucs2);
INSERT INTO l07_ucs2 VALUES (1, _ucs2 0xD83DDE00), (2, _ucs2 0xD800), (3, 'é');
SET sql_mode = 'ALLOW_INVALID_DATES';
CREATE TABLE l08_dates (d date NOT NULL DEFAULT '0000-00-00', dt datetime,
    ts timestamp NOT NULL DEFAULT '0000-00-00 00:00:00');
INSERT INTO l08_dates VALUES ('0000-00-00', '2026-02-31 10:00:00', '0000-00-00'), ('2026-00-00', '2026-04-31',
    '2000-01-01');
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE l08_zero (id int AUTO_INCREMENT PRIMARY KEY);
INSERT INTO l08_zero VALUES (0), (5);
SET sql_mode = '';
CREATE TABLE l09_emoji (t varchar(60) COLLATE utf8mb4_unicode_520_ci, n varchar(9) COLLATE utf8mb4_0900_as_cs,
    j varchar(9) COLLATE utf8mb4_ja_0900_as_cs_ks, UNIQUE (t));
INSERT INTO l09_emoji VALUES ('🦆🏳️‍🌈 ß İ ﬀ', 'a ', 'ア'), ('\0\Z\b\t', 'a', 'あ');
CREATE TABLE l13_many (id int PRIMARY KEY, @KEYS@, log varchar(99));
INSERT INTO l13_many (id, c1) VALUES (1, 1), (2, 2);
CREATE TABLE l13_log (n int AUTO_INCREMENT PRIMARY KEY, what text);
CREATE TABLE l17_range (id int, y int) PARTITION BY RANGE (y) SUBPARTITION BY HASH (id) SUBPARTITIONS 2
    (PARTITION old VALUES LESS THAN (2000) COMMENT 'it''s old', PARTITION `new one` VALUES LESS THAN MAXVALUE);
INSERT INTO l17_range VALUES (1, 1990), (2, 2020), (3, NULL);
CREATE TABLE l17_list (c varchar(9)) PARTITION BY LIST COLUMNS (c) (PARTITION p1 VALUES IN ('a', 'é'),
    PARTITION p2 VALUES IN ('x'));
INSERT INTO l17_list VALUES ('é'), ('x');
CREATE TABLE l18_self (id int PRIMARY KEY, boss int,
    CONSTRAINT `l18 boss` FOREIGN KEY (boss) REFERENCES l18_self (id) ON DELETE SET NULL);
INSERT INTO l18_self VALUES (1, NULL), (2, 1), (3, 2);
SET foreign_key_checks = 0, cte_max_recursion_depth = 5000;
CREATE TABLE l18_one (id int PRIMARY KEY, two int, FOREIGN KEY (two) REFERENCES l18_two (id) ON UPDATE CASCADE);
CREATE TABLE l18_two (id int PRIMARY KEY, one int, FOREIGN KEY (one) REFERENCES l18_one (id));
INSERT INTO l18_one WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 2000) SELECT n, n FROM s;
INSERT INTO l18_two SELECT id, 2001 - id FROM l18_one;
SET foreign_key_checks = 1;
CREATE TABLE l20_myisam (a int, KEY (a)) ENGINE MyISAM;
INSERT INTO l20_myisam VALUES (1), (2);
CREATE TABLE l20_merge (a int, KEY (a)) ENGINE MERGE UNION = (l20_myisam);
CREATE TABLE l20_csv (a int NOT NULL, t text NOT NULL) ENGINE CSV;
INSERT INTO l20_csv VALUES (1, 'a,"b"');
CREATE TABLE `l22 select` (`from` int, `a``b` int, `c"d'e` int, `%s%d` int, `Ω` int, `.` int, `x
(y` int);
INSERT INTO `l22 select` VALUES (1, 2, 3, 4, 5, 6, 7);
CREATE TABLE `l22 a
LOCK TABLES ``q`` WRITE;
INSERT` (id int);
INSERT INTO `l22 a
LOCK TABLES ``q`` WRITE;
INSERT` VALUES (1), (2);
CREATE TABLE `l22.dotted.name` (id int);
INSERT INTO `l22.dotted.name` VALUES (1);
CREATE TABLE `l22 @LONG@` (id int);
INSERT INTO `l22 @LONG@` VALUES (64);
CREATE TABLE `l22 100% `` '"\;` (id int);
INSERT INTO `l22 100% `` '"\;` VALUES (1);
CREATE TABLE l23_counter (id int AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 777;
CREATE TABLE l23_no_key (a int, b text);
INSERT INTO l23_no_key VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
CREATE TABLE l23_empty (a int);
CREATE TABLE l23_wide (id int PRIMARY KEY, @COLUMNS@);
INSERT INTO l23_wide (id) VALUES (1), (2);
CREATE TABLE l24_indexes (id int PRIMARY KEY COMMENT 'the; key''s\n', t text COMMENT 'é "x" \\', a int, b int,
    p point NOT NULL SRID 0, FULLTEXT KEY ft (t) COMMENT 'full', SPATIAL KEY sp (p), KEY d (a DESC, b ASC),
    KEY pre (t(10)), UNIQUE KEY ig (b) USING BTREE, KEY ignored_one (a) INVISIBLE,
    CONSTRAINT positive CHECK (a > 0 AND t <> ';\n'), CONSTRAINT idle CHECK (b > 99) NOT ENFORCED,
    KEY functional ((abs(b)), (CAST(lower(t) AS char(20))))) COMMENT 'table; ''comment'' \\ ü' ROW_FORMAT = DYNAMIC;
INSERT INTO l24_indexes (id, t, a, b, p) VALUES (1, 'full text here', 1, -1, point(1, 1));
CREATE TABLE l24_compressed (a int, b text) ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 8;
INSERT INTO l24_compressed VALUES (1, repeat('x', 9000));
CREATE TABLE numbers_text (f float, d double, n decimal(65, 30), y year, t time(6), i bigint unsigned);
INSERT INTO numbers_text VALUES (1.1, 1e-307, 12345678901234567890.123456789012345678901234567890, 2026,
    '-838:59:59', ~0),
    (3.4028e38, -1.7976931348623157e308, -0.1, 0, '00:00:00.000001', 0), (0.1, 0.1e0 + 0.2e0, 1, 1901, NULL, 1);
"""

OBJECTS = r"""
SET GLOBAL log_bin_trust_function_creators = 1;
DELIMITER ;;
CREATE FUNCTION l12_double (x int) RETURNS int DETERMINISTIC RETURN x * 2;;
DELIMITER ;
CREATE VIEW l12_z AS SELECT a, s FROM l01_generated;
CREATE VIEW l12_a AS SELECT z.a, l12_double(z.a) AS two, @DB@.l12_double(1) AS named FROM @DB@.l12_z AS z
    WHERE z.a <> ';\n' WITH CASCADED CHECK OPTION;
CREATE USER IF NOT EXISTS l10_gone@nowhere;
GRANT ALL ON *.* TO l10_gone@nowhere;
CREATE DEFINER = l10_gone@nowhere VIEW l10_view AS SELECT id FROM l03_now;
CREATE DEFINER = l10_gone@nowhere VIEW l10_over AS SELECT id FROM l10_view;
CREATE DEFINER = l10_gone@nowhere FUNCTION l10_function () RETURNS int DETERMINISTIC RETURN 1;
CREATE TABLE l11_dropped (a int);
CREATE VIEW l11_broken AS SELECT a FROM l11_dropped;
CREATE VIEW l11_above AS SELECT a FROM l11_broken;
DROP TABLE l11_dropped;
DELIMITER ;;
CREATE TRIGGER l13_before BEFORE INSERT ON l13_many FOR EACH ROW SET NEW.log = concat('it''s ', NEW.id, ';');;
CREATE TRIGGER l13_second BEFORE INSERT ON l13_many FOR EACH ROW FOLLOWS l13_before SET NEW.log = concat(NEW.log,
    '2');;
CREATE TRIGGER @DB@ . l13_after AFTER UPDATE /* why */ ON -- here
  @DB@.l13_many FOR EACH ROW BEGIN INSERT INTO l13_log (what) VALUES ('é'); END;;
CREATE TRIGGER IF NOT EXISTS `l13 del``` BEFORE DELETE ON `l22 100% `` '"\;` FOR EACH ROW SET @x = 1;;
CREATE DEFINER = l10_gone@nowhere TRIGGER l10_trigger AFTER DELETE ON l13_many FOR EACH ROW DO 1;;
CREATE PROCEDURE l14_comments (INOUT x int)
    SQL SECURITY INVOKER COMMENT 'it''s; a "comment"'
BEGIN
  /* kept; */
  -- it's kept, too ;
  # and `this
  SELECT ';', "double", 'a\nb' INTO @a, @b, @c;
END;;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';;
CREATE FUNCTION l14_ansi ("a b" int) RETURNS varchar(99) DETERMINISTIC RETURN 'x' || "a b" || '`''';;
CREATE TRIGGER "l14 ansi" AFTER INSERT ON "l13_log" FOR EACH ROW SET @quoted = "NEW"."what" || ';;';;
SET sql_mode = 'NO_BACKSLASH_ESCAPES';;
CREATE FUNCTION l14_backslash () RETURNS varchar(9) DETERMINISTIC RETURN 'c:\';;
CREATE EVENT l14_backslash_event ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO SET @p = '\';;
SET sql_mode = DEFAULT;;
SET time_zone = '+03:00';;
CREATE EVENT `l14 "event"` ON SCHEDULE EVERY 90 MINUTE STARTS '2035-06-01 12:00:00'
    ENDS '2037-01-01' ON COMPLETION PRESERVE DISABLE
  COMMENT 'ü; ''x''' DO BEGIN DELETE FROM l23_empty; UPDATE l23_empty SET a = 1; END;;
DELIMITER ;
"""

CASES = TABLES + CHARACTER_SETS + OBJECTS
for _placeholder, _text in {**PLACEHOLDERS, "@DB@": quoted(NAME)}.items():
    CASES = CASES.replace(_placeholder, _text)

PROBES: dict[str, list[tuple[str, object]]] = {
    "01": [("SELECT concat(s, v) FROM l01_generated WHERE a = 2", "4v2")],
    "02": [
        ("SELECT sum(hidden + both_of) FROM l02_invisible", 215),
        ("SELECT sum(my_row_id) FROM l02_generated_key", 3),
    ],
    "03": [("SELECT count(*) FROM information_schema.columns WHERE table_schema = database() "
            "AND table_name = 'l03_now' AND extra LIKE '%DEFAULT_GENERATED%'", 5)],
    "04": [("SELECT concat(hex(left(bl, 6)), length(bl), st_srid(w)) FROM l04_bytes WHERE id = 1",
            "00FF0A275C2260004326")],
    "05": [("SELECT max(name) FROM l05_json", 'O\'Neil "x" \\ é'),
           ("SELECT count(*) FROM l05_json WHERE 2 MEMBER OF (doc -> '$.n')", 1)],
    "06": [("SELECT hex(e) FROM l06_enum WHERE e = 'é'", "E9")],
    "07": [("SELECT concat_ws(',', hex(g), hex(c), hex(j), hex(b), hex(r), dt) FROM l07_text WHERE id = 1",
            "815C8140,8790,5C,A15A,98,2026-03-29 02:30:00"),
           ("SELECT unix_timestamp(at) FROM l07_text WHERE id = 2", 66600),
           ("SELECT group_concat(hex(t) ORDER BY id) FROM l07_ucs2", "D83DDE00,D800,00E9")],
    "08": [("SELECT group_concat(concat(d, dt) ORDER BY concat(d)) FROM l08_dates",
            "0000-00-002026-02-31 10:00:00,2026-00-002026-04-31 00:00:00"),
           ("SELECT group_concat(id ORDER BY id) FROM l08_zero", "0,5")],
    "09": [("SELECT hex(t) FROM l09_emoji WHERE n = 'a'", "001A0809")],
    "10": [("SELECT definer FROM information_schema.triggers WHERE trigger_name = 'l10_trigger' "
            "AND trigger_schema = database()", "l10_gone@nowhere")],
    "12": [("SELECT concat(a, two, named) FROM l12_a WHERE a = 2", "242")],
    "13": [("SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = database()", 6)],
    "14": [("SELECT concat(l14_ansi(7), l14_backslash())", "x7`'c:\\"),
           ("SELECT count(*) FROM information_schema.events WHERE event_schema = database()", 2)],
    "17": [("SELECT id FROM l17_range PARTITION (`new one`)", 2)],
    "18": [("SELECT count(*) FROM l18_one JOIN l18_two ON l18_one.two = l18_two.id", 2000)],
    "20": [("SELECT count(*) FROM l20_merge", 2)],
    "22": [("SELECT count(*) FROM information_schema.tables WHERE table_schema = database() "
            "AND table_name LIKE 'l22%'", 5)],
    "23": [("SELECT auto_increment FROM information_schema.tables WHERE table_schema = database() "
            "AND table_name = 'l23_counter'", 777),
           ("SELECT column_number_77 FROM l23_wide WHERE id = 1", 77)],
    "24": [("SELECT count(DISTINCT index_type) FROM information_schema.statistics WHERE table_schema = database() "
            "AND table_name = 'l24_indexes'", 3),
           ("SELECT id FROM l24_indexes WHERE match(t) AGAINST ('text')", 1)],
}  # fmt: skip
