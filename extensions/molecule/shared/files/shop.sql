CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
CREATE TABLE digits (d INT PRIMARY KEY);
INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, item VARCHAR(50), cents INT, photo BLOB);
INSERT INTO orders (item, cents, photo)
    SELECT concat('item ', a.d, ' 🦆'), 1000 * b.d + 100 * c.d + 10 * d.d, unhex('00ff5c270a')
    FROM digits a, digits b, digits c, digits d;
CREATE VIEW dear AS SELECT id, item FROM orders WHERE cents > 5000;
CREATE USER app@localhost IDENTIFIED BY 'app''s secret';
GRANT SELECT, UPDATE (item) ON shop.orders TO app@localhost;
