"""What is unusual, in one line."""

from __future__ import annotations

from fakes.alert_texts import reading

from alerts.rule import Metric
from alerts.wording import words_of


def test_a_net_sentiment_of_nothing_has_no_sign() -> None:
    said = words_of(reading(Metric.NET_SENTIMENT, observed=-0.42, expected=-0.004, mentions=20), 60)
    assert said == "net sentiment of 20 mentions in an hour is -42, about 0 is usual"
    assert words_of(reading(Metric.NET_SENTIMENT, observed=0.0, expected=0.08), 60).endswith("is 0, about +8 is usual")
