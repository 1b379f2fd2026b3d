# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends one message through a mail server. Uses nothing but Python's own library: it runs on the controller, too."""

from __future__ import annotations

import base64
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from ..errors import InvalidConfigError, MailFailedError

PLAIN, STARTTLS, TLS = "none", "starttls", "tls"
PORTS = {PLAIN: 25, STARTTLS: 587, TLS: 465}
LOGGED_IN = 235
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class MailServer:
    """Where messages are handed in, and how: in the clear, by STARTTLS, which must succeed then, or by TLS at once."""

    host: str = "localhost"
    port: int | None = None
    tls: str = PLAIN
    ca: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 20


def compose(sender: str, to: Sequence[str], subject: str, body: str) -> EmailMessage:
    """A message of plain text. Line breaks in the subject become spaces. InvalidConfigError names a wrong address."""
    if not to:
        raise InvalidConfigError("to: names nobody.")
    message = EmailMessage()
    for option, header, addresses in (("sender", "From", [sender]), ("to", "To", to)):
        try:
            message[header] = ", ".join(addresses)
        except ValueError:
            raise InvalidConfigError(f"{option}: {addresses!r} is no address.") from None
    message["Subject"] = " ".join(subject.split())
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence notice answers
    message.set_content(body)
    return message


def send(server: MailServer, message: EmailMessage) -> None:
    """Hands a message in. Raises MailFailedError where the server can't be reached, refuses it or a recipient of it,
    InvalidConfigError where a password would cross the network in the clear."""
    if server.username and server.tls == PLAIN and server.host not in _LOOPBACK:
        raise InvalidConfigError(
            f"username: a login is sent to {server.host} over an encrypted connection only. Set tls to starttls or tls."
        )
    where = f"The mail server {server.host}:{server.port or PORTS[server.tls]}"
    try:
        with _connected(server) as connection:
            if server.username:
                _log_in(connection, server.username, server.password or "")
            refused = connection.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        raise MailFailedError(f"{where} refused the message: {error.smtp_code} {_text(error.smtp_error)}.") from None
    except smtplib.SMTPException as error:
        raise MailFailedError(f"{where} does not do what is asked of it: {error}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MailFailedError(f"{where} cannot be used: {reason}.") from None
    if refused:
        words = "; ".join(f"{who}: {code} {_text(answer)}" for who, (code, answer) in refused.items())
        raise MailFailedError(f"{where} refused recipients: {words}.")


def _connected(server: MailServer) -> smtplib.SMTP:
    port = server.port or PORTS[server.tls]
    if server.tls == TLS:
        return smtplib.SMTP_SSL(server.host, port, timeout=server.timeout, context=_context(server))
    connection = smtplib.SMTP(server.host, port, timeout=server.timeout)
    try:
        if server.tls == STARTTLS:
            connection.starttls(context=_context(server))
    except BaseException:
        connection.close()
        raise
    return connection


def _log_in(connection: smtplib.SMTP, username: str, password: str) -> None:
    """As smtplib does, but for letters beyond ASCII, which it refuses: RFC 4616 sends them as UTF-8."""
    if (username + password).isascii():
        connection.login(username, password)
        return
    connection.ehlo_or_helo_if_needed()
    secret = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
    code, answer = connection.docmd("AUTH", f"PLAIN {secret}")
    if code != LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, answer)


def _context(server: MailServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca)


def _text(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split()).rstrip(".")
