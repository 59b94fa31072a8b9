"""Query revisions: a brand's query that changed gets a higher revision, whether or not the operator raised it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from domain.brand import Brand
from stream.protocol import Log, Settlement, StateWrite

_SPACE = "queries"


def known_revisions(log: Log, brands: Sequence[Brand]) -> tuple[Brand, ...]:
    """Give the brands with the revisions that were settled, for whoever only reads.

    Raises:
        RetryLater, BackendDown: the log cannot be read.
    """
    known = {key: json.loads(raw) for key, raw in log.state(_SPACE, [brand.brand_id for brand in brands]).items()}
    return tuple(
        replace(brand, query_revision=max(brand.query_revision, known[brand.brand_id]["revision"]))
        if brand.brand_id in known
        else brand
        for brand in brands
    )


def settle_revisions(log: Log, brands: Sequence[Brand]) -> tuple[tuple[Brand, ...], tuple[str, ...]]:
    """Give the brands with the revisions that hold, and a line for each that was raised here. Durable when it returns.

    The revision that holds is the configured one, or the one kept where that is higher; a query that differs from the
    last one known gets at least one more than before.

    Raises:
        BackendDown: the log cannot be read or written.
    """
    known = {key: json.loads(raw) for key, raw in log.state(_SPACE, [brand.brand_id for brand in brands]).items()}
    settled: list[Brand] = []
    notices: list[str] = []
    writes: list[StateWrite] = []
    for brand in brands:
        digest = blake2b(brand.query.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        before = known.get(brand.brand_id)
        revision = brand.query_revision
        if before is not None and before["query"] == digest:
            revision = max(revision, before["revision"])
        elif before is not None and revision <= before["revision"]:
            revision = before["revision"] + 1
            notices.append(
                f"brand {brand.brand_id}: the query changed and query_revision did not; going on as revision "
                f"{revision} (write that into the configuration)"
            )
        if before != {"query": digest, "revision": revision}:
            value = json.dumps({"query": digest, "revision": revision}).encode()
            writes.append(StateWrite(_SPACE, brand.brand_id, value))
        settled.append(replace(brand, query_revision=revision))
    if writes:
        log.settle(Settlement(state=writes))
    return tuple(settled), tuple(notices)
