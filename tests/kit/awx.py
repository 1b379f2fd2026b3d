# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the API of AWX on loopback: it stores objects by their endpoint, and records every request.

It knows what AWX documents of lists, names, and objects that belong to others; it is not AWX.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-awx-%s$@"


class Records:
    """What is in AWX, and what was asked of it."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.surveys: dict[str, Any] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self._last = 0

    def add(self, endpoint: str, content: dict[str, Any]) -> dict[str, Any]:
        """Stores an object. One that is only a reference to another, by its id, is stored as that."""
        if content.keys() == {"id"}:
            stored = content
        else:
            self._last += 1
            own = endpoint.rpartition("/")[2]
            stored = {"id": self._last, "url": f"/api/v2/{own}/{self._last}/", **content}
        self.objects.setdefault(endpoint, []).append(stored)
        return stored

    def find(self, own: str, number: int) -> dict[str, Any] | None:
        for endpoint, stored in self.objects.items():
            if endpoint.rpartition("/")[2] == own:
                for entry in stored:
                    if entry["id"] == number and "url" in entry:
                        return entry
        return None

    def named(self, endpoint: str, name: str) -> dict[str, Any]:
        (found,) = [entry for entry in self.objects.get(endpoint, []) if entry["name"] == name]
        return found


class _Handler(BaseHTTPRequestHandler):
    records: Records

    def log_message(self, *_arguments: Any) -> None:
        """Keeps silent."""

    def _answer(self, status: int, content: Any = None) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _content(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        return json.loads(self.rfile.read(length)) if length else None

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        content = self._content()
        self.records.requests.append((self.command, self.path, self.headers.get("Authorization")))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"detail": "Authentication credentials were not provided."})
            return
        endpoint = parts.path.removeprefix("/api/v2/").strip("/")
        if endpoint.endswith("survey_spec"):
            self._serve_survey(endpoint, content)
        elif self.command == "PATCH":
            own, number = endpoint.split("/")
            found = self.records.find(own, int(number))
            if found is None:
                self._answer(404, {"detail": "Not found."})
            else:
                found.update(content)
                self._answer(200, found)
        elif self.command == "POST":
            stored = self.records.add(endpoint, content)
            self._answer(204 if content.keys() == {"id"} else 201, None if content.keys() == {"id"} else stored)
        else:
            name = parse_qs(parts.query).get("name", [None])[0]
            found_all = self.records.objects.get(endpoint, [])
            results = [entry for entry in found_all if name is None or entry.get("name") == name]
            self._answer(200, {"count": len(results), "results": results})

    def _serve_survey(self, endpoint: str, content: Any) -> None:
        owner = re.sub("/survey_spec$", "", endpoint)
        if self.command == "POST":
            self.records.surveys[owner] = content
        self._answer(200, self.records.surveys.get(owner, {}))

    do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - the names that BaseHTTPRequestHandler looks for


@contextmanager
def stand_in() -> Iterator[tuple[str, Records]]:
    """Its address, and what it has; with an organization, an inventory, a project and a credential."""
    records = Records()
    for endpoint, name in (
        ("organizations", "Default"), ("inventories", "Databases"), ("projects", "Backups & more"),
        ("credentials", "deploy key"), ("execution_environments", "backupdb"),
    ):  # fmt: skip
        records.add(endpoint, {"name": name})
    handler = type("Handler", (_Handler,), {"records": records})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", records
        server.shutdown()
