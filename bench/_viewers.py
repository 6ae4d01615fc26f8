"""Light WHEP viewers for the benches: a socket, ICE checks and a real DTLS handshake each; media is not decrypted.

One viewer counts what arrives; the others leave it unread, so that the receiving side costs the machine little.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import time

import aiohttp
from aioice import stun
from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters

CHECK_S = 2.5


class _Ice:
    """What RTCDtlsTransport needs of its transport."""

    role = "controlling"

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def _recv(self) -> bytes:
        data = await self.queue.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._viewer.send(data)


class Viewer:
    """`await join(...)` returns when DTLS is done. `packets`, `bytes` count RTP of a viewer that reads."""

    def __init__(self, certificate: RTCCertificate, *, reads: bool) -> None:
        self.packets = self.bytes = 0
        self.first_packet: float | None = None
        self._certificate = certificate
        self._reads = reads
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20 if reads else 65536)
        self._sock.setblocking(False)
        self._sock.bind(("127.0.0.1", 0))
        self._ufrag, self._password = secrets.token_hex(4), secrets.token_hex(12)
        self._ice = _Ice(self)
        self._dtls = RTCDtlsTransport(self._ice, [certificate])  # type: ignore[arg-type]
        self._dtls._set_role("client")
        self._checks: asyncio.Task[None] | None = None
        self._checked = asyncio.Event()
        self._target: tuple[str, int] = ("", 0)

    def send(self, data: bytes) -> None:
        try:
            self._sock.sendto(data, self._target)
        except BlockingIOError:
            pass

    async def join(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
        async with http.post(url, data=self._offer(), headers=headers) as answer:
            text = await answer.text()
            if answer.status != 201:
                raise RuntimeError(f"{answer.status} {text}")
        found = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+)", text)
        assert found is not None
        self._target = (found[1], int(found[2]))
        self._remote = re.search(r"a=ice-ufrag:(\S+)", text)[1], re.search(r"a=ice-pwd:(\S+)", text)[1]  # type: ignore[index]
        algorithm, value = re.search(r"a=fingerprint:(\S+) (\S+)", text).groups()  # type: ignore[union-attr]
        loop = asyncio.get_running_loop()
        loop.add_reader(self._sock.fileno(), self._readable)
        self._checks = loop.create_task(self._keep_checking())
        await asyncio.wait_for(self._checked.wait(), 5)
        fingerprints = [RTCDtlsFingerprint(algorithm=algorithm, value=value)]
        await asyncio.wait_for(self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints)), 10)
        if self._dtls.state != "connected":
            raise RuntimeError(f"DTLS is {self._dtls.state}")
        if not self._reads:
            loop.remove_reader(self._sock.fileno())

    def close(self) -> None:
        if self._checks is not None:
            self._checks.cancel()
        self._ice.queue.put_nowait(None)
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()

    def _offer(self) -> bytes:
        fingerprint = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        transport = (
            f"a=ice-ufrag:{self._ufrag}\r\na=ice-pwd:{self._password}\r\na=fingerprint:sha-256 {fingerprint.value}\r\n"
            "a=setup:actpass\r\na=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\n"
        )
        return (
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n"
            f"a=fmtp:111 minptime=10;useinbandfec=1\r\n{transport}"
            "m=video 9 UDP/TLS/RTP/SAVPF 108 109\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtpmap:108 H264/90000\r\n"
            "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
            "a=rtcp-fb:108 nack\r\na=rtcp-fb:108 nack pli\r\na=rtpmap:109 rtx/90000\r\na=fmtp:109 apt=108\r\n"
            f"{transport}"
        ).encode()

    async def _keep_checking(self) -> None:
        remote_ufrag, remote_password = self._remote
        while True:
            request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            request.attributes["USERNAME"] = f"{remote_ufrag}:{self._ufrag}"
            request.attributes["PRIORITY"] = 1845501695
            request.attributes["ICE-CONTROLLING"] = 1
            request.attributes["USE-CANDIDATE"] = None
            request.add_message_integrity(remote_password.encode())
            request.add_fingerprint()
            self.send(bytes(request))
            await asyncio.sleep(CHECK_S if self._checked.is_set() else 0.1)

    def _readable(self) -> None:
        for _ in range(64):
            try:
                data = self._sock.recv(2048)
            except BlockingIOError:
                return
            first = data[0]
            if first < 4:
                self._checked.set()
            elif first < 64:
                self._ice.queue.put_nowait(data)
            elif not 192 <= data[1] <= 223:
                if self.first_packet is None:
                    self.first_packet = time.monotonic()
                self.packets += 1
                self.bytes += len(data)
