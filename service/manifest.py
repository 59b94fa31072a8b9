"""The manifest of a backup: what `soundings backup` wrote, by which `restore` knows that it is whole and unaltered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from domain.errors import BackendDown, ConfigError
from service.version import version
from stream.codec import from_json, to_json
from stream.sqlite_backup import Seal, make_durable

FILE: Final = "manifest.json"
# Raise when older programs cannot restore what is written.
FORMAT: Final = 1
_FORMAT: Final = "soundings_backup"
_REMEDY: Final = "take another backup; to save what is readable, work on a copy of this one"


@dataclass(frozen=True, slots=True)
class Manifest:
    """When a backup was made, by which version, and the seal of each file by its path in the folder."""

    made_at: datetime
    made_by: str
    files: Mapping[str, Seal]


def write_manifest(folder: Path, made_at: datetime, files: Mapping[str, Seal]) -> None:
    """Write the manifest of a backup, durably; it comes last, so that a folder without one is unfinished.

    Raises:
        BackendDown: it cannot be written.
    """
    sealed = {name: asdict(seal) for name, seal in files.items()}
    document = {_FORMAT: FORMAT, "made_at": made_at, "made_by": version(), "files": sealed}
    path = folder / FILE
    try:
        path.touch(mode=0o600)
        path.write_bytes(to_json(document) + b"\n")
        make_durable(path)
        make_durable(folder)
    except OSError as exc:
        raise BackendDown(f"{path} cannot be written: {exc.strerror}. Check the disk and the permissions") from exc


def read_manifest(folder: Path, schemas: Mapping[str, int]) -> Manifest:
    """Read the manifest of a backup and look whether its files are there in their length; what is in them is not read.

    Args:
        folder: the backup.
        schemas: the paths that a backup may have, each with the highest schema number that this program reads; the
            first must be there.

    Raises:
        ConfigError: there is none or it is damaged, a newer program wrote it, or files are missing or changed: all
            problems.
    """
    path = folder / FILE
    try:
        document = from_json(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(
            f"{folder}: holds no {FILE}, which `soundings backup` writes last: this is no backup, or one that was cut "
            "off; take another"
        ) from None
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigError(f"{path}: is damaged: {exc}; {_REMEDY}") from exc
    manifest = _manifest(path, document, schemas)
    if problems := [line for name, seal in manifest.files.items() for line in _problems(folder / name, seal)]:
        raise ConfigError([*problems, f"the backup {folder} is damaged; {_REMEDY}"])
    return manifest


def damaged(folder: Path, problem: ConfigError) -> ConfigError:
    """Give the error of a backup that turned out to be damaged while it was read."""
    return ConfigError([*problem.problems, f"the backup {folder} is damaged; {_REMEDY}"])


def _manifest(path: Path, document: Any, schemas: Mapping[str, int]) -> Manifest:
    try:
        if document[_FORMAT] > FORMAT:
            raise ConfigError(
                f"{path}: found format {document[_FORMAT]}, this program reads {FORMAT}: use the version that wrote it "
                f"({document['made_by']})"
            )
        files = {name: _seal(**seal) for name, seal in document["files"].items()}
        manifest = Manifest(datetime.fromisoformat(document["made_at"]), str(document["made_by"]), files)
        newer = [(name, seal.schema) for name, seal in files.items() if seal.schema > schemas[name]]
        if next(iter(schemas)) not in files:
            raise KeyError(next(iter(schemas)))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ConfigError(f"{path}: is no manifest of a backup, or damaged ({exc}); {_REMEDY}") from exc
    if newer:
        raise ConfigError(
            [
                f"{path}: {name}: found schema {schema}, this program reads up to {schemas[name]}: use the version "
                f"that wrote it ({manifest.made_by})"
                for name, schema in newer
            ]
        )
    return manifest


def _seal(*, bytes: Any, sha256: Any, schema: Any) -> Seal:
    if not (isinstance(bytes, int) and isinstance(sha256, str) and isinstance(schema, int)):
        raise TypeError("a length, SHA-256 or schema is none")
    return Seal(bytes, sha256, schema)


def _problems(path: Path, seal: Seal) -> list[str]:
    try:
        found = path.stat().st_size
    except OSError as exc:
        return [f"{path}: cannot be read: {exc.strerror}"]
    return [] if found == seal.bytes else [f"{path}: found {found:,} bytes, expected {seal.bytes:,}"]
