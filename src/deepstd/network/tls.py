"""Encryption of DICOM connections by TLS.

certificate, key ─ serving ─▶ context of the node        authority ─ asking ─▶ context of a sender

Certificates prove the node alone; a sender proves nothing by TLS.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from deepstd.errors import InputError

_SILENT_SECONDS = 30.0  # without a byte in the midst of a handshake or a message


class _DeferringContext(ssl.SSLContext):
    """Context whose handshakes are made by the thread of their own association.

    pynetdicom wraps a connection where it accepts all of them. A handshake there would let one
    silent caller keep all others waiting.
    """

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        sock.settimeout(_SILENT_SECONDS)
        return super().wrap_socket(sock, *arguments, **{**named, "do_handshake_on_connect": False})


def serving(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a node.

    Args:
        certificate: PEM file of the node's certificate, and of those between it and an authority.
        key: PEM file of its private key, without a password.

    Raises:
        InputError: a file cannot be read, or they do not belong together.
    """
    context = _DeferringContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (certificate, key):
        _check_readable(path)
    try:
        context.load_cert_chain(certificate, key, password="")  # which asks nobody for one
    except (ssl.SSLError, ValueError) as error:
        raise InputError(
            f"{certificate}, {key}: are no certificate and its private key. Give PEM files that "
            "belong together, the key without a password"
        ) from error
    return context


def asking(authority: Path) -> ssl.SSLContext:
    """Return the context of a sender, which trusts an authority alone.

    Args:
        authority: PEM file of its certificate; for a node that signed its own, that one.

    Raises:
        InputError: the file cannot be read, or is no certificate.
    """
    _check_readable(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=authority)
    except (ssl.SSLError, ValueError) as error:
        raise InputError(f"{authority}: is no certificate. Give a PEM file") from error
    return context


def reason_of(error: OSError) -> str:
    """Return why a TLS connection was not made, with what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}). Give its authority with "
            "--tls-ca, and the host by a name in the certificate"
        )
    return "no TLS connection can be made. Leave --tls-ca out where the node does not use TLS"


def _check_readable(path: Path) -> None:
    try:
        with open(path, "rb"):
            return
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
