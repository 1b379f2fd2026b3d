# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web shop's SQLite database for the demo: always the same one.

usage: shop.py create|check|damage FILE
check prints a digest of all rows and of the schema, or says what SQLite finds wrong and ends with status 1.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

CUSTOMERS, PRODUCTS, ORDERS = 5_000, 900, 13_000

SCHEMA = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, city TEXT NOT NULL, joined TEXT NOT NULL
);
CREATE TABLE products (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents > 0), stock INTEGER NOT NULL
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, placed TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'paid', 'shipped', 'returned')),
    total_cents INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders, product_id INTEGER NOT NULL REFERENCES products,
    quantity INTEGER NOT NULL, price_cents INTEGER NOT NULL, PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;
CREATE INDEX orders_of_customer ON orders (customer_id, placed);
CREATE VIRTUAL TABLE product_search USING fts5 (name, description, content = 'products', content_rowid = 'id');

CREATE TRIGGER product_added AFTER INSERT ON products BEGIN
    INSERT INTO product_search (rowid, name, description) VALUES (new.id, new.name, new.description);
END;
CREATE TRIGGER product_removed AFTER DELETE ON products BEGIN
    INSERT INTO product_search (product_search, rowid, name, description)
    VALUES ('delete', old.id, old.name, old.description);
END;
CREATE TRIGGER item_sold AFTER INSERT ON order_items BEGIN
    UPDATE products SET stock = stock - new.quantity WHERE id = new.product_id;
    UPDATE orders SET total_cents = total_cents + new.quantity * new.price_cents WHERE id = new.order_id;
END;

CREATE VIEW monthly_revenue AS
    SELECT substr(placed, 1, 7) AS month, count(*) AS orders, sum(total_cents) / 100.0 AS revenue
    FROM orders WHERE state <> 'returned' GROUP BY 1;
CREATE VIEW best_sellers AS
    SELECT p.name, sum(i.quantity) AS sold FROM order_items i JOIN products p ON p.id = i.product_id
    GROUP BY p.id ORDER BY sold DESC LIMIT 20;
"""

FIRST_NAMES = "Ada Bruno Chiara Dmitri Élodie Fatima Grete Hiro Inès João Kwame Lena Marek Noor Olga Priya Søren Zoë"
LAST_NAMES = "Almeida Bauer Costa Dubois Eriksson Fischer García Haddad Ivanova Jansen Kowalski Müller Nakamura O'Neill"
CITIES = "Amsterdam Bern Córdoba Dublin Eger Gdańsk Hamburg Kyōto Lyon Oslo Porto Turin Wien Zürich"
KINDS = "bicycle pump lamp teapot notebook backpack umbrella headphones keyboard blanket knife kettle tent compass"
ADJECTIVES = "small large red blue folding waterproof silent wooden light heavy classic modern foldable durable"


def create(path: Path) -> None:
    draw = random.Random(1975)  # noqa: S311 - a sample, not a secret
    start = datetime(2024, 1, 1, tzinfo=UTC)

    def moment(latest_day: int) -> str:
        seconds = draw.randrange(86_400)
        return (start + timedelta(days=draw.randrange(latest_day), seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def customer(number: int) -> tuple[object, ...]:
        first, last = draw.choice(FIRST_NAMES.split()), draw.choice(LAST_NAMES.split())
        return number, f"{first} {last}", f"customer{number}@example.com", draw.choice(CITIES.split()), moment(365)

    def product(number: int) -> tuple[object, ...]:
        name = f"{draw.choice(ADJECTIVES.split())} {draw.choice(KINDS.split())}"
        description = f"A {name}: {', '.join(draw.sample(ADJECTIVES.split(), 4))}. Model {draw.randrange(10**6):06d}."
        return number, name.capitalize(), description, draw.randrange(199, 49_999), 10_000

    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as shop:
        shop.executescript(SCHEMA)
        shop.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", map(customer, range(1, CUSTOMERS + 1)))
        products = [product(number) for number in range(1, PRODUCTS + 1)]
        shop.executemany("INSERT INTO products VALUES (?, ?, ?, ?, ?)", products)
        states = ["open", "paid", *["shipped"] * 7, "returned"]
        for number in range(1, ORDERS + 1):
            order = (number, draw.randrange(1, CUSTOMERS + 1), moment(900), draw.choice(states))
            shop.execute("INSERT INTO orders (id, customer_id, placed, state) VALUES (?, ?, ?, ?)", order)
            for bought in draw.sample(products, draw.randrange(1, 5)):
                item = (number, bought[0], draw.randrange(1, 4), bought[3])
                shop.execute("INSERT INTO order_items VALUES (?, ?, ?, ?)", item)
        shop.commit()


def check(path: Path) -> None:
    digest, rows = hashlib.sha256(), 0
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as shop:
            for (finding,) in shop.execute("PRAGMA integrity_check"):
                if finding != "ok":
                    sys.exit(f"SQLite says: {finding.splitlines()[-1]}")
            objects = shop.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
            digest.update(repr(objects).encode())
            for kind, name, _sql in objects:
                if kind in ("table", "view"):
                    found = sorted(map(repr, shop.execute(f'SELECT * FROM "{name}"')))  # noqa: S608 - our own names
                    digest.update("\n".join(found).encode())
                    if kind == "table" and not name.startswith("product_search_"):  # tables of the full-text index
                        rows += len(found)
    except sqlite3.DatabaseError as error:
        sys.exit(f"SQLite says: {error}")
    print(f"SQLite says: ok. {rows} rows, SHA-256 of all that is in it: {digest.hexdigest()[:32]}")  # noqa: T201


def damage(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(b"\xde\xad\xbe\xef" * 4096)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("create", "check", "damage"):
        sys.exit(__doc__)
    {"create": create, "check": check, "damage": damage}[sys.argv[1]](Path(sys.argv[2]))
