"""TLS by the standard library, from PEM texts."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from harness.offloader.connection import Tls


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """What checks a server, and shows it the client's certificate. Raises ssl.SSLError for texts that are no PEM."""
    context = ssl.create_default_context(cadata=tls.ca)
    if tls.certificate is not None:
        with tempfile.TemporaryDirectory() as folder:  # OpenSSL reads a key from a file alone; the folder is private
            certificate, key = Path(folder, "certificate"), Path(folder, "key")
            certificate.write_text(tls.certificate)
            key.write_text(tls.key or "")
            # Without a password OpenSSL would ask the terminal for that of a key which has one, and wait.
            context.load_cert_chain(certificate, key, password="")
    return context
