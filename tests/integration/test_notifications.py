# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told how a run ended, and the report on all hosts: plays against real receivers on loopback."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.certificates import Authority
from kit.modules import run_module
from kit.plays import Controller
from kit.receivers import Mailbox, Posted, http_receiver, mail_server
from kit.sqlite import make, numbers

PASSWORD = "pass: %s$@#'\" Mañana"
SECRETS = ("T0KEN", "B0DY", PASSWORD, "Hea-der")
REFUSED_PORT = 1
OWN_PLAYS = """
- name: Back up one host after the other, whatever comes of it
  hosts: all
  gather_facts: false
  serial: 1
  tasks:
    - name: Back up
      block:
        - ansible.builtin.include_role:
            name: vya.backupdb.backup
      rescue:
        - ansible.builtin.set_fact:
            own_fault: "{{ ansible_failed_result.msg }}"
- name: Tell of all of them at once
  hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: vya.backupdb.notify
        tasks_from: end.yml
      vars:
        __notify_event: backup
        __notify_fault: "{{ own_fault | default('') }}"
        __notify_probe: {}
"""


@pytest.fixture
def posted() -> Iterator[Posted]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    """Three hosts: good has a database, bad has an instance that does not answer, and gone can't be reached."""
    (tmp_path / "files").mkdir()
    make(tmp_path / "files" / "{{ shop }}.db", *numbers(3))

    def host(path: Path, **more: Any) -> dict[str, Any]:
        instances = [{"id": "files", "engine": "sqlite", "path": str(path)}]
        places = {"repository": tmp_path / "repository", "keyring": tmp_path / "keyring.json"}
        return {
            "backupdb_instances": instances,
            **{f"backupdb_{name}": str(place) for name, place in places.items()},
            "backupdb_notify_retries": 1,
            "backupdb_notify_delay": 0,
            **more,
        }

    gone = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": REFUSED_PORT}
    return Controller(
        tmp_path,
        {"good": host(tmp_path / "files"), "bad": host(tmp_path / "no"), "gone": host(tmp_path, **gone)},
    )


def silent(output: str) -> bool:
    return not any(form in output for secret in SECRETS for form in (secret, json.dumps(secret)[1:-1]))


def test_a_failure_is_told_to_those_who_want_to_know(controller: Controller, posted: Posted) -> None:
    with mail_server() as mailbox:
        mail = {"type": "mail", "server": "127.0.0.1", "port": mailbox.port, "sender": "backup@example.com"}
        receivers = [
            {"type": "webhook", "url": posted.url("/T0KEN"), "tell": "always", "headers": {"X-Key": "Hea-der"}},
            {"type": "slack", "url": posted.url("/services/B0DY")},
            {"type": "webhook", "url": posted.url("/good-news"), "tell": "success"},
            {"type": "webhook", "url": posted.url("/restores"), "tell": "always", "events": ["restore"]},
            {**mail, "to": ["dba@example.com", "night@example.com"]},
        ]
        play = controller.play("vya.backupdb.backup", "-vvv", notify=receivers)
    assert play.status != 0
    recaps = {name: play.recap(name) for name in ("good", "bad", "gone")}
    assert {name: (recap["failed"], recap["unreachable"]) for name, recap in recaps.items()} == {
        "good": (0, 0), "bad": (1, 0), "gone": (1, 0),
    }  # fmt: skip
    assert silent(play.output), play.output

    assert sorted(path for path, _body in posted.requests) == ["/T0KEN", "/services/B0DY"]
    told = dict(posted.requests)
    summary = told["/T0KEN"]
    assert posted.headers[0]["X-Key"] == "Hea-der"
    assert (summary["event"], summary["state"]) == ("backup", "failure")
    assert summary["title"] == "backup FAILED on 2 of 3 hosts: bad, gone"
    assert {entry["host"]: entry["state"] for entry in summary["hosts"]} == {
        "good": "success", "bad": "failure", "gone": "unreachable",
    }  # fmt: skip
    assert "connection_failed: The folder" in str(summary["hosts"])
    assert "files {{ shop }}.db backed up" in " ".join(summary["text"].split())
    assert told["/services/B0DY"]["text"].startswith(f"[vya.backupdb] {summary['title']}\n```\n")
    (message,) = mailbox.messages
    assert message["Subject"] == f"[vya.backupdb] {summary['title']}"
    assert mailbox.recipients == [["dba@example.com", "night@example.com"]]
    assert message.get_content().strip().startswith(summary["title"])


def test_success_goes_to_others_and_a_check_tells_nobody(controller: Controller, posted: Posted) -> None:
    receivers = [
        {"type": "webhook", "url": posted.url("/failures")},
        {"type": "webhook", "url": posted.url("/good-news"), "tell": "success"},
    ]
    template = controller.folder / "own.j2"
    template.write_text("{{ __notify_summary.hosts | length }} host")
    wanted = {"notify": receivers, "notify_template": str(template), "notify_subject": "All is well"}
    planned = controller.play("vya.backupdb.backup", "--limit", "good", "--check", **wanted)
    assert (planned.status, posted.requests) == (0, []), planned.output
    own = controller.folder / "own.yml"
    own.write_text(OWN_PLAYS)
    play = controller.play(str(own), "--limit", "good", **wanted)
    assert play.status == 0, play.output
    ((path, body),) = posted.requests
    assert (path, body["state"], body["title"]) == ("/good-news", "success", "backup succeeded on good")
    assert (body["subject"], body["text"]) == ("All is well", "1 host")


def test_verification_and_retention_are_told_as_well(controller: Controller, posted: Posted) -> None:
    receivers = [{"type": "webhook", "url": posted.url("/"), "tell": "always"}]
    nothing = controller.play("vya.backupdb.retention", "--limit", "good", notify=receivers)
    assert "repository_unusable" in nothing.output
    for playbook, options in (("backup", {}), ("verify", {"notify": receivers}), ("retention", {"notify": receivers})):
        play = controller.play(f"vya.backupdb.{playbook}", "--limit", "good", **options)
        assert play.status == 0, play.output
    titles = ["retention FAILED on good", "verify succeeded on good", "retention succeeded on good"]
    assert [body["title"] for _path, body in posted.requests] == titles
    told = ["\n".join(body["hosts"][0]["lines"]) for _path, body in posted.requests]
    assert all("{{ shop }}.db" in lines for lines in told[1:])


def test_all_hosts_may_fail_and_receivers_as_well(controller: Controller, posted: Posted) -> None:
    posted.fail = 1
    receivers = [
        {"type": "webhook", "name": "hook", "url": posted.url("/T0KEN")},
        {"type": "slack", "name": "chat", "url": f"http://127.0.0.1:{REFUSED_PORT}/services/B0DY"},
        {"type": "slack", "name": "typo", "url": "https//B0DY"},
        {"type": "mail", "server": "127.0.0.1", "port": REFUSED_PORT, "to": ["x@example.com"], "password": PASSWORD},
    ]
    play = controller.play("vya.backupdb.backup", "--limit", "bad,gone", "-vvv", notify=receivers)
    assert (play.recap("bad")["failed"], play.recap("gone")["failed"]) == (1, 1)
    assert [body["title"] for _path, body in posted.requests] == ["backup FAILED on all 2 hosts"] * 2
    (untold,) = [table for table in play.tables if table[0] == "NOT TOLD"]
    assert [line.partition(":")[0] for line in untold[1:]] == ["chat", "mail", "typo"]
    assert "mail: The mail server 127.0.0.1:1 cannot be used: Connection refused." in untold
    assert "typo: its url is no address of a web server." in untold
    assert silent(play.output), play.output


def test_status_writes_metrics_and_one_report_on_all_hosts(controller: Controller, posted: Posted) -> None:
    files = {"id": "files", "engine": "sqlite", "path": str(controller.folder / "files")}
    stored = {"host": "good", "repository": str(controller.folder / "repository"), "encrypt": False}
    assert len(run_module("backup", connection=files, **stored)["backups"]) == 1
    report, own = controller.folder / "out" / "fleet.html", f"{controller.folder}/{{{{ inventory_hostname }}}}"
    report.parent.mkdir()
    wanted = {
        "report": str(report),
        "report_title": "Ours",
        "rpo": "24h",
        "objectives": {"files": "0s", "*/nothing": ""},
        "fail_unhealthy": True,
        "monitoring": True,
        "textfile_folder": own,
        "health_file": f"{own}/health.json",
        "health_command": f"{own}/health",
        "notify": [{"type": "webhook", "url": posted.url("/x")}],
    }
    play = controller.play("vya.backupdb.status", **wanted)
    assert (play.recap("good")["failed"], play.recap("bad")["failed"], play.recap("gone")["unreachable"]) == (1, 1, 1)
    assert "1 wrong. files/{{ shop }}.db: late: newest is" in play.output
    assert any(table[-1] == "status FAILED on all 3 hosts." for table in play.tables)
    fleet = {entry["host"]: entry for entry in json.loads(report.with_suffix(".json").read_text())["hosts"]}
    assert fleet["good"]["databases"][0]["state"] == "late"
    assert "connection_failed" in str(fleet["bad"]["instances"])
    assert "Connection refused" in fleet["gone"]["error"]
    assert "{{ shop }}.db" in report.read_text()
    assert {path.stat().st_mode & 0o777 for path in report.parent.iterdir()} == {0o644}
    good = controller.folder / "good"
    assert "vya_backupdb_up" in (good / "vya-backupdb.prom").read_text()
    health = subprocess.run([good / "health", good / "health.json"], capture_output=True, check=False)
    assert (health.returncode, json.loads(health.stdout)["counts"]["late"]) == (2, 1)
    ((_path, body),) = posted.requests
    assert body["title"] == "status FAILED on all 3 hosts"
    assert any("late: newest is" in line for entry in body["hosts"] for line in entry["lines"])


def mail(mailbox: Mailbox, **more: Any) -> dict[str, Any]:
    options = {"server": "127.0.0.1", "port": mailbox.port, "sender": "a@example.com", "to": ["b@example.com"]}
    return run_module("mail", **{**options, "subject": "two\nlines", "body": "Mañana\n.dot\n", **more})


def test_mail_by_starttls_with_a_login(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("server", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with mail_server(context, ("me", PASSWORD)) as mailbox:
        login = {"tls": "starttls", "ca": str(authority.ca), "username": "me", "password": PASSWORD}
        sent = mail(mailbox, **login)
        assert (sent["changed"], mailbox.encrypted, mailbox.logins) == (True, [True], [("me", PASSWORD)])
        (message,) = mailbox.messages
        assert (message["Message-ID"], message["Subject"]) == (sent["message_id"], "two lines")
        assert message.get_content().splitlines() == ["Mañana", ".dot"]

        wrong = mail(mailbox, **{**login, "password": f"{PASSWORD}x"})
        assert (wrong["failed"], wrong["code"]) == (True, "mail_failed")
        assert "refused the message: 535 5.7.8 wrong credentials." in wrong["msg"]
        unknown = mail(mailbox, **{**login, "ca": None})
        assert "certificate verify failed" in unknown["msg"].lower()
        assert len(mailbox.messages) == 1


def test_mail_that_is_not_sent() -> None:
    with mail_server() as mailbox:
        refused = mail(mailbox, to=["b@example.com", "c@nowhere.example"])
        assert "refused recipients: c@nowhere.example: 550 5.1.1 no such user." in refused["msg"]
        assert "does not do what is asked of it" in mail(mailbox, tls="starttls")["msg"]
        assert mail(mailbox, to=[])["code"] == "invalid_config"
        assert "sender: ['a\\nb@example.com'] is no address." in mail(mailbox, sender="a\nb@example.com")["msg"]
        open_login = mail(mailbox, server="192.0.2.1", username="me", password=PASSWORD)
        assert "over an encrypted connection only" in open_login["msg"]
        assert run_module("mail", check=True, sender="a@b", to=["c@d"], subject="s", body="b")["changed"] is True
        assert mailbox.recipients == [["b@example.com"]]
    assert PASSWORD not in str(open_login)
