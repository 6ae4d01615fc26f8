"""The demo peer against a real gateway: two of them, a Chromium member, ends of every kind, `serve --dev --demo`."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import signal
from pathlib import Path
from typing import Any

from playwright.async_api import Browser

from gateway.demo.sound import tone_of
from tests.e2e.browser import Member, until
from tests.e2e.content import Maker
from tests.e2e.demo_process import DemoPeer
from tests.e2e.gateway_process import Gateway, free_port

ALICE = Maker(11, 700)
COUNTER = """() => {
  const video = document.querySelector('div > video');
  if (!video?.videoWidth) return null;
  const [width, height] = [video.videoWidth, video.videoHeight];
  const paint = new OffscreenCanvas(width, height).getContext('2d');
  paint.drawImage(video, 0, 0);
  const row = paint.getImageData(0, Math.floor(height - 1.5 * height / 40), width, 1).data;
  let counter = 0;
  for (let bit = 0; bit < 16; bit++) if (row[Math.floor((bit + 0.5) * width / 24) * 4 + 1] > 110) counter |= 1 << bit;
  return [counter, width, height];
}"""


async def test_two_of_them_see_hear_and_talk(gateway: Gateway) -> None:
    made = DemoPeer(gateway.http, "--create", "two peers", "--user", "phone", "--say", "first words", "--echo")
    async with made as phone:
        room = (await phone.prints(r"phone is in room (\d+); its page: http\S+#room=\1"))[1]
        await phone.prints(r"push 1002 PUSH_EVT_PUSH_BEGIN")
        await phone.prints(r"^\S+ phone says: first words$")
        options = ("--room", room, "--user", "tablet", "--mode", "SD", "--audio-quality", "low")
        async with DemoPeer(gateway.http, *options) as tablet:
            await tablet.prints(r"phone said: first words")
            for peer, other, fps in ((phone, "tablet", 20), (tablet, "phone", 15)):
                line = rf"; {other}: 360x640 (\d+\.\d) fps (\d+) kbit/s, sound (-\d+) dB (\d+) Hz, delay (\d+) ms"
                # One comes each second; one in which all is well must be among them.
                await until(functools.partial(whole, peer, line, fps), 15, lambda p=peer: p.text)
                assert abs(int(re.findall(line, peer.text)[-1][3]) - tone_of(other)) <= 15
                assert peer.codes(f"play {other}")[:4] == [2001, 2002, 2003, 2004]
                assert peer.codes("push") == [1003, 1007, 1008, 1001, 1002]
            tablet.type("how are you?")
            await phone.prints(r"^\S+ tablet says: how are you\?$")
            await tablet.prints(r"^\S+ phone says: Echo: how are you\?$")
            assert await tablet.stop(signal.SIGINT) < 2
            assert tablet.lines[-1].endswith(f"left room {room}")
        await phone.prints("tablet has gone", 3)
        answer = await gateway.call("get_room_members", roomID=room)
        assert [member["userID"] for member in answer["members"]] == ["phone"]
    assert not phone.errors
    assert (await gateway.call("get_room_members", roomID=room))["members"] == []


def whole(peer: DemoPeer, line: str, fps: int) -> bool:
    """Whether some report of `peer` is that of a stream that arrives whole."""
    return any(
        abs(float(match[1]) - fps) < 3 and int(match[2]) > 30 and -40 < int(match[3]) < -15 and int(match[5]) < 1000
        for match in re.finditer(line, peer.text)
    )


async def test_a_browser_sees_hears_and_talks(browser: Browser, gateway: Gateway) -> None:
    async with DemoPeer(gateway.http, "--room", "1001", "--user", "phone", "--echo") as phone:
        await phone.prints("push 1002")
        alice = await Member.join(browser, gateway.http, await gateway.tickets("alice", 1001))
        try:
            await alice.watch_all()
            await alice.send(ALICE)
            first: Any = await until(lambda: alice.tab.page.evaluate(COUNTER), 15, "no picture of the demo peer")
            assert first[1:] == [360, 640]

            async def counted() -> bool:
                now = await alice.tab.page.evaluate(COUNTER)
                return bool(now) and 15 < (now[0] - first[0]) % 65536 < 600

            await until(counted, 10, "its picture does not move")

            async def heard() -> bool:
                report = await alice.report("phone", 5)
                return report["beeps"] >= 3 and abs(report["tone"] - tone_of("phone")) <= 15

            await until(heard, 15, "its beep is not heard")
            await phone.prints(r"; alice: 320x240 1\d\.\d fps \d+ kbit/s, sound -\d+ dB 7\d\d Hz$", 15)
            await alice.call("trtc.sendTextMessage(argument)", "hello from a page")
            await phone.prints(r"^\S+ alice says: hello from a page$")

            async def answered() -> bool:
                events = await alice.events("message-received")
                return ("phone", "Echo: hello from a page") in [
                    (e["message"]["userId"], e["message"]["text"]) for _, e in events
                ]

            await until(answered, 5, "no answer")
        finally:
            await alice.close()
        await phone.prints("alice has gone", 5)


async def test_tickets_a_text_room_and_a_clip(gateway: Gateway, tmp_path: Path, files: Any) -> None:
    minted = await gateway.tickets("bob", "lobby")
    sig, key = minted["userSig"], minted["privateMapKey"]
    clip = files(Maker(7, 1300))
    tickets = ("--user", "bob", "--user-sig", sig, "--private-map-key", key, "--room", "lobby")
    async with DemoPeer(gateway.http, *tickets, "--file", str(clip), "--duration", "3", "--quiet") as bob:
        await bob.prints(r"passed through, sound passed through")
        await bob.prints(r"push 1002")
        assert await bob.ended(10) == 0
        assert not bob.seen("sends ")
    assert sig not in bob.text + gateway.log
    async with DemoPeer(gateway.http, *tickets[:4], "--private-map-key", key + "x", "--room", "lobby") as refused:
        assert await refused.ended() == 1
        assert "the ticket of bob was refused" in refused.errors and refused.errors.count("\n") == 1
    async with DemoPeer(gateway.http, "--room", "4242", "--user", "phone") as nowhere:
        assert await nowhere.ended() == 1
        assert "room 4242 does not exist" in nowhere.errors


async def test_a_second_one_of_the_same_name_takes_over(gateway: Gateway) -> None:
    async with DemoPeer(gateway.http, "--user", "twin") as first:
        await first.prints("push 1002")
        async with DemoPeer(gateway.http, "--user", "twin") as second:
            await second.prints("push 1002")
            assert await first.ended() == 1
            assert "kicked: somebody else came in as this user (replaced)" in first.errors
            await asyncio.sleep(1)
            assert second.process.returncode is None
            # Whoever was replaced does not take the other out of the room with it.
            answer = await gateway.call("get_room_members", roomID="1001")
            assert "twin" in [member["userID"] for member in answer["members"]]


async def test_a_full_room(gateway: Gateway) -> None:
    room = (await gateway.call("create_room", userID="user1", roomInfo="x"))["roomID"]
    for user in ("user2", "user3", "user4"):
        assert (await gateway.call("enter_room", userID=user, roomID=room))["code"] == 0
    async with DemoPeer(gateway.http, "--room", room, "--user", "user5") as late:
        assert await late.ended() == 1
        assert late.errors == f"gateway: room {room} is full; wait until somebody leaves, or --create another\n"


async def test_the_server_goes(tmp_path: Path) -> None:
    """The rule of the tags: three tries, three seconds apart; a server that is back in that time is found again."""
    server = await Gateway(tmp_path / "data").start()
    async with DemoPeer(server.http, "--user", "phone", "--quiet") as phone:
        await phone.prints("push 1002")
        await server.stop()
        await phone.prints(r"push 3004 PUSH_WARNING_SERVER_DISCONNECT")
        await phone.prints(r"push 1102 PUSH_WARNING_RECONNECT: try 1 of 3")
        await server.start()
        await until(lambda: phone.codes("push").count(1002) == 2, 8, lambda: phone.text)
        await server.kill()
        assert await phone.ended(16) == 1
        codes = phone.codes("push")[phone.codes("push").index(1002) + 1 :]
        assert codes[-1] == -1307 or "is lost" in phone.errors, phone.text
        assert re.search(r"^gateway: .*is the server still running\?$", phone.errors, re.MULTILINE), phone.errors
    async with DemoPeer(f"http://127.0.0.1:{free_port()}") as nobody:
        assert await nobody.ended() == 1
        assert "is not reachable" in nobody.errors and "./serve.sh" in nobody.errors


async def test_serve_dev_demo(tmp_path: Path) -> None:
    server = Gateway(tmp_path / "data", options=("--demo", "--log-level", "debug"))
    await server.start()
    try:
        await until(lambda: "push 1002" in server.log, 10, lambda: server.log[-3000:])
        assert "demo   demo is in room 1001" in server.printed
        members = (await server.call("get_room_members", roomID="1001"))["members"]
        assert [member["userID"] for member in members] == ["demo"]
        async with DemoPeer(server.http, "--user", "phone", "--say", "are you there?") as phone:
            await phone.prints("demo said: Hello! I am a demo")
            await phone.prints(r"demo says: Echo: are you there\?")
            await phone.prints(r"; demo: 360x640 1\d\.\d fps")
        child = demo_pid(server.pid)
        assert child is not None
    finally:
        await server.stop()  # within 3 s, its log clean
    await until(lambda: not alive(child), 2, "the demo peer outlives its server")

    await server.start()
    await until(lambda: "push 1002" in server.log, 10, lambda: server.log[-3000:])
    first = demo_pid(server.pid)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: demo_pid(server.pid) not in (None, first), 5, "a demo peer that died is not started again")
    child = demo_pid(server.pid)
    await server.kill()
    await until(lambda: not alive(child), 5, "the demo peer outlives a server that was killed")


def demo_pid(parent: int) -> int | None:
    """Return the process id of the demo peer that the server `parent` runs."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next((int(pid) for pid in children if b"demo-peer" in Path(f"/proc/{pid}/cmdline").read_bytes()), None)


def alive(pid: int | None) -> bool:
    try:
        return pid is not None and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
