"""Notices of the system, groups without a room, and the users of the old IM in them."""

from __future__ import annotations

import pytest

from gateway.base.config import MessagesConfig
from gateway.base.errors import NameTaken, Overloaded, TooMany
from gateway.rooms import events
from gateway.rooms.groups import (
    GroupDissolved,
    GroupInfo,
    GroupNotice,
    Groups,
    GroupTip,
    MemberJoinedGroup,
    MemberQuitGroup,
    UserNotice,
)
from gateway.rooms.groups import members as members_module
from gateway.rooms.groups.groups import MAX_TOLD
from gateway.rooms.groups.members import BARE_S, MAX_OWNED
from gateway.rooms.room import RoomKey
from gateway.wire.chat import Body

BODY = Body('[{"MsgType":"TIMTextElem","MsgContent":{"Text":"a"}}]', 1)
KEY, OTHER = RoomKey(1, "5"), RoomKey(1, "6")


def heard(groups: Groups) -> list[object]:
    seen: list[object] = []
    groups.events.on("event", seen.append)
    return seen


def test_notices_stand_in_no_list_and_leave_no_gap() -> None:
    groups = Groups()
    seen = heard(groups)
    first = groups.post(KEY, "alice", "", 1, BODY, now=0, now_ms=1000)
    groups.notice(KEY, "{}", now_ms=1001)
    second = groups.post(KEY, "alice", "", 2, BODY, now=0, now_ms=1002)
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
    groups.create(KEY, "carol", 0, 1)
    seen = heard(groups)
    for key in (KEY, KEY, OTHER):
        groups.join(key, "alice", 0, 1)
    moves = [event for event in seen if not isinstance(event, GroupTip)]
    assert moves == [MemberJoinedGroup(KEY, "alice"), MemberQuitGroup(KEY, "alice"), MemberJoinedGroup(OTHER, "alice")]
    assert groups.members(OTHER) == ("alice",) and not groups.members(KEY)


def test_who_comes_goes_or_is_thrown_out_is_tipped_to_those_who_are_there() -> None:
    groups = Groups()
    groups.join(KEY, "bobby", 0, 1)
    seen = heard(groups)
    groups.join(KEY, "alice", 0, 2000)
    groups.quit(KEY, "alice", 0, 3000)
    groups.join(KEY, "alice", 0, 4000)
    assert groups.remove(KEY, "alice", 0, 5000, "bobby") and not groups.remove(KEY, "alice", 0, 5000)
    groups.modify(KEY, {"name": "Tea", "notification": ""}, operator="bobby", now_ms=6000)
    tips = [event.message for event in seen if isinstance(event, GroupTip)]
    assert [(tip.op, tip.operator, tip.users, tip.members) for tip in tips] == [
        (1, "alice", ("alice",), 2),
        (2, "alice", ("alice",), 1),
        (1, "alice", ("alice",), 2),
        (3, "bobby", ("alice",), 1),
        (6, "bobby", (), 1),
    ]
    assert tips[-1].changed == {"GroupName": "Tea"} and groups.info(KEY) == GroupInfo("Tea")
    (told,) = (event for event in seen if isinstance(event, UserNotice))
    assert (told.user_id, told.message.report, told.message.operator) == ("alice", 4, "bobby")
    numbers = [event.message.number for event in seen if isinstance(event, GroupTip | UserNotice)]
    assert numbers == sorted(set(numbers))


def test_coming_and_going_is_not_tipped_in_large_groups_nor_without_end() -> None:
    groups = Groups()
    groups.create(KEY, "carol", 0, 1)
    for number in range(MAX_TOLD):
        groups.join(KEY, f"user{number}", 0, 1)
    seen = heard(groups)
    groups.join(KEY, "alice", 0, 1)
    assert not any(isinstance(event, GroupTip) for event in seen)
    groups.create(OTHER, "carol", 0, 1)
    for _ in range(100):
        groups.join(OTHER, "alice", 0, 1)
        groups.quit(OTHER, "alice", 0, 1)
    assert 0 < sum(isinstance(event, GroupTip) for event in seen) < 10


def test_a_group_that_somebody_made_lives_on_for_days_and_one_that_was_joined_for_minutes() -> None:
    groups = Groups()
    groups.create(KEY, "alice", 0, 1)
    with pytest.raises(NameTaken):
        groups.create(KEY, "bobby", 0, 1)
    groups.join(OTHER, "bobby", 0, 1)
    groups.post(OTHER, "bobby", "", 1, BODY, now=0, now_ms=1)
    groups.join(KEY, "bobby", 1000.0, 1)
    groups.quit(KEY, "bobby", 1000.0, 1)
    groups.expire(1000 + BARE_S - 1, 2)
    assert OTHER in groups and KEY in groups and groups.owner(KEY) == "alice"
    groups.expire(1000 + BARE_S, 2)
    assert OTHER not in groups and KEY in groups
    groups.expire(1000 + MessagesConfig().max_age_s, 2)
    assert KEY not in groups


def test_a_joined_group_in_which_nothing_was_said_goes_with_its_last_member() -> None:
    groups = Groups()
    groups.join(KEY, "alice", 0, 1)
    groups.quit(KEY, "alice", 0, 1)
    assert KEY not in groups and len(groups) == 0


def test_groups_without_a_room_are_bounded_a_user_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups()
    for number in range(MAX_OWNED):
        groups.create(RoomKey(1, f"{number + 100}"), "alice", 0, 1)
    with pytest.raises(TooMany):
        groups.create(KEY, "alice", 0, 1)
    groups.create(KEY, "alice", 0, 1, limited=False)
    groups.close(KEY)
    groups.close(RoomKey(1, "100"))
    groups.create(KEY, "alice", 0, 1)

    monkeypatch.setattr(members_module, "MAX_BARE", 2)
    groups = Groups()
    for key in (KEY, OTHER):
        groups.join(key, key.id, 0, 1)
        groups.post(key, key.id, "", 1, BODY, now=0, now_ms=1)
    with pytest.raises(Overloaded):
        groups.create(RoomKey(1, "7"), "carol", 0, 1)
    groups.quit(KEY, KEY.id, 0, 1)
    groups.create(RoomKey(1, "7"), "carol", 0, 1)
    assert KEY not in groups and OTHER in groups


def test_a_room_that_opens_under_the_name_of_a_group_takes_it_over() -> None:
    groups = Groups()
    groups.create(KEY, "alice", 0, 1)
    groups.on_room_event(events.RoomCreated(KEY, "bobby", "page"))
    assert groups.owner(KEY) == "" and not groups.group(KEY, 1).record().bare
    groups.on_room_event(events.RoomClosed(KEY, "empty"))
    assert KEY not in groups


def test_a_group_ends_with_its_room_and_its_old_members_are_told() -> None:
    groups = Groups()
    groups.on_room_event(events.RoomCreated(KEY, "alice", "page"))
    groups.join(KEY, "alice", 0, 1)
    seen = heard(groups)
    groups.on_room_event(events.RoomClosed(KEY, "empty"))
    assert isinstance(seen[0], GroupDissolved) and KEY not in groups
