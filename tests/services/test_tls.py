from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import stat
from pathlib import Path

import pytest

from gateway.base.errors import ConfigError
from gateway.services.tls import ServerTls, self_signed

NOW = datetime.datetime.now(datetime.UTC)


async def served_certificate(context: ssl.SSLContext) -> bytes:
    async def bye(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(bye, "127.0.0.1", 0, ssl=context)
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client)
        found = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
    assert isinstance(found, bytes)
    return found


async def test_a_dev_certificate_serves_and_is_kept(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path, ["192.0.2.7", "localhost"], NOW)
    first = cert.read_bytes()
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    assert self_signed(tmp_path, ["localhost", "192.0.2.7"], NOW) == (cert, key)
    assert cert.read_bytes() == first, "made again although it names the same"
    self_signed(tmp_path, ["192.0.2.8"], NOW)
    assert cert.read_bytes() != first, "not made again for other names"
    assert await served_certificate(ServerTls(cert, key).context)


async def test_changed_files_are_read_again_and_bad_ones_are_not(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path, ["192.0.2.7"], NOW)
    tls = ServerTls(cert, key)
    before = await served_certificate(tls.context)
    assert not tls.reload()
    cert.unlink()
    self_signed(tmp_path, ["192.0.2.9"], NOW)
    assert tls.reload()
    after = await served_certificate(tls.context)
    assert after != before
    cert.write_text("not a certificate")
    assert not tls.reload()
    assert await served_certificate(tls.context) == after


def test_unusable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.pem.*check tls_cert"):
        ServerTls(tmp_path / "absent.pem", tmp_path / "absent.key")
