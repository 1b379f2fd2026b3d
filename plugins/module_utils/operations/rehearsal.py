# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearses the restore of a set: into a scratch database, which is gone afterwards."""

from __future__ import annotations

from contextlib import closing

from ..config import Instance
from ..engines.base import Restored, RestoreRequest, Source
from ..engines.registry import open_engine
from ..errors import InvalidConfigError


def rehearse(source: Source, backup_id: str, instance: Instance, jobs: int, owner: str | None) -> Restored:
    """Restores a set into a scratch database of an instance, its rows compared with the inventory, and drops it.

    Raises as a restore does, and InvalidConfigError where the instance is of another engine. What would begin to work
    by itself in the restored database, the events of MySQL, is left out.
    """
    if instance.engine != source.engine:
        raise InvalidConfigError(
            f"Backup {backup_id} is of engine {source.engine}, and instance {instance.id} is of engine "
            f"{instance.engine}. Name a target of the same engine."
        )
    with closing(open_engine(instance)) as engine, engine.scratch() as name:
        request = RestoreRequest(
            source=source,
            database=name,
            jobs=jobs,
            owner=owner if source.engine == "postgresql" else None,
            idle=True,
        )
        engine.check_restore(request)
        return engine.restore(request)
