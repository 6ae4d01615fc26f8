"""The server session against a scripted client: sequences, codes, quirks, limits, any cut of the bytes."""

from __future__ import annotations

import random
import struct

import pytest

from gateway.base.errors import RtmpError
from gateway.wire.rtmp import amf0
from gateway.wire.rtmp import session as s
from gateway.wire.rtmp.chunks import write_message
from gateway.wire.rtmp.session import ServerSession, Use
from tests.wire.rtmp_peer import AAC_CONFIG, AVC_CONFIG, Peer, aac, avc


class Link:
    """A session that says yes to everything, and a client."""

    def __init__(self, step: int = 1 << 20, accept: bool = True) -> None:
        self.session = ServerSession(random.Random(2).randbytes)
        self.peer = Peer()
        self.events: list[s.Event] = []
        self.step = step
        self.accept = accept

    def send(self, data: bytes) -> list[s.Event]:
        new: list[s.Event] = []
        for at in range(0, len(data), self.step):
            for event in self.session.receive_data(data[at : at + self.step]):
                new.append(event)
                if isinstance(event, s.ConnectRequested) or (
                    self.accept and isinstance(event, s.PublishRequested | s.PlayRequested)
                ):
                    self.session.accept(event)
            self.peer.feed(self.session.data_to_send())
        self.events += new
        return new

    def flush(self) -> None:
        self.peer.feed(self.session.data_to_send())


def shown(events: list[s.Event]) -> list[object]:
    """Events as comparable values."""
    return [
        (type(e).__name__, e.timestamp, e.body) if isinstance(e, s.AudioReceived | s.VideoReceived) else e
        for e in events
    ]


@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_publish_as_librtmp_does(step: int) -> None:
    link = Link(step)
    peer = link.peer
    link.send(peer.publish("alice?txSecret=abc&txTime=def"))
    requests = [e for e in link.events if isinstance(e, s.PublishRequested)]
    assert [(r.stream_id, r.target.app, r.target.stream) for r in requests] == [(1, "live", "alice")]
    assert requests[0].target.query == {"txSecret": "abc", "txTime": "def"}
    assert "abc" not in repr(requests[0])
    # window, bandwidth, chunk size, in this order, then the result of connect, before all others
    assert [a.type for a in peer.answers[:4]] == [5, 6, 1, 20]
    assert peer.answers[1].body[4] == 2
    properties, information = peer.results(1)[0]
    assert isinstance(properties, dict)
    assert isinstance(information, dict)
    assert properties["fmsVer"]
    assert information["code"] == "NetConnection.Connect.Success"
    assert information["objectEncoding"] == 0.0
    assert "fourCcList" not in properties
    assert peer.results(2) == [[None, None]]
    assert peer.results(4) == [[None, 1.0]]
    assert peer.codes == ["NetConnection.Connect.Success", "NetStream.Publish.Start", "NetStream.Publish.Start"]
    start = peer.answers[-1]
    assert (start.values[0], start.values[1], start.stream_id) == ("onStatus", 0.0, 1)

    metadata = amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(width=640.0))
    got = link.send(
        peer.message(18, 0, metadata)
        + peer.message(18, 5, b"\0\0\x12\x34")
        + peer.message(9, 0, AVC_CONFIG)
        + peer.message(8, 0, AAC_CONFIG)
        + peer.message(9, 40, avc(True, 900))
        + peer.message(8, 43, b"")
        + peer.message(8, 44, aac())
    )
    assert shown(got) == [
        s.MetadataReceived({"width": 640.0}),
        ("VideoReceived", 0, AVC_CONFIG),
        ("AudioReceived", 0, AAC_CONFIG),
        ("VideoReceived", 40, avc(True, 900)),
        ("AudioReceived", 44, aac()),
    ]
    got = link.send(peer.command("FCUnpublish", 6, None, "alice") + peer.command("deleteStream", 7, None, 1.0))
    assert got == [s.PublishStopped(1)]
    assert peer.codes[-2:] == ["NetStream.Unpublish.Success"] * 2
    assert link.send(peer.message(9, 80, avc(False))) == []


@pytest.mark.parametrize("step", [1, 1 << 20])
def test_play_is_answered_in_the_order_that_players_expect(step: int) -> None:
    link = Link(step)
    peer = link.peer
    link.send(peer.play("alice"))
    tail = peer.answers[-4:]
    assert [a.type for a in tail] == [4, 20, 20, 18]
    assert tail[0].body == struct.pack(">HI", 0, 1)
    assert peer.codes[1:] == ["NetStream.Play.Reset", "NetStream.Play.Start"]
    assert tail[3].values == ["|RtmpSampleAccess", True, True]
    assert all(a.stream_id == 1 for a in tail[1:])
    link.session.end_play(1)
    link.flush()
    assert peer.codes[-2:] == ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"]
    assert peer.answers[-3].body == struct.pack(">HI", 1, 1)
    assert link.session.use(1) is Use.IDLE


def test_obs_sets_its_chunk_size_before_connect() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.hello() + peer.set_chunk_size(4096) + peer.connect(flashVer="FMLE/3.0 (compatible; FMSc/1.0)"))
    assert peer.codes == ["NetConnection.Connect.Success"]


def test_flash_style_publish_without_release_and_fcpublish() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.hello() + peer.connect() + peer.command("createStream", 2, None))
    assert link.send(peer.command("publish", 0, None, "x", stream_id=1))
    assert peer.codes[-1] == "NetStream.Publish.Start"


def test_amf3_commands_and_data() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.hello() + peer.command("connect", 1, {"app": "live", "objectEncoding": 3.0}, type=17))
    assert isinstance(peer.results(1)[0][1], dict)
    assert peer.results(1)[0][1]["objectEncoding"] == 3.0
    link.send(peer.command("createStream", 2, None, type=17))
    link.send(peer.command("publish", 3, None, "x", "live", stream_id=1, type=17))
    metadata = b"\0" + amf0.encode("onMetaData", {"a": 1.0})
    assert link.send(peer.message(15, 0, metadata)) == [s.MetadataReceived({"a": 1.0})]


def test_aggregate_messages_are_taken_apart() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.publish("x"))

    def part(kind: int, time: int, body: bytes) -> bytes:
        head = bytes((kind,)) + len(body).to_bytes(3, "big") + (time & 0xFFFFFF).to_bytes(3, "big")
        return head + bytes((time >> 24, 0, 0, 0)) + body + struct.pack(">I", len(body) + 11)

    body = part(8, 5000, aac()) + part(9, 5010, avc(True)) + part(8, 5021, aac(3))
    assert shown(link.send(peer.message(22, 700, body))) == [
        ("AudioReceived", 700, aac()),
        ("VideoReceived", 710, avc(True)),
        ("AudioReceived", 721, aac(3)),
    ]
    with pytest.raises(RtmpError, match="aggregate"):
        link.send(peer.message(22, 700, body[:-10]))


def test_enhanced_capabilities_are_read_and_echoed() -> None:
    link = Link()
    peer = link.peer
    link.send(
        peer.hello()
        + peer.connect(fourCcList=["hvc1", "av01"], videoFourCcInfoMap={"vp09": 1.0, "vvc1": 2.0}, capsEx=1.0)
    )
    event = link.events[0]
    assert isinstance(event, s.ConnectRequested)
    assert event.four_ccs == {"hvc1", "av01", "vp09"}
    for answer in peer.results(1)[0]:
        assert isinstance(answer, dict)
        assert "hvc1" in answer["fourCcList"]
        assert answer["videoFourCcInfoMap"]["av01"] == 4.0


def test_questions_that_only_want_some_answer() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.hello() + peer.connect())
    link.send(peer.command("_checkbw", 7, None) + peer.command("noSuchThing", 8, None) + peer.command("quiet", 0, None))
    link.send(peer.command("FCSubscribe", 9, None, "x") + peer.command("getStreamLength", 10, None, "x"))
    assert [peer.results(n) for n in (7, 8, 0, 9)] == [[[None, None]], [[None, None]], [], [[None, None]]]
    assert peer.results(10) == [[None, 0.0]]
    assert link.session.counters.unknown_commands == 2
    assert any(a.values[:1] == ["onBWDone"] for a in peer.answers)


def test_ping_both_ways() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.hello() + peer.connect())
    link.send(write_message(2, 4, 0, 0, struct.pack(">HI", 6, 1234), 128))
    assert peer.answers[-1].body == struct.pack(">HI", 7, 1234)
    link.session.ping(99)
    link.flush()
    assert peer.answers[-1].body == struct.pack(">HI", 6, 99)
    assert link.send(write_message(2, 4, 0, 0, struct.pack(">HI", 7, 99), 128)) == [s.PingAnswered(99)]


def test_acknowledgements_follow_the_window_of_the_client() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.publish("x") + write_message(2, 5, 0, 0, struct.pack(">I", 20000), 128))
    before = len(peer.answers)
    for index in range(60):
        link.send(peer.message(8, index, aac(1000)))
    acks = [a for a in peer.answers[before:] if a.type == 3]
    assert 5 <= len(acks) <= 8
    values = [int.from_bytes(a.body, "big") for a in acks]
    assert values == sorted(values)
    assert values[-1] > 50000


def test_pause_and_choice_of_kinds() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.play("x"))
    assert link.send(peer.command("pause", 0, None, True, 0.0, stream_id=1)) == [s.PauseChanged(1, True)]
    assert peer.codes[-1] == "NetStream.Pause.Notify"
    assert link.send(peer.command("pause", 0, None, False, 0.0, stream_id=1)) == [s.PauseChanged(1, False)]
    assert peer.codes[-1] == "NetStream.Unpause.Notify"
    assert link.send(peer.command("receiveAudio", 0, None, False, stream_id=1)) == [s.KindsChanged(1, False, None)]
    assert link.send(peer.command("receiveVideo", 0, None, True, stream_id=1)) == [s.KindsChanged(1, None, True)]
    link.send(peer.command("seek", 0, None, 1000.0, stream_id=1))
    assert all(value.get("level") != "error" for a in peer.answers for value in a.values if isinstance(value, dict))
    assert link.send(peer.command("closeStream", 0, None, stream_id=1)) == [s.PlayStopped(1)]


def test_a_play_after_a_play_ends_the_first() -> None:
    link = Link()
    link.send(link.peer.play("x"))
    got = link.send(link.peer.command("play", 9, None, "y", stream_id=1))
    assert got[0] == s.PlayStopped(1)
    assert isinstance(got[1], s.PlayRequested)
    assert got[1].target.stream == "y"


def test_refusals() -> None:
    link = Link(accept=False)
    peer = link.peer
    link.send(peer.publish("x"))
    request = link.events[-1]
    assert isinstance(request, s.PublishRequested)
    link.session.reject(request, "NetStream.Publish.BadAuth", "no")
    link.flush()
    information = peer.answers[-1].values[3]
    assert isinstance(information, dict)
    assert (information["level"], information["code"]) == ("error", "NetStream.Publish.BadAuth")
    assert link.send(peer.message(9, 0, avc(True))) == [], "a refused publisher's media is not media"

    session, peer = ServerSession(random.Random(2).randbytes), Peer()
    for event in session.receive_data(peer.hello() + peer.connect("nowhere")):
        assert isinstance(event, s.ConnectRequested)
        session.reject(event, "NetConnection.Connect.InvalidApp", "no")
    peer.feed(session.data_to_send())
    assert peer.answers[-1].values[0] == "_error"
    assert peer.codes == ["NetConnection.Connect.InvalidApp"]


def test_taking_the_stream_away_and_shutting_down() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.publish("x"))
    link.session.end_publish("NetStream.Publish.BadName", "replaced")
    link.session.close()
    link.flush()
    assert peer.codes[-2:] == ["NetStream.Publish.BadName", "NetConnection.Connect.Closed"]
    assert link.send(peer.message(9, 0, avc(True))) == []


def test_media_of_another_message_stream_still_counts() -> None:
    link = Link()
    link.send(link.peer.publish("x"))
    assert len(link.send(link.peer.message(9, 0, avc(True), stream_id=0))) == 1


def test_create_stream_never_gives_0_or_2_and_ends_somewhere() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.hello() + peer.connect())
    for number in range(8):
        link.send(peer.command("createStream", 100 + number, None))
    ids = [peer.results(100 + number)[0][1] for number in range(8)]
    assert ids[0] == 1.0
    assert not {0.0, 2.0} & set(ids)
    assert len(set(ids)) == 8
    link.send(peer.command("deleteStream", 0, None, ids[3]))
    link.send(peer.command("createStream", 200, None))
    assert peer.results(200)[0][1] == ids[3]
    with pytest.raises(RtmpError, match="message streams"):
        link.send(peer.command("createStream", 300, None))


@pytest.mark.parametrize(
    "bad",
    [
        lambda p: p.command("createStream", 2, None),
        lambda p: p.connect() + p.connect(),
        lambda p: p.message(20, 0, b"\x05", 0),
        lambda p: p.message(20, 0, b"\xff" * 10, 0),
        lambda p: p.message(4, 0, b"\0", 0),
        lambda p: p.connect() + p.message(9, 0, bytes(70000)),
        lambda p: p.connect() + b"".join(p.command("x", 0, None) for _ in range(2100)),
    ],
    ids=["no connect", "two connects", "no name", "no amf", "short control", "64 KiB before publish", "commands"],
)
def test_what_closes_the_connection(bad: object) -> None:
    link = Link()
    assert callable(bad)
    with pytest.raises(RtmpError):
        link.send(link.peer.hello() + bad(link.peer))


def test_big_messages_after_publish() -> None:
    link = Link()
    peer = link.peer
    link.send(peer.publish("x"))
    got = link.send(peer.set_chunk_size(1 << 20) + peer.message(9, 0, avc(True, 3 << 20)))
    assert isinstance(got[0], s.VideoReceived)
    with pytest.raises(RtmpError, match="limit"):
        link.send(peer.message(9, 0, avc(True, 9 << 20)))


def test_noise_after_the_handshake_gives_events_or_an_rtmp_error() -> None:
    rng = random.Random(9)
    peer = Peer()
    script = peer.publish("alice?a=b")[3073:] + peer.message(9, 0, AVC_CONFIG) + peer.message(8, 0, aac(300))
    for round in range(600):
        link = Link(rng.choice([1 << 20, 100, 7]))
        link.send(peer.hello())
        data = bytearray(script)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if round % 3 == 0:
            data = bytearray(rng.randbytes(400))
        try:
            link.send(bytes(data))
        except RtmpError:
            pass
