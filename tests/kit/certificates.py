"""A private certificate authority for tests, and certificates for servers and clients."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Pair = tuple[Path, Path]


class Authority:
    """Writes ``{name}.crt`` and ``{name}.key`` into a folder; ``ca`` is its own certificate."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = self._subject(name)
        basic = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        certificate = self._builder(self._name, self._key).add_extension(basic, critical=True)
        certificate = certificate.add_extension(usage, critical=True)
        self.ca = folder / f"{name}.crt"
        self._write(self.ca, certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _subject(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        path.write_bytes(content)
        path.chmod(0o600 if path.suffix == ".key" else 0o644)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def issue(self, name: str, address: str | None = None, owner: str | None = None) -> Pair:
        """A certificate and its key; with an address, a server's, and with an owner, in that user's hands."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self._subject(name), key)
        if address:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        pair = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        plain = serialization.NoEncryption()
        self._write(pair[0], certificate.public_bytes(serialization.Encoding.PEM))
        encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        self._write(pair[1], key.private_bytes(encoding, layout, plain))
        for path in pair:
            if owner:
                shutil.chown(path, owner)
        return pair
