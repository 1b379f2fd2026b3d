# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One exception tree. Every error has a stable ``code``, listed with cause and cure in docs/error-codes.md."""

from __future__ import annotations

from typing import Any


class BackupdbError(Exception):
    """Base of all errors: one sentence for people, one stable code for programs.

    The sentence says what is wrong, where, and what to do; it never holds a secret.
    """

    code = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.result: dict[str, Any] = {}
        """What was done before the error, for the module to return along with it."""

    @property
    def message(self) -> str:
        return str(self)


class InvalidConfigError(BackupdbError):
    """A value of an option, of an instance or of the configuration file is wrong."""

    code = "invalid_config"


class NotFoundError(BackupdbError):
    """An instance, database, table, pattern or backup set that was asked for does not exist."""

    code = "not_found"


class AmbiguousError(BackupdbError):
    """More than one backup set, or table, answers to what was asked for."""

    code = "ambiguous"


class ConnectionFailedError(BackupdbError):
    """The server cannot be reached."""

    code = "connection_failed"


class AuthenticationFailedError(BackupdbError):
    """The server refused the user name or the password."""

    code = "authentication_failed"


class HostKeyUnknownError(BackupdbError):
    """The host at the other end of SSH is not known by its key, or shows another one than it did."""

    code = "host_key_unknown"


class CredentialMissingError(BackupdbError):
    """The credential store has no entry of that id, or there is no store."""

    code = "credential_missing"


class PermissionDeniedError(BackupdbError):
    """The account lacks a privilege, or this process may not read or write a file."""

    code = "permission_denied"


class QueryFailedError(BackupdbError):
    """The server refused a statement."""

    code = "query_failed"


class LibraryMissingError(BackupdbError):
    """The Python on the host lacks a library, or has it in too old a version."""

    code = "library_missing"


class ToolMissingError(BackupdbError):
    """No client tool of the right flavour and version is installed."""

    code = "tool_missing"


class ToolFailedError(BackupdbError):
    """A client tool ended with an error; the sentence carries its own words."""

    code = "tool_failed"


class DatabaseCorruptError(BackupdbError):
    """The database itself is damaged."""

    code = "database_corrupt"


class DatabaseBusyError(BackupdbError):
    """The database stayed locked by somebody else for longer than we wait."""

    code = "database_busy"


class SchemaChangedError(BackupdbError):
    """Tables were altered while they were being dumped."""

    code = "schema_changed"


class TimedOutError(BackupdbError):
    """The work took longer than it may."""

    code = "timed_out"


class TargetExistsError(BackupdbError):
    """The target of a restore exists and ``existing`` is ``fail``."""

    code = "target_exists"


class TargetUnfitError(BackupdbError):
    """The target server lacks what the backup needs: roles, packet size, collation, version."""

    code = "target_unfit"


class RowCountMismatchError(BackupdbError):
    """A restored table does not hold the rows that the backup recorded."""

    code = "row_count_mismatch"


class RepositoryError(BackupdbError):
    """The repository cannot be used as it is."""

    code = "repository_unusable"


class RepositoryEmptyError(RepositoryError):
    """The repository holds no backup set at all: it is not mounted, or nothing was ever backed up to it."""

    code = "repository_empty"


class NoSpaceError(BackupdbError):
    """The file system is full, or has too little room for what is to be written."""

    code = "no_space"


class LockedError(BackupdbError):
    """Another run holds the lock of the database."""

    code = "locked"


class ManifestInvalidError(BackupdbError):
    """A manifest cannot be read, or was changed after it was written."""

    code = "manifest_invalid"


class RecordInvalidError(BackupdbError):
    """The record of a set, which says whether it is on hold, cannot be read."""

    code = "record_invalid"


class ChecksumMismatchError(BackupdbError):
    """The stored bytes of a part are missing, cut off or altered."""

    code = "checksum_mismatch"


class UnexpectedFileError(BackupdbError):
    """The folder of a set holds something that does not belong to it."""

    code = "unexpected_file"


class ContentInvalidError(BackupdbError):
    """A part opens and unpacks, and does not hold what a part of its kind holds, or what the manifest says."""

    code = "content_invalid"


class SealBrokenError(BackupdbError):
    """A sealed part does not open: altered, reordered, truncated, or from another set."""

    code = "seal_broken"


class SealMissingError(BackupdbError):
    """The set is not sealed, and only sealed ones are accepted."""

    code = "seal_missing"


class KeyMissingError(BackupdbError):
    """No key of the keyring opens the set, or there is no keyring."""

    code = "key_missing"


class KeyInUseError(BackupdbError):
    """A key that is to be removed is still needed: it is the active one, or sets or credentials open with no other."""

    code = "key_in_use"


class VaultSecretMissingError(BackupdbError):
    """Ansible was given no Vault secret to encrypt the copy of a keyring with, or not the one that was asked for."""

    code = "vault_secret_missing"


class WorkInterruptedError(BackupdbError):
    """Somebody asked for the end of the work, or nobody asked for it any more."""

    code = "interrupted"


class MailFailedError(BackupdbError):
    """A message could not be handed to the mail server."""

    code = "mail_failed"


def as_ours(error: Exception) -> BackupdbError:
    """The error itself where it is one of ours, else what ``unexpected`` makes of it."""
    return error if isinstance(error, BackupdbError) else unexpected(error)


def unexpected(error: BaseException) -> BackupdbError:
    """An error that nobody foresaw, told by its kind and place only: its text might hold a secret."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f" at {frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame else ""
    return BackupdbError(f"This is a bug in vya.backupdb: {type(error).__name__}{place}. Please report it.")
