"""TLS to the brokers: whom to trust, and the certificate by which we sign in. The same words for both clients."""

from __future__ import annotations

import ssl
from pathlib import Path

from domain.errors import ConfigError
from stream.kafka_settings import KafkaSettings


def tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """Read the files that the settings name, None without TLS; a broker must show a good certificate for its host.

    Raises:
        ConfigError: a file cannot be used; it names the setting and the file, and nothing of what is in it.
    """
    if not settings.security_protocol.endswith("SSL"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for name in ("ca_file", "certificate_file", "key_file"):
        _check_readable(name, getattr(settings, name))
    if settings.ca_file:
        try:
            context.load_verify_locations(settings.ca_file)
        except ssl.SSLError as exc:
            raise ConfigError(f"kafka.ca_file: {settings.ca_file} holds no certificates in PEM ({exc})") from exc
    else:
        context.load_default_certs()
    if settings.certificate_file:
        try:
            # An empty password is one: without any, openssl would ask for it at the terminal, and wait.
            context.load_cert_chain(settings.certificate_file, settings.key_file, settings.key_password)
        except (ssl.SSLError, ValueError) as exc:
            raise ConfigError(_unusable(settings, exc)) from exc
    return context


def _check_readable(name: str, path: str) -> None:
    try:
        if path:
            Path(path).read_bytes()
    except OSError as exc:
        raise ConfigError(f"kafka.{name}: {path} cannot be read ({exc.strerror})") from exc


def _unusable(settings: KafkaSettings, exc: Exception) -> str:
    password = "kafka.key_password" if settings.key_password else "kafka.key_password (found none)"
    return (
        f"kafka.certificate_file, key_file: {settings.certificate_file} and {settings.key_file} cannot be used "
        f"({exc}): both must be PEM, the key that of the certificate, and its password, if it has one, {password}"
    )
