# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers of notifications: one for HTTP, one for mail; both keep what they are told.

On loopback, unless somebody wants them elsewhere. It needs nothing but Python, so that hosts of tests can run it.
"""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = ("127.0.0.1", 0)


@dataclass
class Posted:
    """What HTTP receivers were told: pairs of a path and a body. The first ``fail`` requests get status 500."""

    port: int = 0
    fail: int = 0
    requests: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def http_receiver(address: tuple[str, int] = LOOPBACK) -> Iterator[Posted]:
    posted = Posted()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = 500 if len(posted.requests) < posted.fail else 200
            posted.requests.append((self.path, json.loads(body)))
            posted.headers.append(dict(self.headers))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_arguments: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(address, Handler)
    posted.port = server.server_port
    with served(server):
        yield posted


@dataclass
class Mailbox:
    """What a mail server was handed, and by whom. Recipients at ``refused`` are refused."""

    port: int = 0
    refused: str = "nowhere.example"
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)


@contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, login: tuple[str, str] | None = None, address: tuple[str, int] = LOOPBACK
) -> Iterator[Mailbox]:
    """A server that speaks as much SMTP (RFC 5321) as clients need; with a context, STARTTLS (RFC 3207) as well."""
    mailbox = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def answer(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.encrypted: ssl.SSLSocket | None = None
            self.to: list[str] = []
            self.answer("220 sink")
            try:
                while (line := self.rfile.readline()) and not self.command(line.decode().rstrip("\r\n")):
                    pass
            except ssl.SSLError:
                pass  # the client does not trust us
            finally:
                if self.encrypted:
                    self.encrypted.close()

        def command(self, line: str) -> bool:
            word = line.split(" ")[0].upper()
            if word == "EHLO":
                offers = ["sink", "8BITMIME"]
                offers += ["STARTTLS"] if context and not self.encrypted else []
                offers += ["AUTH PLAIN"] if login else []
                for offer in offers[:-1]:
                    self.answer(f"250-{offer}")
                self.answer(f"250 {offers[-1]}")
            elif word == "STARTTLS" and context:
                self.answer("220 go ahead")
                self.encrypted = context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.encrypted.makefile("rb"), self.encrypted.makefile("wb", 0)
            elif word == "AUTH":
                _nothing, username, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                mailbox.logins.append((username, password))
                self.answer("235 welcome" if (username, password) == login else "535 5.7.8 wrong credentials")
            elif word == "RCPT":
                refused = line.rstrip(">").endswith(mailbox.refused)
                self.to += [] if refused else [line.partition("<")[2].rstrip(">")]
                self.answer("550 5.1.1 no such user" if refused else "250 ok")
            elif word == "DATA":
                self.answer("354 go on")
                lines = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text.removeprefix(b".") if text.startswith(b"..") else text)
                mailbox.messages.append(message_from_bytes(b"".join(lines), policy=policy.default))
                mailbox.recipients.append(self.to)
                mailbox.encrypted.append(self.encrypted is not None)
                self.answer("250 kept")
            else:
                self.answer("221 bye" if word == "QUIT" else "250 ok")
            return word == "QUIT"

    server = socketserver.ThreadingTCPServer(address, Handler)
    server.daemon_threads = True
    mailbox.port = server.server_address[1]
    with served(server):
        yield mailbox
