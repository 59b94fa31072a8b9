"""The message about alerts, in every shape: what is unusual and how much, what drives it, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from alerts import mail_html as mail
from alerts.channel import CHART_CID, Line, Message
from alerts.escaping import one_line, quoted
from alerts.evidence import Evidence, Reader, acknowledge_link, mentions_link, ordered
from alerts.mail_html import Html
from alerts.payload import payload
from alerts.recipients import recipient_id
from alerts.records import Alert, Notification, Telling
from alerts.sentences import SEVERITY_WORDS, counted, explanation, lasting, moment, standing, subject_line
from domain.records import Mention
from domain.safe_text import safe_link

# A post's text in a mail, and in a chat, where five of them and all else must fit.
_MAIL_CHARS, _CHAT_CHARS = 280, 140
# Alerts of a group that are told beside the most urgent one; the page has all.
_MAX_OTHERS: Final = 5
_BEGINNINGS: Final = {Telling.REPEAT: "Still: ", Telling.RESOLVED: "Over: "}


def alert_message(notification: Notification, found: Sequence[Evidence], reader: Reader) -> Message:
    """Make the message about the alerts of one group, what is new first, then the most urgent; at least one.

    The chart, the words and the posts are those of the first; of the others it says what they are.
    """
    first, *others = ordered(notification, found)
    subject = _subject(notification.telling, first.alert, len(others))
    body = _Body(notification, first, others, reader)
    return Message(
        subject=subject,
        text=body.text(),
        html=body.html(subject),
        lines=body.lines(),
        payload=payload(notification, [first, *others], reader, subject),
        recipient=notification.recipient,
        chart=first.chart,
        unsubscribe=unsubscribe_link(notification, reader),
    )


def _subject(telling: Telling, alert: Alert, others: int) -> str:
    beginning = "Over: " if alert.resolved_at is not None else _BEGINNINGS.get(telling, "")
    more = f" (and {counted(others, 'other alert')})" if others else ""
    return one_line(f"{beginning}{subject_line(alert)}{more}", 180)


@dataclass(frozen=True, slots=True)
class _Body:
    """One message, written for a mail as text and HTML, and for a chat."""

    notification: Notification
    first: Evidence
    others: Sequence[Evidence]
    reader: Reader

    def _said(self) -> list[str]:
        alert, zone = self.first.alert, self.reader.zone
        return [*explanation(alert, zone), standing(alert, zone)]

    def _mentions_link(self) -> str:
        return mentions_link(self.first.alert, self.reader.links)

    def _acknowledge_link(self) -> str:
        return acknowledge_link(self.first.alert, self.reader, self._who_reads())

    def _mark_link(self) -> str:
        links = self.reader.links
        return links.signed("mark", self.first.alert.alert_id, self.reader.now, self._who_reads())

    def _who_reads(self) -> str:
        return recipient_id(self.notification.recipient)

    def _word_line(self) -> str:
        return ", ".join(f"{one_line(each.word, 40)} ({each.count})" for each in self.first.drivers.words)

    def _author_line(self) -> str:
        return ", ".join(f"{one_line(each.word, 40)} ({each.count})" for each in self.first.drivers.authors)

    def text(self) -> str:
        """Give the mail as plain text."""
        alert = self.first.alert
        parts = [f"{SEVERITY_WORDS[alert.severity]}: {subject_line(alert)}", "\n".join(self._said())]
        driving = []
        if self.first.drivers.words:
            driving.append(f"Words that stand out: {self._word_line()}")
        if self.first.drivers.authors:
            driving.append(f"Authors that stand out: {self._author_line()}")
        if driving:
            parts.append("\n".join(driving))
        if self.first.samples:
            shown = [
                f"- {quoted(each.text, _MAIL_CHARS)}\n  {_about(each, self.reader)}" for each in self.first.samples
            ]
            parts.append("Posts:\n" + "\n".join(shown))
        parts += [self._others_text(), self._links_text()]
        return "\n\n".join(part for part in parts if part) + foot_text(self.notification, self.reader)

    def _others_text(self) -> str:
        if not self.others:
            return ""
        shown = [f"- {_other(each.alert)}" for each in self.others[:_MAX_OTHERS]]
        return "Other alerts:\n" + "\n".join(shown)

    def _links_text(self) -> str:
        links = self.reader.links
        pairs = [
            ("The alert", links.alert(self.first.alert.alert_id)),
            ("Its mentions", self._mentions_link()),
            ("I have seen it", self._acknowledge_link()),
            ("Useful, or noise?", self._mark_link()),
        ]
        return "\n".join(f"{words}: {link}" for words, link in pairs if link)

    def html(self, subject: str) -> str:
        """Give the mail as HTML."""
        alert = self.first.alert
        parts = [mail.badge(SEVERITY_WORDS[alert.severity], alert.severity), mail.title(subject)]
        # What was measured and what is usual; how sure and how wide; how it stands.
        said = self._said()
        parts += [mail.paragraph(" ".join(part)) for part in (said[:2], said[2:-1], said[-1:]) if part]
        if self.first.chart is not None:
            parts.append(mail.image(CHART_CID, self.first.chart_words))
            parts.append(
                mail.paragraph(
                    "Line: what was measured. Grey: what is usual at this time of day and week. "
                    "Yellow: a source did not listen.",
                    soft=True,
                )
            )
        if self.first.drivers.words:
            parts += [mail.heading("Words that stand out"), mail.paragraph(self._word_line())]
        if self.first.drivers.authors:
            parts += [mail.heading("Authors that stand out"), mail.paragraph(self._author_line())]
        if self.first.samples:
            parts.append(mail.heading("Posts"))
            parts += [_quote(each, self.reader) for each in self.first.samples]
        if self.others:
            parts.append(mail.heading("Other alerts"))
            parts += [mail.paragraph(_other(each.alert)) for each in self.others[:_MAX_OTHERS]]
        parts.append(self._buttons())
        return mail.page(subject, said[0], parts, foot_html(self.notification, self.reader))

    def _buttons(self) -> Html:
        return mail.joined(
            [
                mail.button("Open the alert", self.reader.links.alert(self.first.alert.alert_id)),
                mail.button("See its mentions", self._mentions_link(), main=False),
                mail.button("I have seen it", self._acknowledge_link(), main=False),
                mail.button("Useful, or noise?", self._mark_link(), main=False),
            ]
        )

    def lines(self) -> tuple[Line, ...]:
        """Give it for a chat."""
        alert, links = self.first.alert, self.reader.links
        lines = [Line(sentence) for sentence in self._said()]
        if self.first.drivers.words:
            lines.append(Line(f"Words that stand out: {self._word_line()}"))
        for words, link in (("The alert:", links.alert(alert.alert_id)), ("I have seen it:", self._acknowledge_link())):
            if link:
                lines.append(Line(words, link))
        lines += [Line(f"• {quoted(each.text, _CHAT_CHARS)} ({_who(each)})") for each in self.first.samples]
        lines += [Line(f"Also: {_other(each.alert)}") for each in self.others[:_MAX_OTHERS]]
        return tuple(lines)


def foot_text(notification: Notification, reader: Reader) -> str:
    """Say in plain text why the reader gets this, and how it ends."""
    lines = ["-- ", _why(notification)]
    if link := unsubscribe_link(notification, reader):
        lines.append(f"To get no more of these mails: {link}")
    return "\n\n" + "\n".join(lines) + "\n"


def foot_html(notification: Notification, reader: Reader) -> list[Html]:
    """Say the same in HTML."""
    lines = [mail.text(_why(notification))]
    if address := unsubscribe_link(notification, reader):
        lines.append(mail.link("Get no more of these mails", address))
    return lines


def _why(notification: Notification) -> str:
    name = one_line(notification.subscription, 80)
    return f"You get this from Soundings by the subscription “{name}”." if name else "This is from Soundings."


def unsubscribe_link(notification: Notification, reader: Reader) -> str:
    """Give the page on which the recipient ends this; "" for a channel without one."""
    if not notification.recipient:
        return ""
    name = recipient_id(notification.recipient)
    return reader.links.signed("unsubscribe", name, reader.now, name)


def _other(alert: Alert) -> str:
    over = f" It is over, after {lasting(alert.resolved_at - alert.started_at)}." if alert.resolved_at else ""
    return f"{SEVERITY_WORDS[alert.severity]}: {subject_line(alert)}.{over}"


def _who(mention: Mention) -> str:
    name = one_line(mention.author_handle or mention.author_name or "", 60)
    return ", ".join(part for part in (name, one_line(mention.source, 40)) if part)


def _about(mention: Mention, reader: Reader) -> str:
    at = mention.published_at or mention.collected_at
    return f"{_who(mention)}, {moment(at, reader.zone)}"


def _quote(mention: Mention, reader: Reader) -> Html:
    about = [mail.text(_about(mention, reader))]
    if original := _original(mention):
        about.append(mail.link("original", original))
    return mail.quote(one_line(mention.text, _MAIL_CHARS), about)


def _original(mention: Mention) -> str:
    """Give the address of the post where it may be a link; one that would not look like what it is may not."""
    found = safe_link(mention.url) or ""
    return found if found == one_line(found) else ""
