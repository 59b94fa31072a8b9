"""Short messages that are about no alert: the question to a new address, a test, and that alerts are behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from alerts import mail_html as mail
from alerts.channel import Line, Message
from alerts.escaping import one_line
from alerts.evidence import Reader
from alerts.message import foot_html, foot_text, unsubscribe_link
from alerts.payload import PAYLOAD_SCHEMA, iso
from alerts.recipients import recipient_id
from alerts.records import Notification, Telling

_MOST_SOURCES: Final = 10


def confirm_message(notification: Notification, reader: Reader) -> Message:
    """Ask an address whether it wants to be told; it holds nothing but the question and the way to say yes."""
    name = recipient_id(notification.recipient)
    link = reader.links.signed("confirm", name, reader.now, name)
    sentences = [
        "Somebody who runs Soundings put this address on the list of those who are told about unusual mentions of "
        "brands.",
        "If you want these mails, open the page and press the button there. The link is good for three days.",
        "If you do not, do nothing: you are asked twice more at most, and told of nothing else.",
    ]
    return _message(
        notification, reader, "Do you want alerts from Soundings?", sentences, [("Open the page to confirm", link)]
    )


def trial_message(notification: Notification, reader: Reader) -> Message:
    """Say that a channel works."""
    sentences = [
        "This is a test. Whoever set up this subscription pressed its button, and it works: alerts come this way.",
    ]
    return _message(notification, reader, "Test of Soundings", sentences, [("Open Soundings", reader.links.page("/"))])


def delayed_message(notification: Notification, reader: Reader) -> Message:
    """Say that alerts are behind. `detail`: `behind_minutes`, and `sources` that are waited for, as far as known."""
    minutes = int(notification.detail.get("behind_minutes", 0))
    sources = [one_line(str(each), 40) for each in notification.detail.get("sources", ())][:_MOST_SOURCES]
    waited = f" It waits for {', '.join(sources)}." if sources else ""
    sentences = [
        f"What can be judged by now is {minutes} minutes old.{waited}" if minutes else f"Alerts are behind.{waited}",
        "Until that is mended a spike is told late, and silence means nothing. You hear of it when it is.",
    ]
    subject = f"Alerts are {minutes} minutes behind" if minutes else "Alerts are behind"
    return _message(notification, reader, subject, sentences, [("Open the pipeline", reader.links.page("/pipeline"))])


def _message(
    notification: Notification,
    reader: Reader,
    subject: str,
    sentences: Sequence[str],
    links: Sequence[tuple[str, str]],
) -> Message:
    shown = [(words, link) for words, link in links if link]
    text = "\n\n".join([*sentences, *(f"{words}: {link}" for words, link in shown)])
    parts = [mail.title(subject), *(mail.paragraph(sentence) for sentence in sentences)]
    parts += [mail.button(words, link) for words, link in shown]
    body: dict[str, Any] = {
        "schema_version": PAYLOAD_SCHEMA,
        "id": notification.notification_id,
        "telling": notification.telling.value,
        "subscription": notification.subscription,
        "created_at": iso(notification.created_at),
        "subject": subject,
        "sentences": list(sentences),
    }
    # Who has not agreed yet has nothing to leave.
    asked = notification.telling is Telling.CONFIRM
    return Message(
        subject=subject,
        text=text + ("\n" if asked else foot_text(notification, reader)),
        html=mail.page(subject, sentences[0], parts, [] if asked else foot_html(notification, reader)),
        lines=(*(Line(sentence) for sentence in sentences), *(Line(f"{words}:", link) for words, link in shown)),
        payload=body,
        recipient=notification.recipient,
        unsubscribe="" if asked else unsubscribe_link(notification, reader),
    )
