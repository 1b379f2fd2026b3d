# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of the escrow: Ansible Vault around the keyring that the module of the same name hands out."""

from __future__ import annotations

import json
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, is_encrypted, match_encrypt_secret
from ansible.plugins.action import ActionBase
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    BackupdbError,
    InvalidConfigError,
    VaultSecretMissingError,
)
from ansible_collections.vya.backupdb.plugins.module_utils.operations.escrow import open_keyring, seal_keyring
from ansible_collections.vya.backupdb.plugins.module_utils.security.fernet import FernetKey
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import Keyring, parse_keyring

COPY = "the copy in escrow"


class ActionModule(ActionBase):
    """Opens the copy, lets the module bring both sides together, and closes the copy again if it has changed."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        content, vault_id = arguments.pop("content", None), arguments.pop("vault_id", None)
        try:
            vault = self._vault()
            copy = self._open(vault, content) if content else None
            transport = FernetKey.generate()
            arguments["transport_key"] = transport.encoded
            if copy:
                arguments["escrowed"] = seal_keyring(copy, transport)
            result = self._execute_module("vya.backupdb.escrow", arguments, task_vars=task_vars)
            sealed = result.pop("sealed", None)
            if sealed is None:
                return result
            keyring = open_keyring(sealed, transport, COPY)
            if keyring != copy:
                content = self._close(vault, keyring, vault_id)
        except BackupdbError as error:
            return {"failed": True, "changed": False, "msg": error.message, "code": error.code}
        before, after = (_ids(keyring) if keyring else "" for keyring in (copy, keyring))
        result.update(content=content, changed=result["changed"] or keyring != copy)
        result["diff"] = {"before_header": "copy", "after_header": "copy", "before": before, "after": after}
        return result

    def _vault(self) -> VaultLib:
        secrets = self._loader._vault.secrets
        if not secrets:
            raise VaultSecretMissingError(
                "A copy of the keyring is kept only encrypted, and Ansible was given no Vault secret. Give it one with "
                "--ask-vault-pass, --vault-password-file or --vault-id, in AWX with a Vault credential. Without a "
                "copy, the backups of this host are lost when the host is (agent_escrow: false accepts that)."
            )
        return VaultLib(secrets)

    @staticmethod
    def _open(vault: VaultLib, content: str) -> Keyring:
        if not is_encrypted(content):
            raise InvalidConfigError(
                "content: is not encrypted with Ansible Vault. Read the copy with ansible.builtin.slurp, since the "
                "lookup file decrypts it, and write it with decrypt: false, since ansible.builtin.copy does so, too."
            )
        try:
            return parse_keyring(json.loads(vault.decrypt(content)), COPY)
        except (AnsibleError, ValueError):
            raise InvalidConfigError(
                "The copy of the keyring in escrow does not open with any Vault secret that Ansible was given, or is "
                "damaged. It is left as it is: give the right secret, or move the copy away."
            ) from None

    @staticmethod
    def _close(vault: VaultLib, keyring: Keyring, vault_id: str | None) -> str:
        try:
            found_id, secret = match_encrypt_secret(vault.secrets, encrypt_vault_id=vault_id)
            return vault.encrypt(json.dumps(keyring.to_json()), secret, vault_id and found_id).decode()
        except AnsibleError as error:
            raise VaultSecretMissingError(f"The keyring cannot be encrypted: {error}") from None


def _ids(keyring: Keyring) -> str:
    return "".join(f"{key.id} {key.state}\n" for key in keyring.keys)
