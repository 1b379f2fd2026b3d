"""The data: one table with most of it, one with a tenth, and small ones; numbers, text, JSON, times, random tokens.

The same statements fill PostgreSQL and MariaDB, apart from what the two call things.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT = (
    "The customer asked for an earlier delivery and was told that the parts are on their way from the second store, "
    "where stock is counted on Fridays. Payment is due within thirty days of the invoice; a reminder goes out by mail "
    "after that. Returned goods are inspected on arrival, and the amount is credited to the account they were bought "
    "with. Colour, size and quantity were confirmed by telephone. Please leave the parcel with the neighbour if nobody "
    "answers the door, and do not fold the drawings. "
)
ROW_BYTES = 320
"""What a row of ``events`` takes in a dump, about."""
LARGE_SHARE = 0.85
SMALL_ROWS = 20


@dataclass(frozen=True)
class Size:
    """How much data: ``megabytes`` of rows in a dump, about, in ``tables`` tables (three at least)."""

    megabytes: int
    tables: int = 22

    @property
    def rows(self) -> dict[str, int]:
        """The rows of each table."""
        rows = self.megabytes * 1_000_000 // ROW_BYTES
        large = round(rows * LARGE_SHARE)
        rest = rows - large
        named = {"events": large, "orders": rest * 2 // 3}
        small = max(1, self.tables - 2)
        return {**named, **{f"small_{number:04}": max(SMALL_ROWS, rest // 3 // small) for number in range(small)}}


@dataclass(frozen=True)
class Dialect:
    """How a server writes what the data needs; ``{n}`` in ``series`` is the number of rows."""

    number: str
    json: str
    moment: str
    series: str
    value: str
    token: str
    random: str
    moment_value: str

    def statements(self, size: Size) -> list[str]:
        """Creates and fills all tables."""
        return [statement for table, rows in size.rows.items() for statement in self._table(table, rows)]

    def _table(self, table: str, rows: int) -> list[str]:
        columns = (
            f"id {self.number} NOT NULL PRIMARY KEY, customer integer NOT NULL, kind varchar(16) NOT NULL, "
            f"amount decimal(12,2), created {self.moment} NOT NULL, payload {self.json}, note text, "
            "token varchar(64) NOT NULL"
        )
        v = self.value
        values = (
            f"{v}, floor({self.random} * 100000), substr('invoice receipt reminder', 1 + {v} % 9, 8), "
            f"{self.random} * 10000, {self.moment_value}, "
            f'concat(\'{{"order": \', {v} * 7, \', "tags": ["a\', {v} % 13, \'", "b\', {v} % 7, \'"], "open": '
            f"', CASE WHEN {v} % 3 = 0 THEN 'true' ELSE 'false' END, '}}'){self._cast}, "
            f"substr('{TEXT}', CAST(1 + {v} % 300 AS {self._integer}), 120), {self.token}"
        )
        return [
            f"CREATE TABLE {table} ({columns})",
            f"INSERT INTO {table} SELECT {values} FROM {self.series.format(n=rows)}",
            f"CREATE INDEX {table}_customer ON {table} (customer)",
            f"CREATE INDEX {table}_created ON {table} (created)",
        ]

    @property
    def _cast(self) -> str:
        return f"::{self.json}" if self.json == "jsonb" else ""

    @property
    def _integer(self) -> str:
        return "integer" if self.json == "jsonb" else "unsigned"


POSTGRESQL = Dialect(
    number="bigint",
    json="jsonb",
    moment="timestamp with time zone",
    series="generate_series(1, {n}) AS s (seq)",
    value="seq",
    token="md5(random()::text) || md5(random()::text)",
    random="random()",
    moment_value="timestamptz '2024-01-01 00:00:00Z' + seq * interval '17.123456 seconds'",
)
MARIADB = Dialect(
    number="bigint",
    json="json",
    moment="datetime(6)",
    series="seq_1_to_{n}",
    value="seq",
    token="concat(md5(rand()), md5(rand()))",
    random="rand()",
    moment_value="timestamp '2024-01-01 00:00:00' + INTERVAL seq * 17123456 MICROSECOND",
)
