"""The RTMP port over real sockets with scripted peers."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket

import pytest

from gateway.base.config import LiveConfig
from gateway.endpoints.rtmp import RtmpServer
from gateway.endpoints.rtmp import connection as connection_module
from gateway.endpoints.rtmp import server as server_module
from tests.endpoints.rtmp_fakes import Client, FakeEntry, FakeStreams, rtmp_server
from tests.wire.rtmp_peer import AAC_CONFIG, AVC_CONFIG, aac, avc


def start_media(client: Client) -> None:
    client.media(9, 0, AVC_CONFIG)
    client.media(8, 0, AAC_CONFIG)


def group(client: Client, start: int, count: int) -> None:
    """`count` pictures of 40 ms, the first a key frame, and as many sounds."""
    for index in range(count):
        client.media(9, start + 40 * index, avc(index == 0))
        client.media(8, start + 40 * index + 1, aac())


async def eventually(check: object, timeout_s: float = 3.0) -> None:
    assert callable(check)
    async with asyncio.timeout(timeout_s):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def settle(streams: FakeStreams, name: str, frames: int) -> None:
    await eventually(lambda: streams.live(name).frames >= frames)


async def test_publish_and_play() -> None:
    streams, entry = FakeStreams(), FakeEntry()
    async with rtmp_server(streams, entry) as server:
        publisher, player = await Client.open(server), await Client.open(server)
        await publisher.publish("alice?txSecret=ab&txTime=cd")
        start_media(publisher)
        group(publisher, 1000, 5)
        await settle(streams, "alice", 10)
        await player.play("alice?k=v")
        await player.read_until(lambda: len(player.peer.media) >= 12)
        got = player.peer.media
        assert [m.type for m in got] == [9, 8] + [9, 8] * 5
        base = got[2].timestamp
        assert [m.timestamp - base for m in got[2:]] == [t for i in range(5) for t in (40 * i, 40 * i + 1)]
        assert (got[0].timestamp, got[1].timestamp) == (base, base)
        assert got[0].body == AVC_CONFIG
        assert got[2].body == avc(True)
        group(publisher, 1200, 2)
        await player.read_until(lambda: len(player.peer.media) >= 16)
        assert entry.seen == [("push", "alice", {"txSecret": "ab", "txTime": "cd"}), ("play", "alice", {"k": "v"})]
        assert (server.publishers, server.players) == (1, 1)
        await publisher.close()
        await player.close()
        await eventually(lambda: server.connections == 0)
        assert (server.publishers, server.players) == (0, 0)


async def test_one_byte_at_a_time_is_the_same() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams) as server:
        publisher = await Client.open(server)
        script = publisher.peer.publish("alice") + publisher.peer.message(9, 0, AVC_CONFIG)
        script += publisher.peer.message(9, 0, avc(True, 400))
        for byte in script:
            publisher.send(bytes((byte,)))
            await asyncio.sleep(0)
        await settle(streams, "alice", 1)
        assert streams.live("alice").gop[0].data == avc(True, 400)[5:]


async def test_metadata_reaches_players_and_leaves_out_what_they_may_not_have() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams) as server:
        publisher, player, eye = [await Client.open(server) for _ in range(3)]
        await publisher.publish("alice")
        from gateway.wire.rtmp import amf0

        body = amf0.encode("@setDataFrame", "onMetaData", {"width": 640.0, "audiocodecid": 10.0})
        publisher.send(publisher.peer.message(18, 0, body))
        start_media(publisher)
        group(publisher, 0, 3)
        await settle(streams, "alice", 6)
        await player.play("alice")
        await eye.play("alice?audio=0")
        for client, wanted in ((player, {"width": 640.0, "audiocodecid": 10.0}), (eye, {"width": 640.0})):
            await client.read_until(lambda client=client: len(client.peer.media) >= 4)
            told = [a.values[1] for a in client.peer.answers if a.values[:1] == ["onMetaData"]]
            assert told == [wanted]
        assert {m.type for m in eye.peer.media} == {9}


async def test_kinds_that_a_publisher_may_not_send() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams) as server:
        publisher = await Client.open(server)
        await publisher.publish("alice?video=0")
        start_media(publisher)
        group(publisher, 0, 3)
        await settle(streams, "alice", 3)
        assert not streams.live("alice").has_video
        await publisher.close()
        await eventually(lambda: server.not_allowed == 4)


async def test_a_room_push() -> None:
    entry = FakeEntry()
    async with rtmp_server(entry=entry) as server:
        publisher = await Client.open(server)
        await publisher.publish("%40room%23?sdkappid=1&userid=bob&usersig=x*y&privatemapkey=z", "push")
        assert entry.seen == [
            ("room", "@room#", {"sdkappid": "1", "userid": "bob", "usersig": "x*y", "privatemapkey": "z"})
        ]


async def test_takeover_with_a_player_attached() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams) as server:
        old, new, player = [await Client.open(server) for _ in range(3)]
        await old.publish("alice")
        start_media(old)
        group(old, 70_000, 5)
        await player.play("alice")
        await player.read_until(lambda: len(player.peer.media) >= 12)
        await new.publish("alice")
        start_media(new)
        group(new, 0, 5)
        group(old, 70_200, 5)  # goes on sending; nobody listens
        await old.read_until("NetStream.Publish.BadName")
        await old.read_until(None)
        await player.read_until(lambda: len(player.peer.media) >= 24)
        got = player.peer.media
        assert [m.type for m in got] == ([9, 8] + [9, 8] * 5) * 2
        for kind in (8, 9):
            times = [m.timestamp for m in got if m.type == kind]
            assert times == sorted(times)
            assert times[-1] - times[0] < 5000
        assert "NetStream.Play.UnpublishNotify" not in player.peer.codes
        assert server.publishers == 1


async def test_a_publisher_that_comes_back_after_a_reset() -> None:
    streams = FakeStreams(linger_s=5.0)
    async with rtmp_server(streams) as server:
        old, new, player = [await Client.open(server) for _ in range(3)]
        await old.publish("alice")
        start_media(old)
        group(old, 0, 3)
        await player.play("alice")
        await player.read_until(lambda: len(player.peer.media) >= 8)
        old.abort()
        await eventually(lambda: not streams.live("alice").alive)
        await asyncio.sleep(0.2)
        await new.publish("alice")
        start_media(new)
        group(new, 0, 3)
        await player.read_until(lambda: len(player.peer.media) >= 16)
        times = [m.timestamp for m in player.peer.media if m.type == 9]
        assert times == sorted(times)
        assert 150 < times[5] - times[4] < 3000, "the gap is the time that passed"


async def test_players_are_told_when_a_stream_is_really_over() -> None:
    streams = FakeStreams(linger_s=0.1)
    async with rtmp_server(streams) as server:
        publisher, player = await Client.open(server), await Client.open(server)
        await publisher.publish("alice")
        start_media(publisher)
        group(publisher, 0, 3)
        await player.play("alice")
        publisher.send(publisher.peer.command("FCUnpublish", 9, None, "alice"))
        publisher.send(publisher.peer.command("deleteStream", 10, None, 1.0))
        await publisher.read_until("NetStream.Unpublish.Success")
        await player.read_until("NetStream.Play.Stop")
        assert player.peer.codes[-2:] == ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"]
        assert any(a.type == 4 and a.body[:2] == b"\0\x01" for a in player.peer.answers)
        assert not player.ended


async def test_a_player_that_comes_first_waits_for_the_publisher() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams, play_wait_s=5.0) as server:
        player, publisher = await Client.open(server), await Client.open(server)
        player.send(player.peer.play("alice"))
        await eventually(lambda: server.players == 1)
        await publisher.publish("alice")
        start_media(publisher)
        group(publisher, 0, 3)
        await player.read_until(lambda: len(player.peer.media) >= 8)
        assert player.peer.codes[1:] == [
            "NetStream.Play.Reset",
            "NetStream.Play.Start",
            "NetStream.Play.PublishNotify",
        ]


async def test_a_player_of_nothing_is_told_so_in_the_end() -> None:
    async with rtmp_server(play_wait_s=0.2) as server:
        player = await Client.open(server)
        player.send(player.peer.play("nobody"))
        await player.read_until("NetStream.Play.StreamNotFound")
        await player.read_until(None)


@pytest.mark.parametrize(
    ("name", "publish", "play"),
    [
        ("badticket", "NetStream.Publish.BadAuth", "NetStream.Play.BadAuth"),
        ("forbidden", "NetStream.Publish.Denied", "NetStream.Play.Failed"),
        ("taken", "NetStream.Publish.BadName", "NetStream.Play.Failed"),
    ],
)
async def test_refusals_are_said_and_the_socket_closed(name: str, publish: str, play: str) -> None:
    async with rtmp_server() as server:
        publisher, player = await Client.open(server), await Client.open(server)
        publisher.send(publisher.peer.publish(name))
        player.send(player.peer.play(name))
        await publisher.read_until(publish)
        await player.read_until(play)
        await publisher.read_until(None)
        await player.read_until(None)
        assert server.refused == 2


async def test_unknown_applications_are_refused() -> None:
    async with rtmp_server() as server:
        client, player, publisher = [await Client.open(server) for _ in range(3)]
        client.send(client.peer.hello() + client.peer.connect("vod"))
        await client.read_until("NetConnection.Connect.InvalidApp")
        await client.read_until(None)
        player.send(player.peer.play("x", "push"))
        await player.read_until("NetStream.Play.StreamNotFound")
        publisher.send(publisher.peer.publish("a/b/c"))
        await publisher.read_until("NetStream.Publish.BadName")


async def test_enhanced_codecs_go_to_those_who_take_them() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams) as server:
        publisher, plain, modern = [await Client.open(server) for _ in range(3)]
        await publisher.publish("alice")
        for body in (b"\x90av01\x81\x05\x0c\x00", b"\x91av01key"):
            publisher.media(9, 0, body)
        publisher.media(8, 1, aac())
        await settle(streams, "alice", 2)
        await plain.play("alice")
        await modern.play("alice", fourCcList=["av01"])
        await plain.read_until(lambda: len(plain.peer.media) >= 1)
        await modern.read_until(lambda: len(modern.peer.media) >= 3)
        assert [m.type for m in plain.peer.media] == [8]
        assert [m.body[:5] for m in modern.peer.media] == [b"\x90av01", b"\x91av01", aac()[:5]]


async def test_pause_and_go_on() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams) as server:
        publisher, player = await Client.open(server), await Client.open(server)
        await publisher.publish("alice")
        start_media(publisher)
        group(publisher, 0, 3)
        await player.play("alice")
        await player.read_until(lambda: len(player.peer.media) >= 8)
        player.send(player.peer.command("pause", 5, None, True, 0.0, stream_id=1))
        await player.read_until("NetStream.Pause.Notify")
        group(publisher, 120, 3)
        await settle(streams, "alice", 12)
        player.send(player.peer.command("pause", 6, None, False, 0.0, stream_id=1))
        await player.read_until("NetStream.Unpause.Notify")
        await player.read_until(lambda: len(player.peer.media) >= 16)
        times = [m.timestamp for m in player.peer.media if m.type == 9]
        assert times == sorted(times)
        player.send(player.peer.command("receiveVideo", 7, None, False, stream_id=1))
        player.send(player.peer.command("_checkbw", 8, None))
        await player.read_until(lambda: player.peer.results(8))
        count = sum(m.type == 9 for m in player.peer.media)
        group(publisher, 240, 3)
        await player.read_until(lambda: sum(m.type == 8 for m in player.peer.media) >= 11)
        assert sum(m.type == 9 for m in player.peer.media) == count


async def test_a_slow_player_loses_pictures_not_the_others() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams, live=LiveConfig(queue_live_s=0.4, blocked_timeout_s=60)) as server:
        publisher, slow, quick = [await Client.open(server) for _ in range(3)]
        await publisher.publish("alice")
        publisher.send(publisher.peer.set_chunk_size(1 << 20))
        start_media(publisher)
        publisher.media(9, 0, avc(True))
        await slow.play("alice")
        await quick.play("alice")
        frames = 600
        quick_reads = asyncio.ensure_future(quick.read_until(lambda: len(quick.peer.media) >= 2 * frames, 20))
        for index in range(1, frames + 1):  # 24 s of media, 60 MB, slow reads nothing
            publisher.media(9, 40 * index, avc(index % 25 == 0, 100_000))
            publisher.media(8, 40 * index + 1, aac())
            if index % 10 == 0:
                await settle(streams, "alice", 2 * index)
        await quick_reads
        assert sum(m.type == 9 for m in quick.peer.media) >= frames
        publisher.media(9, 40 * frames + 40, avc(True, 77))
        publisher.media(9, 40 * frames + 80, avc(False, 78))
        await slow.read_until(lambda: slow.peer.media and len(slow.peer.media[-1].body) == len(avc(False, 78)), 10)
        pictures = [m for m in slow.peer.media if m.type == 9 and m.body[1] == 1]
        assert len(pictures) < frames / 2
        for before, after in itertools.pairwise(pictures):
            assert after.body[0] == 0x17 or after.timestamp - before.timestamp == 40, "not decodable"
        await slow.close()
        await eventually(lambda: server.dropped_video > frames / 3)


async def test_a_player_that_takes_nothing_is_let_go() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams, live=LiveConfig(queue_live_s=0.4, blocked_timeout_s=0.3)) as server:
        publisher, slow = await Client.open(server), await Client.open(server)
        await publisher.publish("alice")
        publisher.send(publisher.peer.set_chunk_size(1 << 20))
        publisher.media(9, 0, avc(True))
        await slow.play("alice")
        for index in range(1, 200):
            publisher.media(9, 40 * index, avc(True, 100_000))
            await asyncio.sleep(0)
        await eventually(lambda: server.players == 0)
        assert server.blocked == 1
        assert server.publishers == 1


async def test_silent_publishers_players_and_strangers_are_closed() -> None:
    async with rtmp_server(
        publish_timeout_s=0.3, handshake_timeout_s=0.3, ping_interval_s=0.2, ping_timeout_s=0.3
    ) as server:
        stranger, publisher, player = [await Client.open(server) for _ in range(3)]
        await publisher.publish("alice")
        publisher.media(9, 0, avc(True))
        await player.play("alice")
        for client in (stranger, publisher, player):
            await client.read_until(None)
        assert any(a.type == 4 and a.body[:2] == b"\0\x06" for a in player.peer.answers), "it was asked first"


async def test_a_player_that_answers_pings_stays() -> None:
    async with rtmp_server(ping_interval_s=0.1, ping_timeout_s=0.3, play_wait_s=60.0) as server:
        player = await Client.open(server)
        player.send(player.peer.play("alice"))
        answered = 0

        def answer() -> bool:
            nonlocal answered
            pings = [a for a in player.peer.answers if a.type == 4 and a.body[:2] == b"\0\x06"]
            for ping in pings[answered:]:
                player.send(player.peer.message(4, 0, b"\0\x07" + ping.body[2:], 0))
                answered += 1
            return answered >= 4

        await player.read_until(answer)
        assert server.players == 1


async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "IDLE_S", 0.2)
    async with rtmp_server() as server:
        client = await Client.open(server)
        client.send(client.peer.hello() + client.peer.connect())
        await client.read_until("NetConnection.Connect.Success")
        await client.read_until(None)


async def test_connections_are_limited() -> None:
    async with rtmp_server(max_connections=2) as server:
        one, two = await Client.open(server), await Client.open(server)
        await one.publish("a")
        await two.publish("b")
        three = await Client.open(server)
        three.send(three.peer.publish("c"))
        await three.read_until("NetConnection.Connect.Rejected")
        await three.read_until(None)
        assert server.turned_away == 1
        await eventually(lambda: server.connections == 2)
        server_module.TOLD, told = 0, server_module.TOLD  # type: ignore[misc]
        four = await Client.open(server)
        await four.read_until(None)
        server_module.TOLD = told  # type: ignore[misc]


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x03" + bytes(3072) + b"\xff" * 200])
async def test_junk_is_closed(junk: bytes) -> None:
    async with rtmp_server() as server:
        client = await Client.open(server)
        client.send(junk)
        await client.read_until(None)
        assert server.protocol_errors == 1


async def test_damaged_media_closes_the_publisher_and_nothing_else() -> None:
    streams = FakeStreams(linger_s=5.0)
    async with rtmp_server(streams) as server:
        publisher, player = await Client.open(server), await Client.open(server)
        await publisher.publish("alice")
        start_media(publisher)
        group(publisher, 0, 2)
        await player.play("alice")
        publisher.media(9, 100, b"\x17\x01")
        await publisher.read_until(None)
        assert server.players == 1


async def test_shutdown_says_goodbye_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    streams = FakeStreams()
    async with rtmp_server(streams) as server:
        publisher, player, idle = [await Client.open(server) for _ in range(3)]
        await publisher.publish("alice")
        start_media(publisher)
        group(publisher, 0, 2)
        await player.play("alice")
        await server.aclose()
        for client in (publisher, player):
            await client.read_until("NetConnection.Connect.Closed")
            await client.read_until(None)
        await idle.read_until(None)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", server.port if server._server.sockets else 1)
        await server.aclose()
    streams.live("alice").close("test")
    assert asyncio.all_tasks() == before


async def test_no_ticket_in_any_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "s3cr3tticket"
    async with rtmp_server(play_wait_s=0.1) as server:
        for name in (
            f"alice?txSecret={secret}",
            f"badticket?txSecret={secret}",
            f"alice&txSecret={secret}",
            f"x/{secret}%",
            f"forbidden#usersig={secret}",
        ):
            for script in ("publish", "play"):
                client = await Client.open(server)
                client.send(getattr(client.peer, script)(name))
                client.send(client.peer.message(20, 0, b"\xff", 0))
                await client.read_until(None)
    assert secret not in caplog.text
    assert "refused" in caplog.text


async def test_sockets_are_set_for_low_latency() -> None:
    streams = FakeStreams()
    async with rtmp_server(streams) as server:
        publisher, player = await Client.open(server), await Client.open(server)
        await publisher.publish("alice")
        group(publisher, 0, 1)
        await player.play("alice")
        options = [
            connection._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for connection in server._connections
        ]
        assert all(options)


async def test_port_zero_and_a_port_in_use() -> None:
    async with rtmp_server() as server:
        assert server.port > 0
        from gateway.base.config import Address, RtmpConfig

        other = RtmpServer(
            RtmpConfig(listen=Address("127.0.0.1", server.port)), LiveConfig(), FakeEntry(), FakeStreams()
        )
        with pytest.raises(OSError):
            await other.start()
        await other.aclose()
