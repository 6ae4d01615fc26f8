"""TLS for the HTTP port: the operator's PEM files, read again when they change, or a certificate made for --dev.

`ServerTls.context` stays the same object for the life of the server; loading another chain into it changes what new
handshakes get and disturbs no open connection.
"""

from __future__ import annotations

import datetime
import ipaddress
import logging
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.base.errors import ConfigError

log = logging.getLogger(__name__)

SELF_SIGNED_DAYS = 90


class ServerTls:
    """The certificate chain and key in two PEM files. Raises ConfigError if they cannot be used."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._seen = self._times()
            self.context.load_cert_chain(cert, key)
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror or "not a certificate and its key in PEM form"
            raise ConfigError(f"cannot use {cert} and {key} for HTTPS: {reason}; check tls_cert and tls_key") from None

    def _times(self) -> tuple[int, int]:
        return os.stat(self._cert).st_mtime_ns, os.stat(self._key).st_mtime_ns

    def reload(self) -> bool:
        """Read the files again if they have changed. A bad pair is logged and the old one stays. True if reloaded."""
        try:
            times = self._times()
            if times == self._seen:
                return False
            self._seen = times
            # A scratch context first: a half-written pair must not break the one in use.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._cert, self._key)
            self.context.load_cert_chain(self._cert, self._key)
        except OSError as error:
            log.warning("! HTTPS keeps its old certificate: %s cannot be read (%s)", self._cert, error)
            return False
        log.info("HTTPS certificate reloaded from %s", self._cert)
        return True


def self_signed(folder: Path, names: Iterable[str], now: datetime.datetime) -> tuple[Path, Path]:
    """Make (or find) a certificate for `names` (addresses or host names) in `folder`; return its two files.

    A certificate is used again while it names the same and is valid for another week, so that a browser's exception
    outlives a restart. Files are private (0600).
    """
    wanted = sorted(set(names))
    cert_path, key_path = folder / "dev-cert.pem", folder / "dev-key.pem"
    try:
        old = x509.load_pem_x509_certificate(cert_path.read_bytes())
        if _names(old) == wanted and old.not_valid_after_utc > now + datetime.timedelta(days=7) and key_path.exists():
            return cert_path, key_path
    except (OSError, ValueError, x509.ExtensionNotFound):
        pass
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway development server")])
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in wanted]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, data in ((key_path, pem), (cert_path, cert.public_bytes(serialization.Encoding.PEM))):
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    return cert_path, key_path


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(cert: x509.Certificate) -> list[str]:
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted([*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))])
