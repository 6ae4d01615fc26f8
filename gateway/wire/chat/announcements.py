"""Signaling's announcements and the datachannel's, as JSON text."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from gateway.wire.chat.reading import dump
from gateway.wire.chat.values import Backlog, Body, Custom, Direct, Message, Notice, Tip


def message_json(message: Message) -> str:
    """Return the announcement of a group's message, which is also its form in history."""
    head = {
        "t": "message",
        "seq": message.seq,
        "time": message.time_ms,
        "from": message.sender,
        "nick": message.nick,
        "random": message.random,
    }
    return with_body(head, "body", message.body)


def direct_json(message: Direct) -> str:
    head = {
        "t": "c2c",
        "seq": message.seq,
        "time": message.time_ms,
        "from": message.sender,
        "nick": message.nick,
        "to": message.to,
        "random": message.random,
    }
    return with_body(head, "body", message.body)


def tip_json(tip: Tip) -> str:
    """Return the announcement of a tip: `op` is the IM's OpType."""
    shut_up = {} if tip.shut_up_s is None else {"shutUpS": tip.shut_up_s}
    return dump(
        {
            "t": "tip",
            "op": tip.op,
            "time": tip.time_ms,
            "operator": tip.operator,
            "users": list(tip.users),
            "members": tip.members,
            "changed": dict(tip.changed),
            **shut_up,
        }
    )


def custom_fields(message: Custom) -> dict[str, object]:
    """Return what both faces say of a custom message, beside its type."""
    data = base64.b64encode(message.data).decode()
    return {"from": message.sender, "cmdId": message.cmd_id, "seq": message.seq, "data": data}


def backlog_json(backlog: Backlog, head: Mapping[str, object]) -> str:
    """Return `head` with epoch, seq, first and messages, as an object for signaling."""
    return with_backlog(head, backlog, (message_json(message) for message in backlog.messages))


def notice_json(notice: Notice) -> str:
    """Return the announcement of a notice in signaling."""
    return dump({"t": "notice-group", "report": notice.report, "time": notice.time_ms, "text": notice.text})


def with_body(head: Mapping[str, object], name: str, body: Body) -> str:
    return f'{dump(head)[:-1]},"{name}":{body.json}}}'


def with_backlog(head: Mapping[str, object], backlog: Backlog, messages: Iterable[str]) -> str:
    fields = {**head, "epoch": backlog.epoch, "seq": backlog.seq, "first": backlog.first}
    return f'{dump(fields)[:-1]},"messages":[{",".join(messages)}]}}'
