"""Alerts as the pages say them: what a rule sees of a brand, how long it lasted, how the evaluator fares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alerts.records import Alert, WatchState
from alerts.rule import Metric, Rule
from alerts.standing import Pulse, Standing
from alerts.subscription import Subscription
from alerts.wording import because, span
from dashboard.display import exact, relative

MOODS: Final[Mapping[WatchState, str]] = {
    WatchState.QUIET: "good",
    WatchState.PENDING: "waiting",
    WatchState.FIRING: "wrong",
    WatchState.SUPPRESSED: "waiting",
    WatchState.DELAYED: "waiting",
    WatchState.NO_DATA: "waiting",
    WatchState.LEARNING: "waiting",
}
NAMES: Final[Mapping[WatchState, str]] = {
    WatchState.QUIET: "As usual",
    WatchState.PENDING: "Pending",
    WatchState.FIRING: "Firing",
    WatchState.SUPPRESSED: "Not told",
    WatchState.DELAYED: "Delayed",
    WatchState.NO_DATA: "No data",
    WatchState.LEARNING: "Learning",
}
METRICS: Final[Mapping[Metric, str]] = {
    Metric.VOLUME: "mentions",
    Metric.NEGATIVE: "negative mentions",
    Metric.NEGATIVE_SHARE: "share of negative mentions",
    Metric.NET_SENTIMENT: "net sentiment",
}


@dataclass(frozen=True, slots=True)
class Life:
    """Whether the evaluator lives: good, waiting or wrong, and a sentence."""

    mood: str
    words: str


def life(pulse: Pulse | None, holder: str, now: datetime) -> Life:
    """Say how the evaluator fares; `holder` is who has the right to look now, "" for nobody."""
    if pulse is None and holder:
        return Life("waiting", f"The first look at everything is under way ({holder}).")
    if pulse is None:
        return Life(
            "wrong", "Nothing was ever looked at here: nobody is told of anything until the service that does it runs."
        )
    if pulse.is_silent(now) and holder:
        return Life(
            "wrong",
            f"Nothing was looked at since {exact(pulse.at)} ({lasted(now - pulse.at)}), though {holder} is at it: it "
            "waits for what it needs, which its log names. Nobody is told of anything meanwhile; nothing is lost.",
        )
    if pulse.is_silent(now):
        return Life(
            "wrong",
            f"Nothing was looked at since {exact(pulse.at)} ({lasted(now - pulse.at)}): nobody is told of anything "
            "until the service that does it runs again. Nothing is lost; it goes on where it stopped.",
        )
    watched = f"{pulse.watches:,} pair{'' if pulse.watches == 1 else 's'} of rule and brand"
    if pulse.late_since is not None:
        return Life(
            "waiting",
            f"Looked {relative(pulse.at, now)}, but only at what was said until {exact(pulse.edge)}: something lags, "
            f"so alerts come {lasted(now - pulse.edge)} late.",
        )
    return Life("good", f"Looked {relative(pulse.at, now)} at {watched}, at what was said until {exact(pulse.edge)}.")


def why(standing: Standing) -> str:
    """Say what a state means and why it is so; "" where its name says all."""
    match standing.state:
        case WatchState.PENDING:
            return "unusual, but not for long enough yet"
        case WatchState.SUPPRESSED:
            return "a spike by its numbers, but " + "; ".join(because(each) for each in standing.doubts)
        case WatchState.DELAYED:
            return "what can be judged lies more than five minutes back"
        case WatchState.LEARNING:
            return "first heard of less than a day ago: nothing can be called unusual yet"
        case WatchState.NO_DATA:
            return "nothing was said of it in eight weeks, or its sources are deaf"
    return ""


def lasted(length: timedelta) -> str:
    """Say how long something is: `12 min`, `2 h 5 min`, `3 d 4 h`."""
    minutes = max(0, round(length / timedelta(minutes=1)))
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    large, small = (f"{hours} h", f"{minutes} min") if hours < 24 else (f"{hours // 24} d", f"{hours % 24} h")
    return large if small.startswith("0 ") else f"{large} {small}"


def since(alert: Alert, now: datetime) -> str:
    """Say how long an alert has been firing, or how long it did."""
    if alert.resolved_at is None:
        return f"for {lasted(now - alert.started_at)}"
    return f"lasted {lasted(max(alert.resolved_at - alert.started_at, timedelta()))}"


def rule_words(rule: Rule) -> str:
    """Say what a rule watches."""
    floors = f"at least {rule.min_mentions} mentions by {rule.min_authors} authors of {rule.min_stories} stories"
    ratio = f", {rule.min_ratio:g} times what is usual" if rule.metric in (Metric.VOLUME, Metric.NEGATIVE) else ""
    return f"{METRICS[rule.metric]} in {span(rule.window_minutes)}; {floors}{ratio}"


def wants(subscription: Subscription, brands: Mapping[str, str]) -> str:
    """Say what a subscription is told of; `brands` are names by id."""
    if subscription.audience == "it":
        what = "the pipeline's own health"
    else:
        what = (
            "all brands" if not subscription.brands else ", ".join(brands.get(one, one) for one in subscription.brands)
        )
    rules = f", rules {', '.join(subscription.rules)}" if subscription.rules else ""
    least = "" if subscription.severity.value == "info" else f", {subscription.severity.value} and above"
    return f"{what}{rules}{least}"


def when(subscription: Subscription) -> str:
    """Say when a subscription is told."""
    parts = ["at once"]
    if subscription.quiet_hours:
        parts = [f"not {subscription.quiet_hours} ({subscription.timezone})"]
    if subscription.digest != "none":
        parts.append(f"{subscription.digest} summary")
    return ", ".join(parts)
