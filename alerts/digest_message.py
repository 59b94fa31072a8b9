"""A digest as mail, chat and webhook."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from alerts import mail_html as mail
from alerts.channel import Line, Message
from alerts.digest import BrandDay, Summary
from alerts.escaping import one_line
from alerts.evidence import Reader
from alerts.mail_html import Html
from alerts.message import foot_html, foot_text, unsubscribe_link
from alerts.payload import PAYLOAD_SCHEMA, iso
from alerts.records import Alert, Notification
from alerts.sentences import brand_name, counted, lasting, moment, net
from alerts.wording import headline

_MAX_ALERTS: Final = 20


def digest_message(notification: Notification, summary: Summary, reader: Reader) -> Message:
    """Write a digest. A period in which nothing was said is told too: silence has to be told from a broken alarm."""
    weekly = notification.detail.get("digest") == "weekly"
    last = summary.end.astimezone(reader.zone) - timedelta(minutes=1)
    first = summary.start.astimezone(reader.zone)
    when = f"{first.day} {first:%b} to {last.day} {last:%b %Y}" if weekly else f"{last:%A}, {last.day} {last:%b %Y}"
    told = counted(len(summary.alerts), "alert") if summary.alerts else "no alert"
    subject = f"{'Week' if weekly else 'Day'} in mentions: {when}, {told}"
    body = _Digest(notification, summary, reader, "the week before" if weekly else "the day before")
    return Message(
        subject=subject,
        text=body.text(subject),
        html=body.html(subject),
        lines=body.lines(),
        payload=body.payload(subject),
        recipient=notification.recipient,
        unsubscribe=unsubscribe_link(notification, reader),
    )


@dataclass(frozen=True, slots=True)
class _Digest:
    """One digest, written for every kind of channel."""

    notification: Notification
    summary: Summary
    reader: Reader
    before: str

    def text(self, subject: str) -> str:
        parts = [subject]
        parts.append("\n".join(f"- {self._brand_words(day)}" for day in self.summary.brands) or "No brand.")
        if self.summary.alerts:
            parts.append("Alerts:\n" + "\n".join(f"- {self._alert_words(each)}" for each in self._alerts()))
        if rules := self._rules():
            parts.append("How useful the alerts were:\n" + "\n".join(f"- {line}" for line in rules))
        if link := self.reader.links.page("/alerts"):
            parts.append(f"All alerts: {link}")
        return "\n\n".join(parts) + foot_text(self.notification, self.reader)

    def html(self, subject: str) -> str:
        heads = ("Brand", "Mentions", "Net sentiment")
        parts = [mail.title(subject), mail.table(heads, [self._row(day) for day in self.summary.brands])]
        parts.append(mail.paragraph(f"Small, below each number: against {self.before}.", soft=True))
        if self.summary.alerts:
            parts.append(mail.heading("Alerts"))
            parts += [self._alert_html(each) for each in self._alerts()]
        if rules := self._rules():
            parts.append(mail.heading("How useful the alerts were"))
            parts += [mail.paragraph(line) for line in rules]
        parts.append(mail.button("All alerts", self.reader.links.page("/alerts")))
        preview = self._brand_words(self.summary.brands[0]) if self.summary.brands else subject
        return mail.page(subject, preview, parts, foot_html(self.notification, self.reader))

    def lines(self) -> tuple[Line, ...]:
        lines = [Line(f"• {self._brand_words(day)}") for day in self.summary.brands[:10]]
        lines += [Line(f"• {self._alert_words(each)}") for each in self._alerts()[:10]]
        if link := self.reader.links.page("/alerts"):
            lines.append(Line("All alerts:", link))
        return tuple(lines)

    def payload(self, subject: str) -> dict[str, Any]:
        return {
            "schema_version": PAYLOAD_SCHEMA,
            "id": self.notification.notification_id,
            "telling": self.notification.telling.value,
            "subscription": self.notification.subscription,
            "created_at": iso(self.notification.created_at),
            "subject": subject,
            "start": iso(self.summary.start),
            "end": iso(self.summary.end),
            "brands": [_brand_payload(day) for day in self.summary.brands],
            "alerts": [
                {"alert_id": each.alert_id, "brand_id": each.brand_id, "rule_id": each.rule_id, "mark": each.mark}
                for each in self.summary.alerts
            ],
            "precision": [
                {"rule_id": each.rule_id, "alerts": each.alerts, "useful": each.useful, "noise": each.noise}
                for each in self.summary.precision
            ],
        }

    def _alerts(self) -> list[Alert]:
        return sorted(self.summary.alerts, key=lambda each: each.alert_id, reverse=True)[:_MAX_ALERTS]

    def _brand_words(self, day: BrandDay) -> str:
        mentions = f"{counted(day.mentions, 'mention')} ({_change(day.mentions, day.mentions_before)})"
        if day.net is None:
            return f"{day.brand}: {mentions}"
        change = f" ({words})" if (words := _net_change(day)) else ""
        return f"{day.brand}: {mentions}, net sentiment {net(day.net.value)}{change}"

    def _row(self, day: BrandDay) -> list[Html]:
        summary, links = self.summary, self.reader.links
        name = mail.link(day.brand, links.mentions(day.brand_id, summary.start, summary.end))
        mentions = mail.with_note(mail.text(f"{day.mentions:,}"), _change(day.mentions, day.mentions_before))
        felt = mail.with_note(mail.text("–" if day.net is None else net(day.net.value)), _net_change(day))
        return [name, mentions, felt]

    def _alert_words(self, alert: Alert) -> str:
        over = "goes on" if alert.resolved_at is None else f"lasted {lasting(alert.resolved_at - alert.started_at)}"
        mark = f", marked {alert.mark}" if alert.mark else ""
        name = f"{brand_name(alert)}, " if alert.brand_id else ""
        return one_line(f"{name}{moment(alert.started_at, self.reader.zone)}: {headline(alert)} ({over}{mark})", 300)

    def _alert_html(self, alert: Alert) -> Html:
        link = self.reader.links.alert(alert.alert_id)
        opened = mail.joined([mail.text(" "), mail.link("open", link)]) if link else mail.text("")
        return mail.plain_paragraph([mail.text(self._alert_words(alert)), opened])

    def _rules(self) -> list[str]:
        lines = []
        for each in self.summary.precision:
            if each.alerts:
                marked = each.useful + each.noise
                said = (
                    f"{each.useful} of {marked} marked were useful ({round(100 * each.useful / marked)} %)"
                    if marked
                    else "none was marked useful or noise yet"
                )
                lines.append(f"{one_line(each.rule_id, 60)}: {counted(each.alerts, 'alert')}, {said}")
        return lines


def _brand_payload(day: BrandDay) -> dict[str, Any]:
    return {
        "brand_id": day.brand_id,
        "brand": day.brand,
        "mentions": day.mentions,
        "mentions_before": day.mentions_before,
        "net": day.net.value if day.net else None,
        "net_before": day.net_before.value if day.net_before else None,
    }


def _net_change(day: BrandDay) -> str:
    """Say by how much net sentiment moved; "no clear change" where the intervals meet, since chance alone moves it."""
    if day.net is None or day.net_before is None:
        return ""
    if day.net.low <= day.net_before.high and day.net_before.low <= day.net.high:
        return "no clear change"
    points = round(100 * (day.net.value - day.net_before.value))
    return f"{'+' if points > 0 else '−'}{abs(points)}"


def _change(now: int, before: int) -> str:
    if before == 0:
        return "none before" if now else "none before either"
    if now >= 10 * before:
        return f"{now // before:,} times as many"
    percent = round(100 * (now - before) / before)
    return f"{'+' if percent > 0 else '−' if percent < 0 else '±'}{abs(percent)} %"
