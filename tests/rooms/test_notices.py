"""Notices of the system, groups without a room, and the users of the old IM in them."""

from __future__ import annotations

import pytest

from gateway.base.errors import NameTaken
from gateway.rooms import events
from gateway.rooms.groups import GroupDissolved, GroupNotice, Groups, MemberJoinedGroup, MemberQuitGroup
from gateway.rooms.groups.groups import BARE_S
from gateway.rooms.room import RoomKey
from gateway.wire.chat import Body

KEY, OTHER = RoomKey(1, "5"), RoomKey(1, "6")


def heard(groups: Groups) -> list[object]:
    seen: list[object] = []
    groups.events.on("event", seen.append)
    return seen


def test_notices_stand_in_no_list_and_leave_no_gap() -> None:
    groups = Groups()
    seen = heard(groups)
    body = Body('[{"MsgType":"TIMTextElem","MsgContent":{"Text":"a"}}]', 1)
    first = groups.post(KEY, "alice", "", 1, body, now=0, now_ms=1000)
    groups.notice(KEY, "{}", now_ms=1001)
    second = groups.post(KEY, "alice", "", 2, body, now=0, now_ms=1002)
    assert (first.seq, second.seq) == (1, 2)
    notice = seen[1]
    assert isinstance(notice, GroupNotice) and (notice.message.report, notice.message.text) == (255, "{}")


def test_dissolving_tells_everybody_and_forgets() -> None:
    groups = Groups()
    groups.join(KEY, "alice", 0, 1)
    seen = heard(groups)
    groups.dissolve(KEY, 2)
    groups.dissolve(KEY, 3)
    assert [event.message.report for event in seen if isinstance(event, GroupDissolved)] == [5, 5]
    assert KEY not in groups and groups.joined(1, "alice") is None


def test_a_user_is_in_one_group_and_a_repeated_join_says_nothing() -> None:
    groups = Groups()
    seen = heard(groups)
    for key in (KEY, KEY, OTHER):
        groups.join(key, "alice", 0, 1)
    assert seen == [MemberJoinedGroup(KEY, "alice"), MemberQuitGroup(KEY, "alice"), MemberJoinedGroup(OTHER, "alice")]
    assert groups.members(OTHER) == ("alice",) and not groups.members(KEY)


def test_a_group_without_a_room_ends_some_time_after_its_last_member() -> None:
    groups = Groups()
    groups.create(KEY, "alice", 0, 1)
    with pytest.raises(NameTaken):
        groups.create(KEY, "bobby", 0, 1)
    groups.join(KEY, "bobby", 0, 1)
    groups.expire(BARE_S * 2, 2)
    assert KEY in groups
    groups.quit(KEY, "bobby", 1000.0)
    groups.expire(1000 + BARE_S - 1, 2)
    assert KEY in groups and groups.owner(KEY) == "alice"
    groups.expire(1000 + BARE_S, 2)
    assert KEY not in groups


def test_a_group_ends_with_its_room_and_its_old_members_are_told() -> None:
    groups = Groups()
    groups.on_room_event(events.RoomCreated(KEY, "alice", "page"))
    groups.join(KEY, "alice", 0, 1)
    seen = heard(groups)
    groups.on_room_event(events.RoomClosed(KEY, "empty"))
    assert isinstance(seen[0], GroupDissolved) and KEY not in groups
