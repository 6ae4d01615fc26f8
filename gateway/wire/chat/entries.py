"""The IM's own entries, for the polls and for `/im`, as JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.wire.chat.announcements import custom_fields, with_backlog, with_body
from gateway.wire.chat.reading import dump
from gateway.wire.chat.values import (
    EVENT_SYSTEM,
    EVENT_TIP,
    MAX_RANDOM,
    SYSTEM,
    Backlog,
    Custom,
    Direct,
    Message,
    Notice,
    Tip,
)


def entry_json(message: Message, group_id: str, name: str = "") -> str:
    """Return the entry of a group's message, in the shape in which the IM's own poll gives it; `name`: the group's."""
    head = {
        "Event": message.event,
        "From_Account": message.sender,
        "ToGroupId": group_id,
        "MsgSeq": message.seq,
        "MsgRandom": message.random,
        "MsgTimeStamp": message.time_ms // 1000,
        "MsgTime": message.time_ms,
        "MsgPriority": message.priority,
        "IsPlaceMsg": 0,
        "GroupInfo": {
            "GroupName": name or group_id,
            "From_AccountNick": message.nick or message.sender,
            "To_Account": group_id,
        },
    }
    return with_body(head, "MsgBody", message.body)


def direct_entry_json(message: Direct, *, numbered: bool = False) -> str:
    """Return the entry of a message to one user; `numbered`: with the NoticeSeq of the personal poll."""
    number = {"NoticeSeq": message.seq} if numbered else {}
    head = {
        "From_Account": message.sender,
        "To_Account": message.to,
        "MsgTimeStamp": message.time_ms // 1000,
        "MsgSeq": message.seq if message.sender_seq is None else message.sender_seq,
        "MsgRandom": message.random,
        **number,
    }
    return with_body(head, "MsgBody", message.body)


def entries_json(backlog: Backlog, group_id: str, head: Mapping[str, object]) -> str:
    """Return `head` with epoch, seq, first and messages, as an object for `/im`: the answer to history."""
    return with_backlog(head, backlog, (entry_json(message, group_id) for message in backlog.messages))


def message_frame(epoch: int, entries: Iterable[str]) -> str:
    """Return the frame by which `/im` brings messages of its group, oldest first; entries by `entry_json`."""
    return f'{{"cmd":"message","epoch":{epoch},"messages":[{",".join(entries)}]}}'


def direct_frame(message: Direct) -> str:
    return f'{{"cmd":"c2c","messages":[{direct_entry_json(message)}]}}'


def custom_frame(message: Custom) -> str:
    return dump({"cmd": "custom", **custom_fields(message)})


def notice_detail(notice: Notice, group_id: str) -> dict[str, object]:
    """Return the body of a notice, in the IM's names."""
    return {
        "ReportType": notice.report,
        "GroupId": group_id,
        "Operator_Account": notice.operator,
        "UserDefinedField": notice.text,
        "RemarkInfo": "",
        "MsgKey": 0,
        "Authentication": "",
    }


def notice_entry_json(notice: Notice, group_id: str) -> str:
    """Return the entry of a notice in the IM's poll. Old clients throw where GroupInfo or From_Account is missing."""
    head = _system_head(EVENT_SYSTEM, notice.number, notice.time_ms, group_id, "")
    return dump({**head, "MsgBody": notice_detail(notice, group_id)})


def personal_notice_json(notice: Notice, group_id: str) -> str:
    """Return the entry of a notice to one user, with the NoticeSeq of its poll."""
    head = _system_head(EVENT_SYSTEM, notice.number, notice.time_ms, group_id, "")
    return dump({**head, "NoticeSeq": notice.number, "MsgBody": notice_detail(notice, group_id)})


def tip_detail(tip: Tip) -> dict[str, object]:
    """Return the body of a tip, in the IM's names."""
    muted = () if tip.shut_up_s is None else tip.users
    return {
        "OpType": tip.op,
        "Operator_Account": tip.operator,
        "List_Account": list(tip.users),
        "MemberNum": tip.members,
        "MsgGroupNewInfo": dict(tip.changed),
        "MsgMemberInfo": [{"User_Account": user, "ShutupTime": tip.shut_up_s} for user in muted],
    }


def tip_entry_json(tip: Tip, group_id: str, name: str = "") -> str:
    """Return the entry of a tip in the IM's poll.

    Its sender is the system, and it has no nick: room clients take everything else for a message and parse it.
    """
    return dump({**_system_head(EVENT_TIP, tip.number, tip.time_ms, group_id, name), "MsgBody": tip_detail(tip)})


def _system_head(event: int, number: int, time_ms: int, group_id: str, name: str) -> dict[str, object]:
    return {
        "Event": event,
        "From_Account": SYSTEM,
        "ToGroupId": group_id,
        "MsgSeq": number,
        "MsgRandom": number % MAX_RANDOM,
        "MsgTimeStamp": time_ms // 1000,
        "MsgTime": time_ms,
        "MsgPriority": "COMMON",
        "IsPlaceMsg": 0,
        "GroupInfo": {"GroupName": name or group_id, "To_Account": group_id},
    }


def notice_frame(notice: Notice, group_id: str) -> str:
    """Return the frame by which `/im` tells a notice: the event that the component raises."""
    detail = notice_detail(notice, group_id)
    return dump({"cmd": "event", "tag": "error", "code": "group_system_notifys", "detail": detail})


def tip_frame(tip: Tip, group_id: str) -> str:
    """Return the frame by which `/im` tells a tip."""
    return dump({"cmd": "tip", "groupID": group_id, "time": tip.time_ms, "detail": tip_detail(tip)})
