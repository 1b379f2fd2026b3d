"""Prints, as one script, the commands of docs/quickstart.md and the README, then those of docs/install.md, keys.md and
schedule.md.

The inventory is that of the README, with the lines of the quick start for one machine. A command that names a backup
of the day on which the README was written gets the first one of that database. The Vault secret is in the file that
the README makes, so nothing asks for it. When a host is gone, the scenario "disaster" does what install.md says.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST = "$(ls /var/backups/vya-backupdb/db1/maria-main/shop/*/ | sort | head -1)"
LATER = ("docs/install.md", "docs/keys.md", "docs/schedule.md")


def blocks(document: str) -> list[tuple[str, str]]:
    return FENCED.findall((ROOT / document).read_text())


def commands(console: str) -> str:
    """The lines after a prompt, with those that they are continued on."""
    return "".join(f"{line}\n" for line in re.findall(r"^[$#] ((?:.*\\\n)*.*)$", console, re.MULTILINE))


quickstart = blocks("docs/quickstart.md")
(on_this_machine,) = [text for kind, text in quickstart if kind == "yaml"]
script = "".join(text for kind, text in quickstart if kind == "bash") + "cd /root/backupdb\n"
for kind, text in blocks("README.md"):
    if kind == "yaml" and "backupdb_instances" in text:
        here = re.sub(r"^ +ansible_host: .*\n", on_this_machine, text, flags=re.MULTILINE)
        script += f"cat > inventory.yml <<'END OF INVENTORY'\n{here}END OF INVENTORY\n"
    if kind == "console":
        script += commands(text)
script = re.sub(r"shop_\d{8}_\d{6}_full", lambda _found: FIRST, script)
script += "export PG_BACKUP_PASSWORD='correct horse'\n"
for document in LATER:
    script += "".join(commands(text) for kind, text in blocks(document) if kind == "console")
script = script.replace(" --ask-vault-pass", "")
sys.stdout.write(f"set -euxo pipefail\n{script}")
