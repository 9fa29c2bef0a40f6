"""Certificates for servers and callers over TLS, by the openssl of this machine."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")

NAME = "temporal.example"


def openssl(folder: Path, *arguments: str) -> None:
    assert OPENSSL
    subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True)


def certify(folder: Path, name: str, authority: str, names: str = f"DNS:{NAME}") -> None:
    """Makes a key, and a certificate for these names that this authority has signed."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")
    (folder / "names").write_text(f"subjectAltName={names}\n")
    openssl(folder, "req", *key, "-out", f"{name}.request", "-subj", f"/CN={name}")
    signed_by = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial")
    openssl(
        folder, "x509", "-req", "-in", f"{name}.request", *signed_by, "-days", "1", "-extfile", "names", "-out", f"{name}.crt"
    )


def found(folder: Path, name: str) -> None:
    """Makes an authority."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")
    openssl(folder, "req", "-x509", *key, "-out", f"{name}.crt", "-days", "1", "-subj", f"/CN={name}")


def certified_callers_only(folder: Path, name: str, authority: str) -> ssl.SSLContext:
    """How a Temporal of this name is reached by those whom the authority has certified, and by nobody else."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / f"{authority}.crt"))
    tls.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.set_alpn_protocols(["h2"])
    return tls


def settings_of_caller(folder: Path, address: str, client: str | None, authority: str = "ours") -> dict[str, str]:
    """The environment of a process that reaches it, as in docs/production.md."""
    of_client = {
        "TEMPORAL_TLS_CLIENT_CERT_PATH": str(folder / f"{client}.crt"),
        "TEMPORAL_TLS_CLIENT_KEY_PATH": str(folder / f"{client}.key"),
    }
    return {
        "TEMPORAL_ADDRESS": address,
        "TEMPORAL_TLS": "true",
        "TEMPORAL_TLS_SERVER_NAME": NAME,
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(folder / f"{authority}.crt"),
        **(of_client if client else {}),
    }
