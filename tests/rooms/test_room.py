from __future__ import annotations

import pytest

from gateway.base.config import RoomsConfig
from gateway.base.errors import BadRequest
from gateway.rooms.privileges import Privilege, from_bits, grants, to_receive, to_send
from gateway.rooms.room import POLICIES, Member, Room, RoomKey, StreamKind, check_user_id, policies
from tests.rooms.fakes import PAGE, ROOM


@pytest.mark.parametrize(
    ("value", "text", "id_"),
    [
        (1, False, "1"),
        (4294967294, False, "4294967294"),
        ("12345", False, "12345"),
        ("4294967294", False, "4294967294"),
        ("4294967295", True, "4294967295"),
        ("0", True, "0"),
        ("007", True, "007"),
        ("+1", True, "+1"),
        ("room_1a2b3c4d_5e6f", True, "room_1a2b3c4d_5e6f"),
        ("a" * 64, True, "a" * 64),
    ],
)
def test_canonical_decimals_are_number_rooms_everything_else_text(value: int | str, text: bool, id_: str) -> None:
    assert RoomKey.parse(7, value) == RoomKey(7, id_, text)


def test_str_room_id_is_always_the_text_room() -> None:
    assert RoomKey.parse(7, "12345", force_text=True) == RoomKey(7, "12345", True)
    assert RoomKey.parse(7, 12345, force_text=True) == RoomKey(7, "12345", True)
    assert RoomKey(7, "12345", True) != RoomKey(7, "12345", False)


@pytest.mark.parametrize(
    "value", [0, -1, 4294967295, 1 << 70, True, None, 1.0, [], "", "a" * 65, "ä", "a\nb", "\x7f", "\ud800", "1\n", "٣"]
)
def test_other_room_ids_are_bad_requests(value: object) -> None:
    with pytest.raises(BadRequest):
        RoomKey.parse(7, value)  # type: ignore[arg-type]
    if not isinstance(value, int) or value is True:
        with pytest.raises(BadRequest):
            RoomKey.parse(7, value, force_text=True)  # type: ignore[arg-type]


def test_user_ids() -> None:
    for good in ("a", "A-z_9", "u" * 32):
        assert check_user_id(good) == good
    for bad in ("", "u" * 33, "a b", "ü", "a\n", "@TIM", None, 5, "a.b"):
        with pytest.raises(BadRequest):
            check_user_id(bad)


def test_sizes_by_kind() -> None:
    kinds = {kind: policy.capacity for kind, policy in policies(RoomsConfig(max_members=7, heartbeat_s=9)).items()}
    assert kinds == {"page": 7, "lasting": 7, "webrtc": 4, "double_room": 2, "multi_room": 4, "live_room": 4}
    assert all(policy.heartbeat_s == 9 for policy in policies(RoomsConfig(heartbeat_s=9)).values())
    assert POLICIES["page"].capacity == RoomsConfig().max_members


def test_each_privilege_bit_opens_what_it_names() -> None:
    room = Room(ROOM, creator="a", info="", room_type="", policy=PAGE, created_at=0, serial=1)
    cases = {
        4: ("may_send", StreamKind.MAIN, False),
        8: ("may_receive", StreamKind.MAIN, False),
        16: ("may_send", StreamKind.MAIN, True),
        32: ("may_receive", StreamKind.MAIN, True),
        64: ("may_send", StreamKind.AUX, True),
        128: ("may_receive", StreamKind.AUX, True),
    }
    for bits in range(256):
        member = Member(room, "a", nick="", privileges=from_bits(bits), guest=False, entered_at=0)
        for privilege in Privilege:
            assert member.may(privilege) == bool(bits & privilege)
        for bit, (method, kind, video) in cases.items():
            assert getattr(member, method)(kind, video=video) == bool(bits & bit)
        assert member.may_send(StreamKind.AUX, video=False) == (bits & 68 == 68)
        assert member.may_receive(StreamKind.AUX, video=False) == (bits & 136 == 136)


def test_named_combinations() -> None:
    assert Privilege.ALL == 255 and Privilege.AUDIENCE == 42
    assert grants(Privilege.ALL, to_send(aux=True, video=False) | to_receive(aux=True, video=True))
    assert not grants(Privilege.AUDIENCE, Privilege.SEND_AUDIO)
    assert from_bits(0xFFFFFF00) == 0
