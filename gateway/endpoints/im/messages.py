"""Messages: to a group, to one user, and fetching what waits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.base.errors import NoSuchRoom, NotPermitted
from gateway.endpoints.entry.joining import may_hear
from gateway.endpoints.im.moderation import Command
from gateway.endpoints.im.requests import Who, group_key, number
from gateway.rooms.room import check_user_id
from gateway.wire import chat

if TYPE_CHECKING:
    from gateway.endpoints.im.server import Im

Fields = Mapping[str, object]
Body = Mapping[str, Any]

SYNC_MORE: Final = 1
SYNC_DONE: Final = 2
FETCHED: Final = 50
"""Messages in one answer of getmsg."""


def _sender(who: Who, body: Body) -> str:
    """An administrator may speak for any user."""
    if who.is_admin and body.get("From_Account"):
        return check_user_id(body["From_Account"])
    return who.user_id


def send_to_group(im: Im, who: Who, body: Body) -> Fields:
    key, sender = group_key(who, body), _sender(who, body)
    if who.is_admin:
        if key not in im.groups:
            raise NoSuchRoom(f"no group {key.id}")
    elif im.entry.directory.member_in(key, sender) is None:
        if im.groups.joined(who.app, sender) != key:
            raise NotPermitted("not in the group")
        if not may_hear(im.entry, key, sender):
            raise NotPermitted("the room must be entered first")
    receipt = im.groups.post(
        key,
        sender,
        im.groups.accounts.profile(who.app, sender).nick,
        number(body, "Random", chat.MAX_RANDOM),
        chat.read_body(body.get("MsgBody")),
        now=im.clock(),
        now_ms=im.now_ms(),
        priority=chat.read_priority(body.get("MsgPriority")),
    )
    return {"MsgTime": receipt.time_ms // 1000, "MsgSeq": receipt.seq}


def send_to_user(im: Im, who: Who, body: Body) -> Fields:
    """Send to one user, who may be away, or never have been here. The sender's numbers are handed on."""
    to, sender = check_user_id(body.get("To_Account")), _sender(who, body)
    seq, random = number(body, "MsgSeq", chat.MAX_SEQ, 0), number(body, "MsgRandom", chat.MAX_RANDOM)
    message = chat.read_body(body.get("MsgBody"), chat.DIRECT_BYTES)
    nick = im.groups.accounts.profile(who.app, sender).nick
    receipt = im.entry.messages.post_direct_as(who.app, sender, nick, to, random, message, seq)
    seconds = receipt.time_ms // 1000
    return {"MsgTime": seconds, "MsgKey": f"{seq}_{random}_{seconds}"}


def fetch(im: Im, who: Who, body: Body) -> Fields:
    """Return what waits for the user. `Cookie` is how far it has read, "" at first; it acknowledges all up to there."""
    if who.session is None:
        raise NotPermitted("log in first")
    read = 0 if body.get("Cookie") == "" else number(body, "Cookie", chat.MAX_SEQ, 0)
    im.delivery.acknowledge(who.session, read)
    found = im.delivery.waiting(who.session, read, FETCHED)
    entries = [json.loads(chat.direct_entry_json(direct)) for direct in found]
    return {
        "MsgList": entries,
        "SyncFlag": SYNC_MORE if len(found) == FETCHED else SYNC_DONE,
        "Cookie": str(found[-1].seq if found else read),
    }


def nothing(im: Im, who: Who, body: Body) -> Fields:
    """Reading a message is not told to its sender: the library of the mini programs throws at such a receipt."""
    return {}


COMMANDS: Final[Mapping[str, Command]] = {
    "group_open_http_svc/send_group_msg": send_to_group,
    "group_open_http_svc/msg_read_report": nothing,
    "openim/sendmsg": send_to_user,
    "openim/getmsg": fetch,
    "openim/msgreaded": nothing,
}
