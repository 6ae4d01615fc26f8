"""Stream ids and live streams."""

from __future__ import annotations

import pytest

from gateway.base.errors import BadRequest, NotPermitted
from gateway.rooms import events
from gateway.rooms.directory.stream_ids import StreamIds
from gateway.rooms.directory.streams import StreamTable
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import RoomKey, StreamKind
from tests.rooms.fakes import APP, OTHER, ROOM, Recorded, Session, hex_source

MAIN, AUX = StreamKind.MAIN, StreamKind.AUX


def key(text: str) -> RoomKey:
    return RoomKey.parse(APP, text)


def allocated(recorded: Recorded, user: str = "alice", room: RoomKey = ROOM, kind: StreamKind = MAIN) -> str:
    return recorded.directory.stream_id(room, user, kind, hex_source())


# --- ids


def test_ids_are_readable_where_they_can_be_and_stay() -> None:
    recorded = Recorded()
    assert allocated(recorded, "alice", key("12345")) == "8888_12345_alice"
    assert allocated(recorded, "alice", key("12345"), AUX) == "8888_12345_alice_aux"
    assert allocated(recorded, "alice", key("12345")) == "8888_12345_alice"
    assert allocated(recorded, "x-y", key("room_1a-b")) == "8888_room_1a-b_x-y"
    assert allocated(recorded, "alice", RoomKey(APP + 1, "12345")) == "9999_12345_alice"


def test_ambiguous_texts_go_to_whoever_comes_first() -> None:
    recorded = Recorded()
    draw = hex_source()
    stream_id = recorded.directory.stream_id
    assert stream_id(key("a"), "b_c", MAIN, draw) == "8888_a_b_c"
    assert stream_id(key("a_b"), "c", MAIN, draw) == "8888_s0000000000000001"
    assert stream_id(key("a"), "b_c", MAIN, draw) == "8888_a_b_c"
    assert stream_id(key("a_b"), "c", MAIN, draw) == "8888_s0000000000000001"
    # A user called alice_aux, and a text room that looks like a number room.
    assert stream_id(ROOM, "alice", AUX, draw) == "8888_1_alice_aux"
    assert stream_id(ROOM, "alice_aux", MAIN, draw) == "8888_s0000000000000002"
    assert stream_id(RoomKey(APP, "1", text=True), "alice", AUX, draw) == "8888_s0000000000000003"
    owners = [recorded.directory.lookup_stream(name) for name in ("8888_a_b_c", "8888_s0000000000000001")]
    assert [(owner.room.id, owner.user_id) for owner in owners if owner] == [("a", "b_c"), ("a_b", "c")]


def test_unclean_rooms_and_drawn_collisions() -> None:
    recorded = Recorded()
    draws = iter(["0" * 16, "0" * 16, "F" * 32])
    stream_id = recorded.directory.stream_id
    assert stream_id(RoomKey(APP, "a room", True), "alice", MAIN, lambda: next(draws)) == "8888_s" + "0" * 16
    assert stream_id(RoomKey(APP, "b.room", True), "alice", MAIN, lambda: next(draws)) == "8888_s" + "f" * 16
    with pytest.raises(ValueError):
        stream_id(RoomKey(APP, "c/room", True), "alice", MAIN, lambda: "xyz")
    # A drawn id must not be one that a stranger is publishing to.
    recorded.directory.stream_started("8888_s" + "1" * 16, transport="rtmp", now=0)
    more = iter(["1" * 16, "2" * 16])
    assert stream_id(RoomKey(APP, "d room", True), "alice", MAIN, lambda: next(more)) == "8888_s" + "2" * 16
    # Drawn ids are names that a user without a room could have: it gets another one.
    assert recorded.directory.roomless_stream_id(APP, "s" + "2" * 16, lambda: "3" * 16) == "8888_s" + "3" * 16


def test_ids_need_a_user_and_a_bizid() -> None:
    recorded = Recorded()
    with pytest.raises(BadRequest):
        allocated(recorded, "a b")
    with pytest.raises(ValueError):
        allocated(recorded, "alice", RoomKey(77, "1"))


def test_lookup_of_unknown_and_roomless_ids() -> None:
    recorded = Recorded()
    directory = recorded.directory
    assert directory.lookup_stream("8888_1_alice") is None and directory.issued_to("8888_1_alice") is None
    assert directory.find_stream_id(ROOM, "alice", MAIN) is None
    roomless = directory.roomless_stream_id(APP, "alice", hex_source())
    assert roomless == "8888_alice" == directory.roomless_stream_id(APP, "alice", hex_source())
    assert directory.lookup_stream(roomless) is None and directory.issued_to(roomless) == (APP, "alice")


def test_old_ids_are_forgotten_beyond_the_limit_but_never_those_in_use() -> None:
    changed: dict[str, None] = {}
    ids = StreamIds({APP: "8888"}, changed, limit=10)
    busy = {"8888_0_u", "8888_3_u"}
    for number in range(200):
        ids.allocate(APP, RoomKey(APP, str(number)), "u", MAIN, hex_source(), busy.__contains__)
    assert len(ids) <= 12 and all(ids.get(stream_id) for stream_id in busy)
    assert ids.get("8888_1_u") is None and ids.find(RoomKey(APP, "1"), "u", MAIN) is None
    assert "8888_1_u" in changed and ids.get("8888_199_u") is not None


def test_of_several_ids_of_one_owner_the_newest_counts_also_when_it_goes() -> None:
    recorded = Recorded()
    directory = recorded.directory
    own, roomless = allocated(recorded), directory.roomless_stream_id(APP, "alice", hex_source())
    directory.claim_stream(roomless, ROOM, "alice")
    assert directory.find_stream_id(ROOM, "alice", MAIN) == roomless
    # The store writes them in the order in which they came to their owner.
    assert list(directory.take_changes().stream_ids) == [own, roomless]
    directory.claim_stream(roomless, OTHER, "alice")
    assert directory.find_stream_id(ROOM, "alice", MAIN) == own
    directory.claim_stream(own, OTHER, "alice")
    directory.claim_stream(roomless, ROOM, "alice")
    directory.claim_stream(roomless, OTHER, "alice")
    assert list(directory.take_changes().stream_ids) == [own, roomless]


# --- live


def test_start_change_stop() -> None:
    recorded = Recorded()
    directory = recorded.directory
    member = recorded.enter("alice", session=Session(), now=1)
    stream = allocated(recorded)
    recorded.take()
    directory.stream_started(stream, transport="webrtc", audio=True, now=2)
    directory.stream_updated(stream, video=True)
    directory.stream_updated(stream, video=True)
    directory.stream_updated(stream, audio_muted=True)
    directory.stream_updated("8888_unknown", audio=True)
    assert directory.is_live(stream)
    assert recorded.take() == [
        events.StreamAdded(ROOM, "alice", MAIN, stream, True, False, False, False, "webrtc"),
        events.StreamChanged(ROOM, "alice", MAIN, stream, True, True, False, False, "webrtc", False),
        events.StreamChanged(ROOM, "alice", MAIN, stream, True, True, True, False, "webrtc", False),
    ]
    assert member.streams[MAIN].started_at == 2
    directory.stream_stopped(stream, 3)
    directory.stream_stopped(stream, 3)
    assert recorded.take() == [events.StreamRemoved(ROOM, "alice", MAIN, stream)]
    assert not member.streams and not directory.is_live(stream)


def test_a_newer_publisher_takes_the_place_of_the_older_whatever_the_transport() -> None:
    recorded = Recorded()
    directory = recorded.directory
    member = recorded.enter("alice", session=Session(), now=0)
    stream = allocated(recorded)
    directory.stream_started(stream, transport="webrtc", audio=True, video=True, now=1)
    recorded.take()
    directory.stream_started(stream, transport="rtmp", audio=True, now=9)
    assert recorded.take() == [
        events.StreamChanged(ROOM, "alice", MAIN, stream, True, False, False, False, "rtmp", True)
    ]
    assert member.streams[MAIN].started_at == 1  # it keeps its place in lists


def test_main_and_aux_are_two_streams() -> None:
    recorded = Recorded()
    member = recorded.enter("alice", session=Session())
    main, aux = allocated(recorded), allocated(recorded, kind=AUX)
    recorded.directory.stream_started(aux, transport="webrtc", video=True, now=2)
    recorded.directory.stream_started(main, transport="webrtc", audio=True, now=3)
    assert [info.stream_id for _, info in member.room.published(MAIN)] == [main]
    assert [info.stream_id for _, info in member.room.published(AUX)] == [aux]
    recorded.take()
    recorded.directory.leave(member, "left", 4)
    assert recorded.names() == ["StreamRemoved", "StreamRemoved", "MemberLeft", "RoomClosed"]


def test_lists_are_by_time_of_publishing() -> None:
    recorded = Recorded()
    for user, start in (("alice", 3), ("bob", 1), ("carol", 2)):
        recorded.enter(user)
        recorded.directory.stream_started(allocated(recorded, user), transport="rtmp", now=start)
    recorded.enter("viewer")
    room = recorded.directory.room(ROOM)
    assert [member.user_id for member, _ in room.published()] == ["bob", "carol", "alice"]


def test_what_the_ticket_does_not_grant_is_not_shown() -> None:
    recorded = Recorded()
    member = recorded.enter("alice", privileges=Privilege.ENTER | Privilege.CREATE | Privilege.SEND_AUDIO)
    stream = allocated(recorded)
    recorded.directory.stream_started(stream, transport="rtmp", audio=True, video=True, now=0)
    info = member.streams[MAIN]
    assert (info.has_audio, info.has_video) == (True, False)
    recorded.take()
    recorded.directory.update_member(member, privileges=Privilege.ALL & ~Privilege.SEND_AUDIO)
    assert (info.has_audio, info.has_video) == (False, True)
    assert recorded.names() == ["MemberUpdated", "StreamChanged"]


def test_a_paused_publisher_of_a_resuming_member_is_no_leave() -> None:
    recorded = Recorded()
    directory = recorded.directory
    first, second = Session(), Session()
    member = recorded.enter("alice", session=first, now=0)
    stream = allocated(recorded)
    directory.stream_started(stream, transport="webrtc", audio=True, video=True, now=1)
    recorded.take()
    directory.detach(member, first, 10)
    directory.stream_stopped(stream, 11)
    assert recorded.take() == [] and not member.streams[MAIN].live
    assert len(member.room.published()) == 1  # listed: live or resuming
    directory.resume(ROOM, "alice", second, 20)
    directory.stream_started(stream, transport="webrtc", audio=True, video=True, now=21)
    assert recorded.names() == ["StreamChanged"]
    directory.expire(1000)
    assert member.streams[MAIN].live and recorded.take() == []


def test_a_paused_stream_loses_what_its_member_may_no_longer_send() -> None:
    recorded = Recorded()
    session = Session()
    member = recorded.enter("alice", session=session, now=0)
    stream = allocated(recorded)
    recorded.directory.stream_started(stream, transport="webrtc", audio=True, video=True, now=1)
    recorded.directory.detach(member, session, 10)
    recorded.directory.stream_stopped(stream, 11)
    recorded.enter("alice", session=Session(), privileges=Privilege.ALL & ~Privilege.SEND_VIDEO, now=12)
    assert not member.streams[MAIN].live and not member.streams[MAIN].has_video and member.streams[MAIN].has_audio
    assert isinstance(recorded.take()[-1], events.StreamChanged)


def test_a_paused_stream_that_is_not_published_again_ends() -> None:
    recorded = Recorded()
    directory = recorded.directory
    first = Session()
    member = recorded.enter("alice", session=first, now=0)
    stream = allocated(recorded)
    directory.stream_started(stream, transport="webrtc", audio=True, now=1)
    directory.detach(member, first, 10)
    directory.stream_stopped(stream, 11)
    directory.resume(ROOM, "alice", Session(), 20)
    recorded.take()
    directory.expire(35)
    assert recorded.take() == []
    directory.expire(35.5)
    assert recorded.take() == [events.StreamRemoved(ROOM, "alice", MAIN, stream)]


def test_a_member_lives_as_long_as_its_rtmp_push() -> None:
    """A member is alive while any of heartbeat, /im or its RTMP push is."""
    recorded = Recorded()
    directory = recorded.directory
    member = recorded.enter("phone", now=0)
    stream = allocated(recorded, "phone")
    directory.stream_started(stream, transport="rtmp", audio=True, video=True, now=1)
    directory.expire(5000)
    assert directory.is_present(member)
    directory.stream_stopped(stream, 6000)
    directory.expire(6020)
    assert directory.is_present(member)  # an encoder that lost its connection has time to come back
    recorded.take()
    directory.expire(6020.5)
    assert recorded.names() == ["MemberLeft", "RoomClosed"]


def test_a_browsers_media_does_not_keep_it_without_its_socket() -> None:
    recorded = Recorded()
    session = Session()
    member = recorded.enter("alice", session=session, now=0)
    recorded.directory.stream_started(allocated(recorded), transport="webrtc", audio=True, now=100)
    recorded.directory.detach(member, session, 100)
    recorded.directory.expire(115.5)
    assert not recorded.directory.is_present(member)


# --- publishers before, after and without a member


def test_a_push_that_comes_before_its_member() -> None:
    recorded = Recorded()
    directory = recorded.directory
    stream = allocated(recorded)
    directory.stream_started(stream, transport="rtmp", audio=True, video=True, now=1)
    directory.stream_updated(stream, audio_muted=True)
    assert recorded.take() == [] and directory.is_live(stream)
    member = recorded.enter("alice", now=5)
    assert recorded.take()[-1] == events.StreamAdded(ROOM, "alice", MAIN, stream, True, True, True, False, "rtmp")
    assert member.streams[MAIN].started_at == 1
    directory.expire(1000)
    assert directory.is_present(member)


def test_an_rtmp_push_outlives_its_member_and_finds_it_again() -> None:
    recorded = Recorded()
    directory = recorded.directory
    stream = allocated(recorded)
    directory.leave(_publishing(recorded, stream, "rtmp"), "left", 2)
    assert directory.is_live(stream)
    recorded.take()
    recorded.enter("alice", now=3)
    assert recorded.names() == ["RoomCreated", "MemberEntered", "StreamAdded"]
    directory.stream_stopped(stream, 4)
    assert recorded.names() == ["StreamRemoved"]


def test_other_publishers_end_with_their_member() -> None:
    for transport in ("webrtc", "whip"):
        recorded = Recorded()
        stream = allocated(recorded)
        recorded.directory.leave(_publishing(recorded, stream, transport), "left", 2)
        assert not recorded.directory.is_live(stream)
        recorded.take()
        recorded.enter("alice", now=3)
        assert recorded.names() == ["RoomCreated", "MemberEntered"]


def _publishing(recorded: Recorded, stream: str, transport: str):  # type: ignore[no-untyped-def]
    member = recorded.enter("alice", now=0)
    recorded.directory.stream_started(stream, transport=transport, audio=True, now=1)
    return member


def test_a_roomless_stream_becomes_a_members_when_its_id_is_named() -> None:
    recorded = Recorded()
    directory = recorded.directory
    directory.stream_started("8888_node_ab12", transport="rtmp", audio=True, video=True, now=0)
    member = recorded.enter("alice", now=1)
    recorded.take()
    directory.claim_stream("8888_node_ab12", ROOM, "alice")
    assert [type(event) for event in recorded.take()] == [events.StreamAdded]
    assert member.streams[MAIN].stream_id == "8888_node_ab12"
    assert directory.stream_id(ROOM, "alice", MAIN, hex_source()) == "8888_node_ab12"
    recorded.enter("bob")
    with pytest.raises(NotPermitted):
        directory.claim_stream("8888_node_ab12", ROOM, "bob")
    with pytest.raises(NotPermitted):
        directory.claim_stream("8888_node_ab12", ROOM, "alice", AUX)


def test_get_push_url_names_a_roomless_stream_too() -> None:
    """A business server signed 8888_1_alice itself; the phone pushes, and then asks for its URL."""
    recorded = Recorded()
    recorded.directory.stream_started("8888_1_alice", transport="rtmp", audio=True, now=0)
    recorded.enter("alice", now=1)
    recorded.take()
    assert allocated(recorded) == "8888_1_alice"
    assert recorded.names() == ["StreamAdded"]
    recorded.directory.expire(1000)  # and keeps the member alive from now on
    assert recorded.names() == []
    changed = recorded.directory.take_changes().members[(APP, "alice")]
    assert changed is not None and [stream.stream_id for stream in changed.streams] == ["8888_1_alice"]


def test_an_id_issued_without_a_room_follows_its_user() -> None:
    recorded = Recorded()
    directory = recorded.directory
    stream = directory.roomless_stream_id(APP, "alice", hex_source())
    directory.stream_started(stream, transport="rtmp", audio=True, now=0)
    for room in (ROOM, OTHER):
        recorded.enter("alice", room, now=1)
        recorded.take()
        directory.claim_stream(stream, room, "alice")
        directory.claim_stream(stream, room, "alice")
        assert recorded.names() == ["StreamAdded"]
        assert directory.roomless_stream_id(APP, "alice", hex_source()) == stream
    recorded.enter("bob", OTHER)
    with pytest.raises(NotPermitted):
        directory.claim_stream(stream, OTHER, "bob")
    with pytest.raises(NotPermitted):
        directory.claim_stream(stream, RoomKey(APP + 1, "2"), "alice")


def test_claiming_another_id_replaces_the_shown_stream() -> None:
    recorded = Recorded()
    directory = recorded.directory
    member = recorded.enter("alice")
    old = allocated(recorded)
    directory.stream_started(old, transport="rtmp", audio=True, now=0)
    directory.stream_started("8888_other", transport="rtmp", audio=True, now=1)
    recorded.take()
    directory.claim_stream("8888_other", ROOM, "alice")
    assert recorded.names() == ["StreamRemoved", "StreamAdded"]
    assert member.streams[MAIN].stream_id == "8888_other"
    directory.stream_stopped(old, 2)
    assert recorded.take() == []


def test_ids_allocated_by_another_process_are_adopted() -> None:
    from gateway.rooms.directory import StreamIdRecord

    recorded = Recorded()
    directory = recorded.directory
    directory.stream_started("8888_s00", transport="rtmp", audio=True, now=0)
    recorded.enter("alice")
    recorded.take()
    record = StreamIdRecord("8888_s00", APP, ROOM, "alice", MAIN)
    directory.adopt_stream_ids([record])
    directory.adopt_stream_ids([StreamIdRecord("8888_s00", APP, ROOM, "mallory", MAIN)])  # known already: no change
    assert recorded.names() == ["StreamAdded"]
    assert directory.issued_to("8888_s00") == (APP, "alice")
    assert "8888_s00" not in directory.take_changes().stream_ids


# --- URLs


def test_urls_are_remembered_for_the_whole_stay() -> None:
    recorded = Recorded()
    directory = recorded.directory
    member = recorded.enter("alice")
    directory.remember_url(member, "rtc:8888_1_bob", "rtmp://one")
    recorded.enter("alice", session=Session())
    assert member.urls == {"rtc:8888_1_bob": "rtmp://one"}
    for number in range(300):
        directory.remember_url(member, f"rtc:{number}", "rtmp://more")
    assert len(member.urls) == 256 and "rtc:299" in member.urls
    directory.leave(member, "left", 1)
    assert member.urls == {}
    directory.remember_url(member, "rtc:late", "rtmp://late")
    assert member.urls == {}
    assert recorded.enter("alice").urls == {}


def test_in_use_looks_at_rooms_and_publishers() -> None:
    recorded = Recorded()
    table: StreamTable = recorded.directory._register.streams
    stream = allocated(recorded)
    assert not table._is_in_use(stream)
    recorded.enter("bob")
    assert table._is_in_use(stream)
    recorded.directory.stream_started("8888_loose", transport="rtmp", now=0)
    assert table._is_in_use("8888_loose")
