"""Certificates of one run, made by openssl: a CA, a server and a client that it signed, and a CA that nobody knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

from servers.process import ServerFailed

# Of the client's key in `locked_key`.
KEY_PASSWORD = "opens-the-key-of-tests"
# The only name that the server's certificate is good for: whoever asks for `localhost` gets the wrong one.
HOST = "127.0.0.1"

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-sha256")


class Certificates:
    """Files (PEM) in a folder, good for a day.

    `authority` signed `client_certificate`, whose key is `client_key` and, under `KEY_PASSWORD`, `locked_key`, and
    `server_keystore`, which holds a key and its certificate as Kafka wants them. `stranger` is another authority.
    """

    def __init__(self, folder: Path) -> None:
        """Make the files.

        Raises:
            ServerFailed: openssl is missing or refuses.
        """
        folder.mkdir()
        self._folder = folder
        self.authority, self.stranger = self._authority("ca"), self._authority("stranger")
        key, certificate = self._signed("server", f"subjectAltName=IP:{HOST}\nextendedKeyUsage=serverAuth")
        self.server_keystore = folder / "server.pem"
        self.server_keystore.write_bytes(key.read_bytes() + certificate.read_bytes())
        self.client_key, self.client_certificate = self._signed("client", "extendedKeyUsage=clientAuth")
        self.locked_key = folder / "locked.key"
        self._openssl(
            *("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", self.client_key, "-out", self.locked_key),
            *("-passout", f"pass:{KEY_PASSWORD}"),
        )

    def _authority(self, name: str) -> Path:
        certificate = self._folder / f"{name}.crt"
        self._openssl(
            *("req", "-x509", "-nodes", "-days", "1", *_CURVE, "-subj", f"/CN={name} of tests"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self._folder / f"{name}.key", "-out", certificate),
        )
        return certificate

    def _signed(self, name: str, extensions: str) -> tuple[Path, Path]:
        key, request, certificate = (self._folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
        self._openssl("req", "-new", "-nodes", *_CURVE, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        wanted = self._folder / f"{name}.extensions"
        wanted.write_text(f"basicConstraints=critical,CA:FALSE\n{extensions}\n")
        self._openssl(
            *("x509", "-req", "-days", "1", "-sha256", "-in", request, "-extfile", wanted, "-out", certificate),
            *("-CA", self.authority, "-CAkey", self._folder / "ca.key", "-CAcreateserial"),
        )
        return key, certificate

    @staticmethod
    def _openssl(*arguments: str | Path) -> None:
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerFailed(f"openssl {arguments[0]} failed:\n{done.stderr}")
