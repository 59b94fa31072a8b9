"""What of alerts goes along when a store is moved."""

from __future__ import annotations

from typing import Final

from alerts import health_book, recipients, silence, telling
from alerts.book import SUBSCRIPTION
from alerts.evaluator import WATCH
from alerts.stored import ALERT

# Left out: counts, which are derived; the lease and the status, which are of a moment; the key that signs links, which
# is a secret; and the outbox: what a copy would send, the original sends already.
MOVED: Final = (
    ALERT,
    WATCH,
    health_book.KIND,
    telling.KIND,
    silence.KIND,
    SUBSCRIPTION,
    recipients.KIND,
)
