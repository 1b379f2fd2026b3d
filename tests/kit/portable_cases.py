# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases that MariaDB and MySQL both understand, for restores from one to the other."""

PORTABLE = r"""
CREATE TABLE customer (id int AUTO_INCREMENT PRIMARY KEY, name varchar(50) NOT NULL COLLATE utf8mb4_unicode_520_ci,
    born date, UNIQUE (name)) AUTO_INCREMENT = 100;
INSERT INTO customer (name, born) VALUES ('Zoë 🦆', '1970-01-01'), ('O''Neil "x" \\', NULL), ('表', '2024-02-29');
CREATE TABLE purchase (id bigint unsigned PRIMARY KEY, customer int,
    at timestamp(3) NOT NULL DEFAULT current_timestamp(3),
    cents decimal(20, 4), state enum('open', 'paid', 'it''s') CHARACTER SET latin1 DEFAULT 'open', photo longblob,
    flags bit(9), place point NOT NULL,
    KEY (customer, at), SPATIAL KEY (place), CONSTRAINT buyer FOREIGN KEY (customer) REFERENCES customer (id)
    ON DELETE CASCADE, CONSTRAINT sane CHECK (cents >= 0)) COMMENT 'it''s; a "comment" ü';
INSERT INTO purchase (id, customer, at, cents, state, photo, flags, place) VALUES
    (1, 100, '2026-03-29 02:30:00.123', 12.5, 'paid', unhex('00FF0A275C22'), b'1', point(1, 2)),
    (18446744073709551615, 101, '1970-01-02 00:00:00', 0.0001, 'it''s', NULL, NULL, point(-1.5, 1e10)),
    (3, NULL, '2038-01-19 03:14:07', NULL, 'open', '', b'101', point(0, 0));
CREATE TABLE log (n int AUTO_INCREMENT PRIMARY KEY, what text, FULLTEXT KEY (what));
CREATE TABLE parted (id int, y int) PARTITION BY RANGE (y) (PARTITION old VALUES LESS THAN (2000),
    PARTITION new VALUES LESS THAN MAXVALUE);
INSERT INTO parted VALUES (1, 1990), (2, 2020), (3, NULL);
CREATE TABLE nothing (a int);
CREATE VIEW dear AS SELECT id, cents FROM purchase WHERE cents > 1;
DELIMITER ;;
CREATE TRIGGER noted AFTER UPDATE ON purchase FOR EACH ROW INSERT INTO log (what) VALUES (concat(NEW.id, ';'));;
CREATE FUNCTION half (x decimal(20, 4)) RETURNS decimal(20, 4) DETERMINISTIC RETURN x / 2;;
CREATE PROCEDURE tidy () BEGIN DELETE FROM log WHERE n < 0; /* ; */ END;;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DISABLE DO CALL tidy();;
DELIMITER ;
"""

LATE = """
SET sql_mode = '';
CREATE TABLE at (id int PRIMARY KEY, at timestamp NULL);
INSERT INTO at VALUES (1, '2106-02-07 00:00:00'), (2, '2038-01-18 00:00:00'), (3, NULL);
DELETE FROM at WHERE at = 0;
"""
"""Times up to the latest that the server takes: it ends in 2038, or in 2106 since MariaDB 11.5."""

GENERATED = """
CREATE TABLE computed (id int PRIMARY KEY, at timestamp NULL, doubled int AS (id * 2) STORED, text varchar(9)
    AS (concat('v', id)) VIRTUAL, KEY (text));
INSERT INTO computed (id, at) VALUES (1, '2026-03-29 02:30:00'), (2, NULL);
"""
