# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One database full of what breaks backup tools: lines 1 to 24 of the fidelity list; objects are named after theirs."""

from __future__ import annotations

from .mariadb import quoted

NAME = "Zoë`s `shop`.v2 100%"

TABLES = r"""
CREATE TABLE l01_generated (a int, s int AS (a * 2) STORED, v varchar(40) AS (concat('v', a)) VIRTUAL, KEY (v),
    x int);
INSERT INTO l01_generated (a, x) VALUES (1, 10), (2, 20), (NULL, 30);
CREATE TABLE l02_invisible (seen int, hidden int INVISIBLE DEFAULT 7,
    both_of int AS (seen + hidden) VIRTUAL INVISIBLE);
INSERT INTO l02_invisible (seen) VALUES (1);
INSERT INTO l02_invisible (seen, hidden) VALUES (2, 99);
CREATE TABLE l03_now (id int PRIMARY KEY, made timestamp(3) DEFAULT current_timestamp(3),
    changed datetime DEFAULT current_timestamp ON UPDATE current_timestamp,
    day date DEFAULT (curdate() + INTERVAL 1 DAY),
    u varchar(36) DEFAULT uuid());
INSERT INTO l03_now (id) VALUES (1), (2);
CREATE TABLE l04_bytes (id int PRIMARY KEY, b binary(16), vb varbinary(300), bl longblob, bi bit(64), g geometry,
    p point NOT NULL, SPATIAL KEY (p));
INSERT INTO l04_bytes VALUES
    (1, 0x00, concat(0x00010A0D1A22275C60FF, '\n(', ';\n'), repeat(unhex('00FF0A275C22'), 1000), b'1', point(1, 2),
    point(-1.5, 1e300)),
    (2, NULL, '', '', ~0, st_geomfromtext('POLYGON((0 0,10 0,10 10,0 0))', 4326), point(0, 0)),
    (3, repeat('\\', 16), '''', NULL, 0,
    st_geomfromtext('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))'), point(9, 9));
CREATE TABLE l05_json (doc json, name varchar(50) AS (json_value(doc, '$.name')) VIRTUAL, KEY (name));
INSERT INTO l05_json (doc) VALUES ('{"name": "O\'Neil \\"x\\" \\\\ é", "n": [1, 2.50, null]}'), (NULL);
CREATE TABLE l06_enum (e enum('é', 'ü;\n', 'it''s', '') CHARACTER SET latin1, s set('à', 'ñ',
    'z') CHARACTER SET latin1) CHARSET latin1;
INSERT INTO l06_enum VALUES ('é', 'à,z'), ('ü;\n', ''), ('it''s', 'ñ'), ('', NULL);
CREATE TABLE l07_with_uuid (id uuid DEFAULT uuid(), t varchar(9) CHARACTER SET gbk);
INSERT INTO l07_with_uuid (t) VALUES ('汉字'), (NULL);
CREATE TABLE l07_ascii (id varchar(36) CHARACTER SET ascii PRIMARY KEY, t text CHARACTER SET ascii);
INSERT INTO l07_ascii VALUES ('a', 'plain'), ('it''s', ''), ('z', NULL);
SET NAMES binary;
INSERT INTO l07_ascii VALUES ('é', 'über');
SET NAMES utf8mb4;
SET sql_mode = 'ALLOW_INVALID_DATES';
CREATE TABLE l08_dates (d date NOT NULL DEFAULT '0000-00-00', dt datetime,
    ts timestamp NOT NULL DEFAULT '0000-00-00 00:00:00');
INSERT INTO l08_dates VALUES ('0000-00-00', '2026-02-31 10:00:00', '0000-00-00'), ('2026-00-00', '2026-04-31',
    '2000-01-01');
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE l08_zero (id int AUTO_INCREMENT PRIMARY KEY);
INSERT INTO l08_zero VALUES (0), (5);
SET sql_mode = '';
CREATE TABLE l09_emoji (t varchar(60) COLLATE utf8mb4_unicode_520_ci, n varchar(9) COLLATE utf8mb4_nopad_bin,
    UNIQUE (t));
INSERT INTO l09_emoji VALUES ('🦆🏳️‍🌈 ß İ ﬀ', 'a '), ('\0\Z\b\t', 'a');
CREATE TABLE l13_many (id int PRIMARY KEY, @KEYS@, log varchar(99));
INSERT INTO l13_many (id, c1) VALUES (1, 1), (2, 2);
CREATE TABLE l13_log (n int AUTO_INCREMENT PRIMARY KEY, what text);
CREATE SEQUENCE l16_numbers START WITH 100 INCREMENT BY 5 CACHE 20 CYCLE;
SELECT nextval(l16_numbers), nextval(l16_numbers);
CREATE SEQUENCE l16_down START WITH -1 INCREMENT BY -1 MINVALUE -1000 NOCACHE;
SELECT nextval(l16_down);
CREATE TABLE l16_numbered (id bigint DEFAULT nextval(l16_numbers) PRIMARY KEY,
    t varchar(99) DEFAULT "nextval(@DB@.`x`)");
INSERT INTO l16_numbered () VALUES (), ();
CREATE TABLE l16_history (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING;
INSERT INTO l16_history VALUES (1, 1), (2, 2);
UPDATE l16_history SET v = 10 WHERE id = 1;
DELETE FROM l16_history WHERE id = 2;
CREATE TABLE l16_period (id int, price int, of_from date, of_to date, PERIOD FOR validity (of_from, of_to),
    s timestamp(6) GENERATED ALWAYS AS ROW START INVISIBLE, e timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE,
    PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;
INSERT INTO l16_period (id, price, of_from, of_to) VALUES (1, 5, '2026-01-01', '2026-12-31');
DELETE FROM l16_period;
CREATE TABLE l16_types (u uuid, i4 inet4, i6 inet6);
INSERT INTO l16_types VALUES ('123e4567-e89b-12d3-a456-426655440000', '10.0.0.1', '2001:db8::1'), (NULL, NULL, NULL);
CREATE TABLE l17_range (id int, y int) PARTITION BY RANGE (y) SUBPARTITION BY HASH (id) SUBPARTITIONS 2
    (PARTITION old VALUES LESS THAN (2000) COMMENT 'it''s old', PARTITION `new one` VALUES LESS THAN MAXVALUE);
INSERT INTO l17_range VALUES (1, 1990), (2, 2020), (3, NULL);
CREATE TABLE l17_list (c varchar(9)) PARTITION BY LIST COLUMNS (c) (PARTITION p1 VALUES IN ('a', 'é'),
    PARTITION p2 DEFAULT);
INSERT INTO l17_list VALUES ('é'), ('x');
CREATE TABLE l18_self (id int PRIMARY KEY, boss int,
    CONSTRAINT `l18 boss` FOREIGN KEY (boss) REFERENCES l18_self (id) ON DELETE SET NULL);
INSERT INTO l18_self VALUES (1, NULL), (2, 1), (3, 2);
SET foreign_key_checks = 0;
CREATE TABLE l18_one (id int PRIMARY KEY, two int,
    FOREIGN KEY (two) REFERENCES l18_two (id) ON UPDATE CASCADE) SELECT seq AS id, seq AS two FROM seq_1_to_2000;
CREATE TABLE l18_two (id int PRIMARY KEY, one int, FOREIGN KEY (one) REFERENCES l18_one (id)) SELECT seq AS id,
    2001 - seq AS one FROM seq_1_to_2000;
SET foreign_key_checks = 1;
CREATE TABLE l20_myisam (a int, KEY (a)) ENGINE MyISAM;
INSERT INTO l20_myisam VALUES (1), (2);
CREATE TABLE l20_aria (a int) ENGINE Aria TRANSACTIONAL = 0;
INSERT INTO l20_aria VALUES (3);
CREATE TABLE l20_merge (a int, KEY (a)) ENGINE MERGE UNION = (l20_myisam);
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
CREATE TABLE l24_indexes (id int PRIMARY KEY COMMENT 'the; key''s\n',
    t text COMMENT 'é "x" \\', a int, b int, p point NOT NULL,
    FULLTEXT KEY ft (t) COMMENT 'full', SPATIAL KEY sp (p), KEY d (a DESC, b ASC), KEY pre (t(10)),
    UNIQUE KEY ig (b) USING BTREE,
    KEY ignored_one (a) IGNORED, CONSTRAINT positive CHECK (a > 0 AND t <> ';\n'), CHECK (json_valid(t) OR TRUE),
    f int AS (abs(b)) STORED, KEY functional (f)) COMMENT 'table; ''comment'' \\ ü' ROW_FORMAT = DYNAMIC;
INSERT INTO l24_indexes (id, t, a, b, p) VALUES (1, 'full text here', 1, -1, point(1, 1));
CREATE TABLE l24_archive (a int, b text) ENGINE InnoDB PAGE_COMPRESSED = 1;
INSERT INTO l24_archive VALUES (1, repeat('x', 9000));
CREATE TABLE numbers_text (f float, d double, n decimal(65, 30), y year, t time(6), i bigint unsigned);
INSERT INTO numbers_text VALUES (1.1, 1e-308, 12345678901234567890.123456789012345678901234567890, 2026,
    '-838:59:59', ~0),
    (3.4028234e38, -1.7976931348623157e308, -0.1, 0, '00:00:00.000001', 0), (0.1, 0.1 + 0.2, 1, 1901, NULL, 1);
"""

OBJECTS = r"""
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
CREATE OR REPLACE TRIGGER @DB@ . l13_after AFTER UPDATE /* why */ ON -- here
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
SET sql_mode = 'ORACLE';;
CREATE PROCEDURE l14_oracle (a IN int, b OUT int) AS c int; BEGIN c := a; b := c; END;;
CREATE PACKAGE l14_package AS FUNCTION f RETURN int; END;;
CREATE PACKAGE BODY l14_package AS FUNCTION f RETURN int AS BEGIN RETURN 42; END; END;;
SET sql_mode = DEFAULT;;
SET NAMES latin1;;
ALTER DATABASE CHARACTER SET latin2 COLLATE latin2_czech_cs;;
CREATE FUNCTION l14_latin (x varchar(9)) RETURNS varchar(9) DETERMINISTIC RETURN 'abc';;
CREATE TRIGGER l14_latin BEFORE DELETE ON l23_no_key FOR EACH ROW SET @x = 'abc';;
CREATE EVENT l14_latin ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01' DO SET @x = 'abc';;
ALTER DATABASE CHARACTER SET utf8mb4;;
SET NAMES utf8mb4;;
SET time_zone = '+03:00';;
CREATE EVENT `l14 "event"` ON SCHEDULE EVERY 90 MINUTE STARTS '2035-06-01 12:00:00'
    ENDS '2037-01-01' ON COMPLETION PRESERVE DISABLE
  COMMENT 'ü; ''x''' DO BEGIN DELETE FROM l23_empty; UPDATE @DB@.l23_empty SET a = 1; END;;
CREATE AGGREGATE FUNCTION l14_aggregate (x int) RETURNS int DETERMINISTIC BEGIN
  DECLARE s int DEFAULT 0; DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN s;
  LOOP FETCH GROUP NEXT ROW; SET s = s + x; END LOOP; END;;
DELIMITER ;
"""

CHARACTER_SETS = r"""
CREATE TABLE l07_text (id int PRIMARY KEY, g varchar(20) CHARACTER SET gbk, c varchar(20) CHARACTER SET cp932,
    j varchar(20) CHARACTER SET sjis, b varchar(20) CHARACTER SET big5, r varchar(20) CHARACTER SET cp1251,
    u varchar(20) CHARACTER SET utf16, e enum('я', 'ж') CHARACTER SET koi8r, at timestamp NULL, dt datetime);
INSERT INTO l07_text VALUES
    (1, _gbk 0x815C8140, _cp932 0x8790, _sjis 0x5C, _big5 0xA15A, _cp1251 0x98, 'u', 'я', '2026-03-29 01:30:00',
    '2026-03-29 02:30:00'),
    (2, '汉字\'', 'テスト', 'ｱ', '漢', 'Жук', '😀', 'ж', '1970-01-02 00:00:00', NULL),
    (3, NULL, '', '\\', NULL, NULL, NULL, NULL, '2038-01-19 03:14:07', '9999-12-31 23:59:59');
CREATE TABLE l07_gbk (id int PRIMARY KEY, t text) CHARSET gbk;
INSERT INTO l07_gbk VALUES (1, '誠實'), (2, _gbk 0xA15C5C27);
"""

PLACEHOLDERS = {
    "@DB@": quoted(NAME),
    "@LONG@": "ü" * 60,
    "@KEYS@": ", ".join(f"c{i} int, KEY k{i} (c{i})" for i in range(60)),
    "@COLUMNS@": ", ".join(f"column_number_{i} tinyint DEFAULT {i % 100}" for i in range(999)),
}

CASES = TABLES + CHARACTER_SETS + OBJECTS
for _placeholder, _text in PLACEHOLDERS.items():
    CASES = CASES.replace(_placeholder, _text)
