"""Rules, channels and subscriptions of a configuration: read whole, or refused with what was found and expected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from alerts.rule import DEFAULT_RULES, Metric, Sensitivity, Severity
from domain.clock import SystemClock
from domain.errors import ConfigError
from service.alert_settings import alert_warnings
from service.channels import channel_warnings, routes
from service.settings import Settings, from_json, read, to_json

SECRET = "0123456789abcdef0123456789abcdef"
HOOK = '[[channels]]\nid = "ops"\ntype = "webhook"\nurl = "https://hooks.example.org/x"\n'
MAIL = '[[channels]]\nid = "mail"\ntype = "email"\nhost = "smtp.example.org"\nsender = "a@example.org"\n'
BOB = '[[subscriptions]]\nid = "bob"\nchannel = "mail"\n'
CHAT = '[[channels]]\nid = "chat"\ntype = "apprise"\n'
ANN = '[[subscriptions]]\nid = "ann"\nchannel = "ops"\n'


def settings_of(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> tuple[Settings, list[str]]:
    file = tmp_path / "soundings.toml"
    file.write_text(text, encoding="utf-8")
    settings, problems = read(file, environ=environ or {})
    return settings, [problem.removeprefix(f"{file}: ") for problem in problems]


def test_without_a_word_negative_mentions_of_every_brand_are_watched(tmp_path: Path) -> None:
    settings, problems = settings_of(tmp_path, "")
    assert (settings.alerts.rules, problems) == (DEFAULT_RULES, [])
    assert settings.alerts.enabled


def test_a_rule_says_all_that_it_needs_and_the_rest_is_usual(tmp_path: Path) -> None:
    settings, problems = settings_of(
        tmp_path,
        '[[rules]]\nid = "battery"\nbrands = ["acme"]\nquery = "battery OR charger"\nmetric = "negative_share"\n'
        'window_minutes = 120\nsensitivity = "more"\nseverity = "critical"\n',
    )
    assert problems == []
    [rule] = settings.alerts.rules
    assert (rule.rule_id, rule.name, rule.brands, rule.window_buckets) == ("battery", "battery", ("acme",), 24)
    assert (rule.metric, rule.sensitivity, rule.severity) == (
        Metric.NEGATIVE_SHARE,
        Sensitivity.MORE,
        Severity.CRITICAL,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[rules]]\nname = "x"\n', "rule 1: id: is missing, expected a text"),
        ('[[rules]]\nid = "a b"\n', "rule a b: id: found 'a b', expected a slug such as 'a-b'"),
        ('[[rules]]\nid = "a"\nwindow = 60\n', "rule a: window: unknown key; did you mean window_minutes?"),
        (
            '[[rules]]\nid = "a"\nwindow_minutes = 7\n',
            "rule a: window_minutes is 7, expected a multiple of 5 up to 1440",
        ),
        ('[[rules]]\nid = "a"\nmetric = "anger"\n', "rule a: metric: found 'anger', expected one of volume, negative"),
        ('[[rules]]\nid = "a"\nquery = "(x"\n', "rule a: query: at position 3: found"),
        ('[[rules]]\nid = "a"\n[[rules]]\nid = "a"\n', "rule a: id: used by an earlier rule too; each needs its own"),
        ('rules = "a"\n', "rules: found 'a', expected tables that begin with [[rules]]"),
        ("rules = [1]\n", "rules: entry 1 is 1, expected a table [[rules]]"),
        (
            '[[channels]]\nid = "a"\ntype = "webhook"\n',
            "channel a: url: is missing; a channel of type webhook needs it",
        ),
        (
            '[[channels]]\nid = "a"\ntype = "fax"\n',
            "channel a: type: found 'fax', expected one of email, webhook, apprise",
        ),
        (
            f'{HOOK}secret = "{SECRET}"\n',
            "channel ops: secret: no secret belongs in this file: set SOUNDINGS_CHANNEL_OPS_SECRET",
        ),
        (f'{HOOK}secret_file = "nowhere"\n', "channel ops: secret_file: nowhere: cannot be read"),
        (f'{HOOK}{ANN}rules = ["negativ"]\n', "rules: found 'negativ', expected some of negative-spike"),
        (f'{HOOK}{ANN}quiet_hours = "22-7"\n', "subscription ann: quiet_hours: found '22-7', expected two different"),
        (f'{HOOK}{ANN}timezone = "Mars/Base"\n', "subscription ann: timezone: found 'Mars/Base', expected a zone such"),
        (f'{HOOK}{ANN}digest = "hourly"\n', "subscription ann: digest: found 'hourly', expected one of none, daily"),
        (ANN, "subscription ann: channel: found 'ops', expected a channel; there is none: [[channels]]"),
        (
            f'{HOOK}[[subscriptions]]\nid = "a"\nchannel = "opps"\n',
            "found 'opps', expected one of ops; did you mean ops?",
        ),
        (f"{MAIL}{BOB}", "subscription bob: recipient: is missing; a channel of type email tells nobody without it"),
        (f'{MAIL}{BOB}recipient = "bob"\n', "subscription bob: recipient: found 'bob', expected an address such as"),
        (f'{HOOK}{ANN}recipient = "ann@example.org"\n', "expected none: a channel of type webhook tells one place"),
        (f'{HOOK}{ANN}rules = ["lag"]\n', "subscription ann: rules: found 'lag', expected some of negative-spike"),
        (f'{HOOK}{ANN}audience = "it"\nrules = ["lagg"]\n', "found 'lagg', expected some of"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path: Path, text: str, expected: str) -> None:
    _, problems = settings_of(tmp_path, text)
    assert len(problems) == 1, problems
    assert expected in problems[0]


def test_a_rule_or_channel_that_is_wrong_hides_nothing_of_what_comes_after_it(tmp_path: Path) -> None:
    _, problems = settings_of(
        tmp_path,
        '[[rules]]\nid = "a"\nwindow = 60\nquery = "(x"\nwindow_minutes = 7\n'
        '[[channels]]\nid = "mail"\ntype = "email"\nprot = 1\npassword = "x"\n'
        f'{BOB}rules = ["a", "b"]\nquiet_hours = "22-7"\n'
        '[[subscriptions]]\nid = "eve"\nchannel = "post"\nquiet_hours = "22-7"\nrecipents = "x"\n',
    )
    assert [problem.partition(": ")[0] + ": " + problem.split(": ")[1] for problem in problems] == [
        "rule a: window",
        "rule a: query",
        "rule a: window_minutes is 7, expected a multiple of 5 up to 1440",
        "channel mail: password",
        "channel mail: prot",
        "channel mail: host",
        "channel mail: sender",
        "subscription eve: recipents",
        "subscription bob: recipient",
        "subscription bob: rules",
        "subscription bob: quiet_hours",
        "subscription eve: channel",
        "subscription eve: quiet_hours",
    ]


def test_a_secret_comes_from_the_environment_or_a_file_and_is_shown_by_nothing(tmp_path: Path) -> None:
    settings, problems = settings_of(tmp_path, HOOK, {"SOUNDINGS_CHANNEL_OPS_SECRET": SECRET})
    assert problems == []
    assert settings.alerts.channels[0].secret.reveal() == SECRET
    assert SECRET not in repr(settings)
    (tmp_path / "key").write_text(f"{SECRET}\n")
    settings, problems = settings_of(tmp_path, f'{HOOK}secret_file = "{tmp_path / "key"}"\n')
    assert problems == []
    assert settings.alerts.channels[0].secret.reveal() == SECRET


def test_a_secret_of_a_channel_that_is_not_there_is_an_unknown_setting(tmp_path: Path) -> None:
    _, problems = settings_of(tmp_path, HOOK, {"SOUNDINGS_CHANNEL_OPPS_SECRET": SECRET})
    assert problems == [
        "environment: SOUNDINGS_CHANNEL_OPPS_SECRET: unknown setting; did you mean SOUNDINGS_CHANNEL_OPS_SECRET?"
    ]


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        (HOOK, {}, "channel ops: needs a secret: set SOUNDINGS_CHANNEL_OPS_SECRET, or name its file as secret_file"),
        (HOOK, {"SOUNDINGS_CHANNEL_OPS_SECRET": "short"}, "channel ops: secret: expected 32 characters or more"),
        (MAIL, {}, "channel mail: e-mail needs `web.public_url`"),
        (
            CHAT,
            {},
            "channel chat: needs a secret: set SOUNDINGS_CHANNEL_CHAT_",
        ),
        (f'{MAIL}user = "u"\n', {}, "needs the password of `user`: set SOUNDINGS_CHANNEL_MAIL_PASSWORD"),
        (MAIL.replace("a@example.org", "nonsense"), {}, "sender: found 'nonsense', expected an address"),
        (f'{MAIL}user = "u"\nsecurity = "none"\n', {}, "security: found none beside a user"),
        (HOOK.replace("https", "ftp"), {}, "channel ops: url: expected an address that begins with https://"),
        (HOOK.replace("https://hooks", "https://[hooks"), {}, "url: expected an address that begins with https://"),
        (CHAT, {"SOUNDINGS_CHANNEL_CHAT_ADDRESS": "json://localhost"}, "address: found 'json', expected one of"),
        (CHAT, {"SOUNDINGS_CHANNEL_CHAT_ADDRESS": "discord://x"}, "address: apprise cannot read this discord://"),
    ],
)
def test_only_who_sends_needs_the_secrets(tmp_path: Path, text: str, environ: Mapping[str, str], expected: str) -> None:
    settings, problems = settings_of(tmp_path, text, environ)
    assert problems == []
    with pytest.raises(ConfigError) as caught:
        routes(settings.alerts.channels, settings.web.public_url, SystemClock())
    assert any(expected in problem for problem in caught.value.problems)


def test_a_channel_tells_all_that_keeps_it_from_being_used(tmp_path: Path) -> None:
    text = f'{MAIL.replace("a@example.org", "nonsense")}user = "u"\nsecurity = "none"\n{HOOK.replace("https", "ftp")}'
    settings, problems = settings_of(tmp_path, text)
    assert problems == []
    with pytest.raises(ConfigError) as caught:
        routes(settings.alerts.channels, settings.web.public_url, SystemClock())
    assert [problem.partition(";")[0][:40] for problem in caught.value.problems] == [
        "channel mail: needs the password of `use",
        "channel mail: e-mail needs `web.public_u",
        "channel mail: sender: found 'nonsense', ",
        "channel mail: security: found none besid",
        "channel ops: needs a secret: set SOUNDIN",
        "channel ops: url: expected an address th",
    ]


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://localhost:9/x", True),
        ("http://127.0.0.1/x", True),
        ("http://[::1]:9/x", True),
        ("https://10.1.2.3/x", True),
        ("https://hooks.example.org/x", False),
        ("https://8.8.8.8/x", False),
    ],
)
def test_a_webhook_that_will_be_refused_for_its_private_address_is_warned_of(
    tmp_path: Path, url: str, warned: bool
) -> None:
    hook = HOOK.replace("https://hooks.example.org/x", url)
    settings, _ = settings_of(tmp_path, f"[alerts]\n{hook}", {"SOUNDINGS_ALERTS_HEARTBEAT_URL": url})
    told = [warning.partition(": leads")[0] for warning in channel_warnings(settings.alerts)]
    assert told == (["channel ops: url", "alerts.heartbeat_url"] if warned else [])
    settings, _ = settings_of(tmp_path, f"[alerts]\nheartbeat_private = true\n{hook}allow_private = true\n")
    assert channel_warnings(settings.alerts) == []


def test_mail_that_anybody_on_the_way_can_read_is_warned_of(tmp_path: Path) -> None:
    settings, _ = settings_of(tmp_path, f'{MAIL}security = "none"\n')
    (warning,) = channel_warnings(settings.alerts)
    assert warning.startswith("channel mail: security: is none")
    settings, _ = settings_of(tmp_path, f'{MAIL}security = "none"\n'.replace("smtp.example.org", "127.0.0.1"))
    assert channel_warnings(settings.alerts) == []


def test_a_sign_of_life_goes_to_an_address_of_the_web(tmp_path: Path) -> None:
    _, problems = settings_of(tmp_path, "", {"SOUNDINGS_ALERTS_HEARTBEAT_URL": "ftp://canary"})
    assert [problem.partition(":")[0] for problem in problems] == ["alerts.heartbeat_url"]
    assert "canary" not in problems[0]


def test_a_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    text = (
        '[alerts]\nrepeat_hours = 2\n[[rules]]\nid = "a"\nmetric = "volume"\n'
        f'{HOOK}{ANN}severity = "critical"\nquiet_hours = "22:00-07:00"\n'
    )
    settings, problems = settings_of(tmp_path, text, {"SOUNDINGS_CHANNEL_OPS_SECRET": SECRET})
    assert problems == []
    again = from_json(to_json(settings))
    assert again.alerts == settings.alerts
    assert again.alerts.subscriptions[0].severity is Severity.CRITICAL
    assert again.alerts.rules[0].metric is Metric.VOLUME


def test_brands_that_the_configuration_has_not_are_warned_of(tmp_path: Path) -> None:
    settings, _ = settings_of(
        tmp_path, f'[[rules]]\nid = "a"\nbrands = ["acme", "acne"]\n{HOOK}{ANN}brands = ["globex"]\n'
    )
    warnings = alert_warnings(settings.alerts, ["acme"])
    assert [warning.partition(";")[0] for warning in warnings] == [
        "rule a: brands: acne is no brand of this configuration",
        "subscription ann: brands: globex is no brand of this configuration",
    ]
    assert "did you mean acme?" in warnings[0]
