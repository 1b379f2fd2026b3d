"""Takes a database out of a server and brings it back, for tests that compare what went in with what came out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import (
    Inventory,
    Part,
    Restored,
    RestoreRequest,
    StoredPart,
)
from ansible_collections.vya.backupdb.plugins.module_utils.engines.registry import open_engine


class PlainSource:
    """What an engine's snapshot gave, kept as plain files; the engine's view of a backup set without the set."""

    def __init__(self, engine: str, flavour: str, version: str, database: str) -> None:
        self.engine, self.flavour, self.server_version, self.database = engine, flavour, version, database
        self.inventory = Inventory()
        self.parts: Sequence[StoredPart] = ()
        self.position: dict[str, Any] = {}
        self.files: dict[str, Path] = {}

    @contextmanager
    def open(self, part: StoredPart) -> Iterator[BinaryIO]:
        with self.files[part.name].open("rb") as stream:
            yield stream


def take(instance: Instance, database: str, folder: Path, jobs: int = 2) -> PlainSource:
    """Dumps a database through its engine into plain files below a folder, the parts in parallel."""
    with closing(open_engine(instance)) as engine:
        server = engine.server()
        source = PlainSource(engine.name, server.flavour, server.version, database)

        def store(part: Part) -> StoredPart:
            path = folder / part.name
            with part.open() as stream, path.open("wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
            source.files[part.name] = path
            return StoredPart(part.name, part.kind, path.stat().st_size)

        with engine.snapshot(database, jobs) as snapshot, ThreadPoolExecutor(jobs) as pool:
            source.parts = list(pool.map(store, snapshot.parts))
            source.position = snapshot.position
            source.inventory = Inventory.from_json(snapshot.inventory().to_json())
        return source


def bring_back(source: PlainSource, instance: Instance, database: str, **request: Any) -> Restored:
    """Restores into an instance under a name; keyword arguments as in RestoreRequest."""
    with closing(open_engine(instance)) as engine:
        wanted = RestoreRequest(source=source, database=database, jobs=request.pop("jobs", 2), **request)
        warnings = engine.check_restore(wanted)
        restored = engine.restore(wanted)
        restored.warnings[:0] = warnings
        return restored
