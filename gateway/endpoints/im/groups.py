"""Groups: made, joined, quit, destroyed, listed, and told something by the system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.base.errors import BadRequest, NoSuchRoom, NotPermitted
from gateway.endpoints.entry.joining import check_may_join
from gateway.endpoints.im.account import check_admin
from gateway.endpoints.im.answers import GroupTaken
from gateway.endpoints.im.moderation import Command, check_speaks
from gateway.endpoints.im.requests import Who, group_key, number, text, texts
from gateway.rooms.groups import GroupInfo
from gateway.rooms.room import RoomKey, check_user_id
from gateway.wire import chat

if TYPE_CHECKING:
    from gateway.endpoints.im.server import Im

Fields = Mapping[str, object]
Body = Mapping[str, Any]

ANONYMOUS: Final = "group_open_http_noauth_svc"
"""The service for whoever has not logged in. The library uses it for nothing else."""
EVERY: Final = "*"
BIG: Final = "AVChatRoom"
TAKEN_BY_ONESELF: Final = 10025
TAKEN_BY_ANOTHER: Final = 10021
MAX_INFO: Final = 500
MAX_TOLD: Final = 500


def create(im: Im, who: Who, body: Body) -> Fields:
    """Make a group without a room. Those that already are one, or a room's, are taken."""
    if body.get("Type", BIG) != BIG:
        raise BadRequest(f"Type: groups here are {BIG}")
    key = group_key(who, body) if body.get("GroupId") not in (None, "") else _drawn(im, who)
    owner = who.user_id
    if who.is_admin and body.get("Owner_Account"):
        owner = check_user_id(body["Owner_Account"])
    names = ("Name", "Introduction", "Notification", "FaceUrl")
    info = GroupInfo(*(text(body, name, MAX_INFO) for name in names))
    if key in im.groups:
        code = TAKEN_BY_ONESELF if _owner(im, key) == who.user_id else TAKEN_BY_ANOTHER
        raise GroupTaken("the group exists", code=code)
    im.groups.create(key, owner, im.clock(), im.now_ms(), info, limited=not who.is_admin)
    im.groups.tell(key, owner, chat.CREATED, now_ms=im.now_ms(), operator=owner)
    return {"GroupId": key.id}


def _drawn(im: Im, who: Who) -> RoomKey:
    return RoomKey(who.app, f"@TGS#{im.entry.random(8).hex().upper()}", True)


def _owner(im: Im, key: RoomKey) -> str:
    room = im.entry.directory.rooms.get(key)
    return room.creator if room is not None else im.groups.owner(key)


def join(im: Im, who: Who, body: Body) -> Fields:
    """Join a group, or say again that one is in it: with a fresh key each time."""
    key = group_key(who, body)
    if who.session is None:
        raise NotPermitted("log in first")
    check_may_join(im.entry, key, who.user_id)
    im.groups.join(key, who.user_id, im.clock(), im.now_ms())
    return _joined(key, im.delivery.give_key(who.session, key))


def join_without_login(im: Im, who: Who, body: Body) -> Fields:
    """Read a group that the operator has opened to everybody (`[messages] anonymous_groups`)."""
    if who.session is not None:
        return join(im, who, body)
    key = group_key(who, body)
    if not im.anonymous_groups & {key.id, EVERY}:
        raise NotPermitted("log in first: this group is not open to whoever has not")
    if EVERY in im.anonymous_groups and key.id not in im.anonymous_groups:
        check_may_join(im.entry, key, "")
    if key not in im.groups:
        raise NoSuchRoom(f"no group {key.id}")
    return _joined(key, im.delivery.give_key(None, key))


def _joined(key: RoomKey, secret: str) -> Fields:
    return {"JoinedStatus": "JoinedSuccess", "LongPollingKey": secret, "GroupId": key.id}


def quit(im: Im, who: Who, body: Body) -> Fields:
    """Quit. The group may just have ended, or never have been joined: that is no error."""
    key = group_key(who, body)
    if who.user_id and im.groups.quit(key, who.user_id, im.clock(), im.now_ms()):
        im.groups.tell(key, who.user_id, chat.LEFT, now_ms=im.now_ms(), operator=who.user_id)
    return {}


def destroy(im: Im, who: Who, body: Body) -> Fields:
    """End a group, and its room if it has one: everybody is told type 5."""
    key = group_key(who, body)
    if key not in im.groups:
        raise NoSuchRoom(f"no group {key.id}")
    im.entry.moderator.dismiss(None if who.is_admin else check_speaks(im, who, key), key)
    return {}


def joined_groups(im: Im, who: Who, body: Body) -> Fields:
    """List the groups that a user is in: one at most."""
    user_id = who.user_id
    if body.get("Member_Account") not in (None, "", user_id):
        if not who.is_admin:
            raise NotPermitted("Member_Account: only one's own groups are listed")
        user_id = check_user_id(body["Member_Account"])
    key = im.groups.joined(who.app, user_id)
    first, most = number(body, "Offset", chat.MAX_SEQ, 0), number(body, "Limit", chat.MAX_SEQ, 1000)
    if key is None or body.get("GroupType") not in (None, "", BIG):
        return {"TotalCount": 0, "GroupIdList": []}
    group, info = im.groups.find(key), im.groups.info(key)
    listed = {
        "GroupId": key.id,
        "Type": BIG,
        "Name": info.name or key.id,
        "NextMsgSeq": 1 if group is None else group.seq + 1,
        "MemberNum": len(im.groups.members(key)),
    }
    return {"TotalCount": 1, "GroupIdList": [listed][first:][:most]}


def notify(im: Im, who: Who, body: Body) -> Fields:
    """Tell a group, or some of its users, a text (type 255)."""
    if who.session is not None:
        raise NotPermitted("for an administrator's userSig only")
    check_admin(who)
    key, said = group_key(who, body), text(body, "Content", chat.GROUP_BYTES)
    if not said:
        raise BadRequest("Content: a text is needed")
    if key not in im.groups:
        raise NoSuchRoom(f"no group {key.id}")
    if not body.get("ToMembers_Account"):
        im.groups.notice(key, said, now_ms=im.now_ms())
        return {}
    for user_id in texts(body, "ToMembers_Account", MAX_TOLD):
        im.groups.tell(key, check_user_id(user_id), chat.CUSTOM_NOTICE, now_ms=im.now_ms(), text=said)
    return {}


COMMANDS: Final[Mapping[str, Command]] = {
    "group_open_http_svc/create_group": create,
    "group_open_http_svc/apply_join_group": join,
    "group_open_http_svc/quit_group": quit,
    "group_open_http_svc/destroy_group": destroy,
    "group_open_http_svc/get_joined_group_list": joined_groups,
    "group_open_http_svc/send_group_system_notification": notify,
    f"{ANONYMOUS}/apply_join_group": join_without_login,
    f"{ANONYMOUS}/quit_group": quit,
}
