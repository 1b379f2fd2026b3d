# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a fleet: one page of HTML that needs nothing else, from the status of each host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.operations.words import duration_words, size_words
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import parse_time

from .chart import chart
from .html import Html, join, tag

STATES = {
    "failed": ("bad", "✕"),
    "missing": ("bad", "✕"),
    "late": ("bad", "!"),
    "unreachable": ("warn", "?"),
    "ok": ("good", "✓"),
    "excluded": ("idle", "-"),
    "gone": ("idle", "-"),
}
"""Worst first, as the module status has them: how each looks."""

PROBLEMS = ("failed", "missing", "late", "unreachable")
IDLE = ("excluded", "gone")
COLUMNS = ("State", "Host", "Database", "Newest backup", "Verified", "Next due", "Size", "Duration", "Backups")
RECENTLY = timedelta(days=7)
SOON_FULL = 14
Status = Mapping[str, Any]


def page(hosts: Sequence[Status], title: str, now: datetime) -> str:
    """The report. A host without ``databases`` did not answer, and its ``error`` says why."""
    rows = [(host, entry) for host in hosts for entry in host.get("databases", [])]
    rows += [(host, _silent(instance)) for host in hosts for instance in _silent_instances(host)]
    rows += [(host, _silent({"id": "", "error": host["error"]})) for host in hosts if "databases" not in host]
    rows.sort(key=lambda row: (list(STATES).index(row[1]["state"]), row[0]["host"], row[1]["instance"]))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
        ),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", _file("report.css")),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", f"{len(hosts)} hosts, as of ", _time(now), class_="muted")),
        tag("main", _tiles(hosts, rows, now), _databases(rows, now), _hosts(hosts)),
        tag("footer", tag("p", "Made by vya.backupdb. Times are UTC; ages are as of the time above.", class_="muted")),
        tag("script", _file("report.js")),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _file(name: str) -> Html:
    return Html("\n" + Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _silent_instances(host: Status) -> list[Status]:
    return [item for item in host.get("instances", []) if item["enabled"] and item["error"]]


def _silent(instance: Status) -> Status:
    """A row for an instance or a host that does not answer, or that can't be backed up."""
    nothing = ("newest", "age_seconds", "rpo_seconds", "verified", "next_due", "size_change_percent")
    words = {
        "instance": instance["id"],
        "database": "",
        "kind": "",
        "state": "unreachable",
        "notes": [instance["error"]],
    }
    return {**words, **dict.fromkeys(nothing), "holds": [], "sets": 0, "stored_bytes": 0, "history": []}


def _time(moment: datetime) -> Html:
    return tag("time", f"{moment:%Y-%m-%d %H:%M} UTC", datetime=f"{moment:%Y-%m-%dT%H:%M:%SZ}")


def _tiles(hosts: Sequence[Status], rows: Sequence[tuple[Status, Status]], now: datetime) -> Html:
    entries = [entry for _host, entry in rows if entry["kind"] and entry["state"] not in IDLE]
    counts = {state: sum(entry["state"] == state for _host, entry in rows) for state in PROBLEMS}
    good = sum(entry["state"] == "ok" for entry in entries)
    proven = sum(_is_proven(entry, now) for entry in entries)
    stored = sum(host["repository"]["stored_bytes"] for host in hosts if "repository" in host)
    full = [
        (host["repository"]["days_until_full"], host["host"])
        for host in hosts
        if "repository" in host and host["repository"]["days_until_full"] is not None
    ]
    tiles = [_tile("As they should be", f"{good} of {len(entries)}", "good" if good == len(entries) else "")]
    tiles += [
        _tile(state.capitalize(), str(counts[state]), STATES[state][0] if counts[state] else "") for state in PROBLEMS
    ]
    tiles.append(_tile("Verified this week", f"{proven} of {len(entries)}"))
    tiles.append(_tile("Stored", size_words(stored)))
    if full:
        days, host = min(full)
        tiles.append(_tile("First full", _days(days), "bad" if days < SOON_FULL else "", host))
    return tag("section", tag("h2", "Summary", class_="unseen"), tag("ul", *tiles, class_="tiles"))


def _tile(name: str, value: str, look: str = "", detail: str = "") -> Html:
    more = tag("span", detail, class_="detail") if detail else None
    return tag("li", tag("span", name, class_="name"), tag("strong", value), more, class_=f"tile {look}".strip())


def _is_proven(entry: Status, now: datetime) -> bool:
    verified = entry["verified"]
    return bool(verified and verified["ok"] and now - parse_time(verified["finished"]) <= RECENTLY)


def _databases(rows: Sequence[tuple[Status, Status]], now: datetime) -> Html:
    controls = tag(
        "form",
        tag("label", "Filter ", tag("input", type="search", id="filter", placeholder="host, database, state …")),
        tag("label", tag("input", type="checkbox", id="problems"), " Problems only"),
        tag(
            "label",
            "Sort by ",
            tag("select", *(tag("option", name, value=place) for place, name in enumerate(COLUMNS)), id="sort"),
            class_="narrow",
        ),
        tag("output", f"{len(rows)} rows", id="shown", role="status"),
        class_="controls",
    )
    return tag(
        "section",
        tag("h2", "Databases"),
        controls,
        _table("databases", COLUMNS, [_row(host, entry, now) for host, entry in rows], sortable=True),
    )


def _table(name: str, columns: Sequence[str], rows: Sequence[Html], sortable: bool = False) -> Html:
    def header(column: str) -> Html:
        # Roles said explicitly: on narrow screens the table is shown as cards, and browsers would forget them.
        content = tag("button", column, type="button") if sortable else column
        return tag("th", content, scope="col", role="columnheader", aria_sort="none" if sortable else None)

    head = tag("thead", tag("tr", *(header(column) for column in columns), role="row"), role="rowgroup")
    body = tag("tbody", *rows, role="rowgroup")
    table = tag("table", head, body, id=name, role="table", aria_label=name.capitalize())
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=f"{name.capitalize()}, scrolls")


def _cell(label: str, sort: object, content: object, look: str = "") -> Html:
    shown = tag("div", content) if content else None
    return tag("td", shown, role="cell", data_label=label, data_sort=sort, class_=look or None)


def _row(host: Status, entry: Status, now: datetime) -> Html:
    state = entry["state"]
    look, sign = STATES[state]
    is_users = entry["kind"] == "users"
    name = "accounts" if is_users else entry["database"]
    newest, verified = entry["newest"], entry["verified"]
    pill = tag("span", tag("span", sign, aria_hidden="true"), f" {state}", class_=f"pill {look}")
    cells = {
        "State": (
            list(STATES).index(state),
            join(pill, *(tag("span", note, class_="detail") for note in entry["notes"])),
        ),
        "Host": (host["host"], host["host"]),
        "Database": (
            f"{name} {entry['instance']}",
            join(tag("em" if is_users else "b", name), tag("span", entry["instance"], class_="detail")),
        ),
        "Newest backup": (-1 if entry["age_seconds"] is None else entry["age_seconds"], _newest(entry)),
        "Verified": (verified["finished"] if verified else "", _verified(entry, now)),
        "Next due": (entry["next_due"] or "", _due(entry, now)),
        "Size": (newest["stored_bytes"] if newest else -1, _size(entry)),
        "Duration": (newest["duration_seconds"] if newest else -1, _duration(entry)),
        "Backups": (entry["sets"], _backups(entry)),
    }
    return tag(
        "tr",
        *(_cell(label, sort, content, look=_looks(label, entry)) for label, (sort, content) in cells.items()),
        role="row",
        class_=look,
        data_problem=state in PROBLEMS,
    )


def _looks(label: str, entry: Status) -> str:
    """What is wrong is red."""
    late = label == "Newest backup" and entry["state"] == "late"
    damaged = label == "Verified" and entry["verified"] and not entry["verified"]["ok"]
    return "wrong" if late or damaged else ""


def _words(seconds: float) -> str:
    return duration_words(timedelta(seconds=seconds))


def _newest(entry: Status) -> Html | None:
    age, objective = entry["age_seconds"], entry["rpo_seconds"]
    aim = tag("span", f"of {_words(objective)}", class_="muted") if objective is not None else None
    if not entry["newest"]:
        return join("none ", aim) if entry["kind"] else None
    started = tag("span", _time(parse_time(entry["newest"]["started"])), class_="detail")
    if not objective:
        return join(f"{_words(age)} ago", started)
    share = max(0, min(100, round(age * 100 / objective)))
    meter = tag("span", tag("span", style=f"width: {share}%"), class_="bar", aria_hidden="true")
    return join(f"{_words(age)} ", aim, meter, started)


def _verified(entry: Status, now: datetime) -> Html | None:
    verified = entry["verified"]
    if not verified:
        return tag("span", "never", class_="muted") if entry["sets"] else None
    ago = f"{duration_words(now - parse_time(verified['finished']))} ago"
    if not verified["ok"]:
        return join(f"failed {ago}", tag("span", verified["code"], class_="detail"))
    return join(ago, tag("span", verified["level"], class_="detail"))


def _due(entry: Status, now: datetime) -> str:
    if not entry["next_due"]:
        return ""
    left = parse_time(entry["next_due"]) - now
    return f"in {duration_words(left)}" if left > timedelta(0) else "now"


def _size(entry: Status) -> Html | None:
    history = [(parse_time(point["started"]), point["stored_bytes"]) for point in entry["history"]]
    if not entry["newest"]:
        return None
    label = f"Size of {len(history)} backups, from {size_words(history[0][1])} to {size_words(history[-1][1])}"
    return join(size_words(entry["newest"]["stored_bytes"]), chart(history, label))


def _duration(entry: Status) -> Html | None:
    history = [(parse_time(point["started"]), point["duration_seconds"]) for point in entry["history"]]
    if not entry["newest"]:
        return None
    label = f"Duration of {len(history)} backups, from {history[0][1]:.1f} s to {history[-1][1]:.1f} s"
    return join(_short(entry["newest"]["duration_seconds"]), chart(history, label))


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else _words(seconds)


def _backups(entry: Status) -> Html | None:
    if not entry["kind"]:
        return None
    holds = len(entry["holds"])
    return join(str(entry["sets"]), tag("span", f"{holds} on hold", class_="detail") if holds else None)


HOST_COLUMNS = ("Host", "Instances", "Repository", "Free", "Stored", "Growth", "Full in")


def _hosts(hosts: Sequence[Status]) -> Html:
    rows = [_host(host) for host in sorted(hosts, key=lambda item: str(item["host"])) if "repository" in host]
    return tag("section", tag("h2", "Hosts"), _table("hosts", HOST_COLUMNS, rows)) if rows else Html("")


def _host(host: Status) -> Html:
    repository = host["repository"]
    free, total, days = repository["free_bytes"], repository["total_bytes"], repository["days_until_full"]
    cells: dict[str, object] = {
        "Host": tag("b", host["host"]),
        "Instances": tag("ul", *(tag("li", line) for line in _instances(host)), class_="plain"),
        "Repository": join(repository["path"], _wrong(repository["error"])),
        "Free": None,
        "Stored": join(
            size_words(repository["stored_bytes"]), tag("span", f"{repository['sets']} backups", class_="detail")
        ),
        "Growth": _growth(repository),
        "Full in": None if days is None else f"{_at_least(repository)}{_days(days)}",
    }
    if free is not None and total:
        used = round((total - free) * 100 / total)
        meter = tag("span", tag("span", style=f"width: {used}%"), class_="bar", aria_hidden="true")
        cells["Free"] = join(f"{size_words(free)} ", tag("span", f"of {size_words(total)}", class_="muted"), meter)
    soon = days is not None and days < SOON_FULL
    return tag(
        "tr",
        *(
            _cell(label, None, content, look="wrong" if label == "Full in" and soon else "")
            for label, content in cells.items()
        ),
        role="row",
    )


def _wrong(error: str | None) -> Html | None:
    return tag("span", error, class_="detail wrong") if error else None


def _instances(host: Status) -> Iterator[str]:
    for instance in host["instances"]:
        server = f"{instance['flavour']} {instance['server_version']}" if instance["reachable"] else instance["engine"]
        state = "" if instance["enabled"] and not instance["error"] else ", does not answer"
        yield f"{instance['id']}: {server}{state if instance['enabled'] else ', switched off'}"


def _growth(repository: Status) -> str | None:
    rate = repository["growth_bytes_per_day"]
    if rate is None:
        return None
    sign = "-" if rate < 0 else ""
    most = "up to " if repository["growth_basis"] == "sets" else ""
    return f"{most}{sign}{size_words(abs(rate))} a day"


def _at_least(repository: Status) -> str:
    return "at least " if repository["growth_basis"] == "sets" else ""


def _days(days: float) -> str:
    return f"{days:.0f} days" if days < 3650 else "10 years and more"
