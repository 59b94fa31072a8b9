"""`soundings alerts`: what fires, what fired, what would have fired, and what people say to it."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.command import Command, add_config, add_data_dir, load_settings, positive
from service.terminal import complain, safe

if TYPE_CHECKING:
    from alerts.backtest import Backtest
    from alerts.records import Alert

_MAX_DAYS = 730


def _arguments(parser: ArgumentParser) -> None:
    acts = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def act(name: str, summary: str, run: Callable[[Namespace], int]) -> ArgumentParser:
        added = acts.add_parser(name, help=summary, description=summary)
        add_config(added)
        add_data_dir(added)
        added.add_argument("--json", action="store_true", help="print JSON")
        added.set_defaults(action=run, act=name)
        return added

    listing = act("list", "Show the alerts, those that began last first.", _list)
    listing.add_argument("--limit", type=positive, default=20, metavar="N", help="the last N (default 20)")
    act("rules", "Show what is watched, what each rule sees of each brand, and how useful its alerts were.", _rules)
    past = act("backtest", "Show when a rule would have fired, by what is stored today.", _backtest)
    past.add_argument("rule", metavar="RULE", help="id of the rule")
    past.add_argument("--brand", metavar="BRAND", help="id of one brand (default: each that the rule is about)")
    past.add_argument("--days", type=_days, default=90, metavar="N", help="how far back from the newest (default 90)")
    past.add_argument("--chart", type=Path, metavar="FILE", help="write a picture of it (PNG), one brand at a time")
    seen = act("acknowledge", "Say that an alert was seen: it is not said again.", _acknowledge)
    marked = act("mark", "Say that an alert was useful, or noise.", _mark)
    for parser_of in (seen, marked):
        parser_of.add_argument("alert", metavar="ALERT", help="its id")
        parser_of.add_argument("--by", metavar="NAME", default="the command line", help="who says so")
    marked.add_argument("mark", choices=("useful", "noise", "nothing"), help="nothing takes a mark back")
    hush = act("silence", "Tell nobody of some alerts for a while; they still stand on the page.", _silence)
    hush.add_argument("--brand", action="append", default=[], metavar="BRAND", help="of this brand; may be repeated")
    hush.add_argument("--rule", action="append", default=[], metavar="RULE", help="of this rule; may be repeated")
    hush.add_argument("--hours", type=_hours, required=True, metavar="N", help="for how long")
    hush.add_argument("--by", metavar="NAME", default="the command line", help="who wants it")
    hush.add_argument("--why", metavar="TEXT", default="", help="why")
    act("silences", "Show the silences that stand or are to come.", _silences)
    act("unsilence", "End a silence.", _unsilence).add_argument("silence", metavar="SILENCE", help="its id")


def _days(text: str) -> int:
    return positive(text, _MAX_DAYS)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 24 * 365:
        raise ArgumentTypeError(f"found {text!r}, expected hours above 0, a year at most")
    return hours


def _run(options: Namespace) -> int:
    code: int = options.action(options)
    return code


# --- looking


def _list(options: Namespace) -> int:
    from contextlib import closing

    from alerts.book import AlertBook
    from service.components import open_documents

    with closing(open_documents(load_settings(options))) as documents:
        found = AlertBook(documents).newest(min(options.limit, 1_000))
    for alert in found:
        if options.json:
            print(json.dumps(alert_facts(alert)))
        else:
            print("\n".join(map(safe, _lines(alert))))
    if not found and not options.json:
        print("No alerts.")
    return 0


def _lines(alert: Alert) -> list[str]:
    from alerts.wording import headline

    state = "fires" if alert.resolved_at is None else f"over {alert.resolved_at:%Y-%m-%d %H:%M}"
    said = [part for part in (alert.mark, "seen" if alert.acknowledged_at else "") if part]
    notes = f" ({', '.join(said)})" if said else ""
    first = f"{alert.started_at:%Y-%m-%d %H:%M}  {alert.severity.value:<8} {alert.brand or 'pipeline'}: {alert.rule}"
    return [f"{first}; {state}{notes}", f"    {headline(alert)}", f"    {alert.alert_id}"]


def alert_facts(alert: Alert) -> dict[str, Any]:
    """Give an alert as JSON shows it: moments as text."""
    from alerts.stored import alert_body

    body = {"alert_id": alert.alert_id, **alert_body(alert)}
    moments = ("started_at", "fired_at", "peak_at", "resolved_at", "acknowledged_at", "marked_at")
    for name in moments:
        moment = getattr(alert, name)
        body[name] = None if moment is None else moment.isoformat()
    return body


def _rules(options: Namespace) -> int:
    from contextlib import closing
    from datetime import UTC, datetime

    from alerts.book import AlertBook
    from alerts.evaluator import WATCH
    from service.components import open_documents

    settings = load_settings(options)
    now = datetime.now(UTC)
    with closing(open_documents(settings)) as documents:
        precision = AlertBook(documents).precision(
            [rule.rule_id for rule in settings.alerts.rules], now - timedelta(days=7), now
        )
        states = {rule.rule_id: documents.scan(WATCH, prefix=f"{rule.rule_id}:") for rule in settings.alerts.rules}
    for rule, useful in zip(settings.alerts.rules, precision, strict=True):
        seen = {d.doc_id.partition(":")[2]: d.body["state"] for d in states[rule.rule_id]}
        facts = {
            "rule": rule.rule_id,
            "metric": rule.metric.value,
            "window_minutes": rule.window_minutes,
            "alerts_of_week": useful.alerts,
            "useful": useful.useful,
            "noise": useful.noise,
            "brands": seen,
        }
        if options.json:
            print(json.dumps(facts))
            continue
        marked = useful.useful + useful.noise
        said = f"{useful.useful} of {marked} marked useful" if marked else "none marked"
        print(safe(f"{rule.rule_id}: {rule.metric.value} of {rule.window_minutes} minutes, {rule.sensitivity.value}"))
        print(f"    last week: {useful.alerts} alerts, {said}")
        for brand, state in seen.items():
            print(safe(f"    {brand}: {state}"))
    return 0


# --- looking back


def _backtest(options: Namespace) -> int:
    from service.backtesting import look_back

    settings = load_settings(options)
    found = look_back(settings, options.rule, options.brand, options.days, chart=options.chart)
    for one in found:
        if options.json:
            print(json.dumps(_backtest_facts(one)))
        else:
            print("\n".join(map(safe, _backtest_lines(one))))
    if options.chart is not None and not options.json:
        print(safe(f"{options.chart}: written"))
    return 0


def _backtest_facts(found: Backtest) -> dict[str, Any]:
    return {
        "rule": found.watch.rule.rule_id,
        "brand": found.watch.brand_id,
        "brand_weeks": round(found.brand_weeks, 2),
        "alerts": [alert_facts(alert) for alert in found.alerts],
        "suppressed": {doubt.value: number for doubt, number in found.suppressed.items()},
    }


def _backtest_lines(found: Backtest) -> list[str]:
    from alerts.wording import because, headline

    number = len(found.alerts)
    weeks = f"{found.brand_weeks:.1f} weeks"
    lines = [f"{found.watch.brand}: {number} alert{'s' if number != 1 else ''} in {weeks}"]
    for alert in found.alerts:
        end = f"to {alert.resolved_at:%m-%d %H:%M}" if alert.resolved_at is not None else "still firing at the end"
        lines.append(f"    {alert.started_at:%Y-%m-%d %H:%M} {end}  {headline(alert)}")
    for doubt, buckets in sorted(found.suppressed.items()):
        lines.append(f"    not told for {buckets * 5} minutes: {because(doubt)}")
    return lines


# --- saying something to it


def _acknowledge(options: Namespace) -> int:
    return _say(options, lambda book, now: book.acknowledge(options.alert, options.by, now))


def _mark(options: Namespace) -> int:
    mark = "" if options.mark == "nothing" else options.mark
    return _say(options, lambda book, now: book.mark(options.alert, mark, options.by, now))


def _say(options: Namespace, change: Callable[[Any, Any], Alert]) -> int:
    from service.alert_desk import open_book

    with open_book(load_settings(options)) as (book, now):
        alert = change(book, now)
    print(json.dumps(alert_facts(alert)) if options.json else "\n".join(map(safe, _lines(alert))))
    return 0


def _silence(options: Namespace) -> int:
    from alerts.book import new_id
    from alerts.silence import Silence
    from service.alert_desk import open_book, unknown_names

    settings = load_settings(options)
    complain(unknown_names(settings, options.brand, options.rule))
    with open_book(settings) as (book, now):
        made = Silence(
            silence_id=new_id(now),
            start=now,
            end=now + timedelta(hours=options.hours),
            brands=tuple(options.brand),
            rules=tuple(options.rule),
            made_by=options.by,
            why=options.why,
        )
        book.silence(made)
    print(json.dumps({"silence": made.silence_id}) if options.json else f"Silence {made.silence_id} stands.")
    return 0


def _silences(options: Namespace) -> int:
    from alerts import silence
    from service.alert_desk import open_book

    with open_book(load_settings(options)) as (book, now):
        found = [each for each in book.silences() if each.end > now]
    for each in found:
        if options.json:
            print(json.dumps({"silence_id": each.silence_id, **silence.to_body(each)}))
            continue
        of = ", ".join((*each.brands, *each.rules, *(severity.value for severity in each.severities)))
        print(safe(f"{each.silence_id}  {of} until {each.end:%Y-%m-%d %H:%M} UTC, by {each.made_by} {each.why}"))
    if not found and not options.json:
        print("No silences.")
    return 0


def _unsilence(options: Namespace) -> int:
    from service.alert_desk import open_book

    with open_book(load_settings(options)) as (book, _):
        book.end_silence(options.silence)
    print(json.dumps({"silence": None}) if options.json else "The silence is over.")
    return 0


COMMAND = Command(
    "alerts",
    "Show alerts, look back at when a rule would have fired, acknowledge, mark and silence.",
    "Rules, channels and subscriptions are in the configuration ([[rules]], [[channels]], [[subscriptions]]), or made\n"
    "on the page. A look back uses the same code as the evaluator, on what is stored today.",
    _arguments,
    _run,
)
