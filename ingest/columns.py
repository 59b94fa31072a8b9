"""Which column is which field: the configured mapping first, then the names that exports usually have."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.errors import ConfigError
from ingest.source import RAW_FIELDS

# Fields that a post cannot be without; their columns are taken whatever is in them, so that a mistake is seen.
_OWED = ("id", "text")
_MAX_PLANS = 256

# In order of trust: X's `id_str` is exact where its `id` may have been rounded by a reader in between.
GUESSES: Mapping[str, tuple[str, ...]] = {
    "id": ("id_str", "id", "tweet_id", "post_id", "status_id", "comment_id", "review_id", "native_id", "uri", "guid"),
    "text": (
        "full_text", "text", "content", "body", "message", "tweet", "tweet_text", "post", "comment", "review",
        "review_text", "selftext", "description", "summary",
    ),
    "title": ("title", "headline", "subject"),
    "url": ("url", "link", "permalink", "post_url"),
    "source": ("platform", "network", "source"),
    "kind": ("kind",),
    "lang": ("lang", "language", "declared_lang"),
    "author_id": ("author_id", "user_id", "user.id_str", "user.id", "author.id", "account.id"),
    "author_handle": (
        "author_handle", "screen_name", "username", "handle", "author", "user", "user.screen_name", "user.username",
        "author.username", "author.handle", "account.acct",
    ),
    "author_name": ("author_name", "display_name", "full_name", "user.name", "author.name", "account.display_name"),
    "author_followers": (
        "author_followers", "followers", "followers_count", "user.followers_count",
        "author.public_metrics.followers_count", "account.followers_count",
    ),
    "reply_to": ("reply_to", "in_reply_to_status_id_str", "in_reply_to_status_id", "in_reply_to_id", "parent_id"),
    "thread_id": ("thread_id", "conversation_id", "thread"),
    "published_at": (
        "published_at", "created_at", "date", "datetime", "timestamp", "time", "created", "created_utc", "posted_at",
        "published", "pub_date", "tweet_created", "post_date",
    ),
    "edited_at": ("edited_at", "updated_at", "modified_at", "edited"),
    "likes": ("likes", "like_count", "favorite_count", "favourites_count", "favorites", "public_metrics.like_count"),
    "reposts": ("reposts", "retweets", "retweet_count", "repost_count", "reblogs_count", "shares",
                "public_metrics.retweet_count"),
    "replies": ("replies", "reply_count", "replies_count", "num_comments", "public_metrics.reply_count"),
    "views": ("views", "view_count", "impressions", "impression_count", "public_metrics.impression_count"),
    "engagement_at": ("engagement_at",),
    "location": ("location", "user.location", "author.location", "user_location", "tweet_location"),
    "links": ("links",),
    "hashtags": ("hashtags",),
}  # fmt: skip

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """For rows of one set of columns: each field with the places to look at, and whether it was configured."""

    fields: tuple[tuple[str, tuple[_Path, ...], bool], ...]


class Columns:
    """Turns rows with their own column names into rows with our field names.

    `mapping` gives our field names their column, or the dotted path into nested JSON ("user.screen_name"); ""
    switches the guess for a field off. A column is matched exactly; guesses ignore case and punctuation.

    Raises:
        ConfigError: `mapping` names a field that does not exist.
    """

    def __init__(self, mapping: Mapping[str, str]) -> None:
        problems = [
            f"columns.{name}: there is no such field{_nearest(name, RAW_FIELDS)}; fields: {', '.join(RAW_FIELDS)}"
            for name in mapping
            if name not in RAW_FIELDS
        ]
        if problems:
            raise ConfigError(problems)
        self._mapping = dict(mapping)
        self._plans: dict[tuple[str, ...], _Plan] = {}
        # Whether the source has ids at all; decided once for a file (`learn`), not row by row.
        self.has_id = True

    def learn(self, rows: Sequence[Mapping[str, object]], *, whole: bool) -> None:
        """Look at the first rows: does what the mapping names exist, and are there ids?

        Args:
            rows: the first rows; for a table, one row with its header suffices.
            whole: these are all rows of the file, or its header.

        Raises:
            ConfigError: a mapped column stands in none of the rows; lists the columns found and the nearest.
        """
        if not rows:
            return
        names = sorted({name for row in rows for name in _names(row)})
        problems = [
            f"columns.{name} = {column!r}: not found{_nearest(column, names)}; "
            f"columns {'in the file' if whole else f'in the first {len(rows):,} rows'}: {', '.join(names[:60])}"
            for name, column in self._mapping.items()
            if column and not any(_has(row, column) for row in rows)
        ]
        if problems:
            raise ConfigError(problems)
        self.has_id = any(name == "id" for row in rows for name, _, _ in self._plan(tuple(row)).fields)

    def sources(self, row: Mapping[str, object]) -> dict[str, str]:
        """Tell for each field that `apply` would fill from a row which column, or dotted path, it comes from."""
        found: dict[str, str] = {}
        for name, paths, _ in self._plan(tuple(row)).fields:
            # The header of a table stands for rows whose values are not known.
            empty = (path for path in paths if len(path) == 1)
            path = next((path for path in paths if _at(row, path) not in (None, "")), next(empty, None))
            if path is not None:
                found[name] = ".".join(path)
        return found

    def apply(self, row: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
        """Give the fields of one row, values untouched, and everything else that the row says.

        Empty values (None, "") are left out, but not those of `id` and `text`, so that they can be missed.
        """
        plan = self._plan(tuple(row))
        fields: dict[str, object] = {}
        used: set[str] = set()
        for name, paths, mapped in plan.fields:
            for path in paths:
                value = _at(row, path) if len(path) > 1 else row.get(path[0])
                if value is None or value == "":
                    continue
                if not mapped and isinstance(value, dict) and name not in _OWED:
                    continue
                fields[name] = value
                used.add(path[0])
                break
            else:
                if name in _OWED:
                    fields[name] = ""
        return fields, {name: value for name, value in row.items() if name not in used}

    def _plan(self, keys: tuple[str, ...]) -> _Plan:
        plan = self._plans.get(keys)
        if plan is None:
            # Rows of ever new keys must not fill the memory.
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[keys] = self._make_plan(keys)
        return plan

    def _make_plan(self, keys: tuple[str, ...]) -> _Plan:
        present = set(keys)
        by_plain = {_plain(key): key for key in reversed(keys)}
        mapped_columns = {column for column in self._mapping.values() if column}
        fields: list[tuple[str, tuple[_Path, ...], bool]] = []
        for name in RAW_FIELDS:
            column = self._mapping.get(name)
            if column is not None:
                path = (column,) if column in present else tuple(column.split("."))
                paths: tuple[_Path, ...] = (path,) if column and path[0] in present else ()
            else:
                paths = tuple(
                    (by_plain[_plain(first)], *rest)
                    for first, *rest in (guess.split(".") for guess in GUESSES[name])
                    # A column that is mapped to one field is not guessed to be another one too.
                    if _plain(first) in by_plain and by_plain[_plain(first)] not in mapped_columns
                )
            if paths:
                fields.append((name, paths, column is not None))
        return _Plan(tuple(fields))


def attributes(leftover: Mapping[str, object], max_count: int, max_chars: int) -> dict[str, str]:
    """Give leftover values as text: the first `max_count` that are not empty, cut to `max_chars`."""
    attrs: dict[str, str] = {}
    for name, value in leftover.items():
        if value is None or value == "" or value == [] or value == {}:
            continue
        if len(attrs) == max_count:
            break
        if isinstance(value, str):
            text = value
        elif isinstance(value, bool | list | dict):
            text = json.dumps(value, ensure_ascii=False)
        else:
            text = str(value)
        attrs[name[:max_chars]] = text[:max_chars]
    return attrs


def _at(row: Mapping[str, object], path: _Path) -> object:
    value: object = row.get(path[0])
    for part in path[1:]:
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _has(row: Mapping[str, object], column: str) -> bool:
    if column in row:
        return True
    value: object = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _names(row: Mapping[str, object]) -> Iterable[str]:
    for name, value in row.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in value)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""
