"""The moderation commands of `/v4/group_open_http_svc/`, by name; `server.py` hands over what it does not know.

Numbers and shapes are those of the public REST calls. Whoever asks is an administrator with its userSig in the query,
or the creator of the room or group with its login; what is done, is done as by every other face (entry/moderator.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.base.errors import BadRequest, GatewayError, NoSuchRoom, NotPermitted
from gateway.endpoints.entry.joining import may_hear
from gateway.endpoints.entry.moderator import ENDLESS_S, MAX_REASON
from gateway.endpoints.im.answers import BadGroup, error_number
from gateway.endpoints.im.requests import Who, group_key, number, text, texts
from gateway.rooms.moderation import FOREVER, Medium
from gateway.rooms.room import RoomKey, check_user_id

if TYPE_CHECKING:
    from gateway.endpoints.im.server import Im

Fields = Mapping[str, object]
Body = Mapping[str, Any]
Command = Callable[["Im", Who, Body], Fields]
"""Returns the fields of an OK answer; raises a GatewayError, which the caller turns into the IM's number."""

MAX_MUTED: Final = 500
MAX_REMOVED: Final = 100
MAX_BANNED: Final = 20
MAX_ASKED: Final = 50
MAX_LISTED: Final = 100
MAX_MEMBERS: Final = 6000
MAX_INFO: Final = 500
MAX_OFFSET: Final = 0xFFFFFFFF
_TYPE: Final = "AVChatRoom"


def check_speaks(im: Im, who: Who, key: RoomKey) -> str:
    """Return as whom the caller moderates. A guest's name proves nothing where its bearer had a ticket.

    Raises NotPermitted.
    """
    if who.is_guest:
        room = im.entry.directory.rooms.get(key)
        proven = im.groups.accounts.profile(who.app, who.user_id).proven
        if (not room.creator_is_guest) if room is not None else proven:
            raise NotPermitted("a guest moderates only what a guest has made")
    return who.user_id


def _group(who: Who, body: Body) -> RoomKey:
    """Raises BadGroup."""
    try:
        return group_key(who, body)
    except BadRequest as error:
        raise BadGroup(error.message) from None


def _moderated(im: Im, who: Who, body: Body, name: str = "", limit: int = 0) -> tuple[RoomKey, str, list[str]]:
    """Return the group, as whom the caller moderates it, and the users of the list `name`: it may moderate them all.

    Raises BadGroup, NoSuchRoom, NotPermitted, BadRequest.
    """
    key = _group(who, body)
    by = check_speaks(im, who, key)
    users = [check_user_id(user_id) for user_id in texts(body, name, limit)] if name else []
    for user_id in users or [""]:
        im.entry.moderator.check(by, key, user_id)
    return key, by, users


def _unix_s(im: Im, until: float) -> int:
    """As the IM counts times: unix seconds, 4294967295 for no end."""
    return ENDLESS_S if until == FOREVER else int(im.now_ms() / 1000 - im.clock() + until)


# --- words


def mute(im: Im, who: Who, body: Body) -> Fields:
    """Let users write no more for so many seconds; 0 lets them write again."""
    key, by, users = _moderated(im, who, body, "Members_Account", MAX_MUTED)
    seconds = number(body, "MuteTime" if "MuteTime" in body else "ShutUpTime", ENDLESS_S)
    for user_id in users:
        im.entry.moderator.mute(by, key, user_id, {Medium.WORDS: seconds > 0}, seconds)
    return {}


def muted(im: Im, who: Who, body: Body) -> Fields:
    key, _, _ = _moderated(im, who, body)
    found = _muted_until(im, key)
    return {"MutedAccountList": [{"Member_Account": user_id, "MutedUntil": until} for user_id, until in found.items()]}


def muted_by_its_old_name(im: Im, who: Who, body: Body) -> Fields:
    key, _, _ = _moderated(im, who, body)
    found = _muted_until(im, key)
    return {"ShuttedUinList": [{"Member_Account": user_id, "ShuttedUntil": until} for user_id, until in found.items()]}


def _muted_until(im: Im, key: RoomKey) -> dict[str, int]:
    users = im.entry.directory.moderation.muted_users(key).items()
    return {user: _unix_s(im, mutes[Medium.WORDS].until) for user, mutes in users if Medium.WORDS in mutes}


# --- who may be in


def remove(im: Im, who: Who, body: Body) -> Fields:
    """Throw users out. Who is not in is no error."""
    key, by, users = _moderated(im, who, body, "MemberToDel_Account", MAX_REMOVED)
    silent = number(body, "Silence", 1, 0) == 1
    for user_id in users:
        im.entry.moderator.kick(by, key, user_id, silent=silent)
    return {}


def ban(im: Im, who: Who, body: Body) -> Fields:
    """Throw users out, and let them not come back for `Duration` seconds."""
    key, by, users = _moderated(im, who, body, "Members_Account", MAX_BANNED)
    seconds, reason = number(body, "Duration", ENDLESS_S), text(body, "Description", MAX_REASON)
    if seconds == 0:
        raise BadRequest("Duration: seconds are needed")
    for user_id in users:
        im.entry.moderator.ban(by, key, user_id, seconds, reason)
    return {}


def unban(im: Im, who: Who, body: Body) -> Fields:
    key, by, users = _moderated(im, who, body, "Members_Account", MAX_BANNED)
    for user_id in users:
        im.entry.moderator.unban(by, key, user_id)
    return {}


def banned(im: Im, who: Who, body: Body) -> Fields:
    """List bans, `Limit` from `Offset` on; `NextOffset` 0: that were all."""
    key, _, _ = _moderated(im, who, body)
    bans = list(im.entry.directory.moderation.bans(key).items())
    first, most = number(body, "Offset", MAX_OFFSET, 0), number(body, "Limit", MAX_LISTED, MAX_LISTED)
    listed = [
        {"Member_Account": user_id, "BannedUntil": _unix_s(im, ban.until), "Description": ban.reason}
        for user_id, ban in bans[first:][:most]
    ]
    end = first + len(listed)
    return {"BannedAccountList": listed, "NextOffset": end if listed and end < len(bans) else 0}


# --- the group itself


def modify(im: Im, who: Who, body: Body) -> Fields:
    """Change what the group says of itself, or let nobody write but moderators. Other fields are taken and not kept."""
    key, by, _ = _moderated(im, who, body)
    names = {"Name": "name", "Introduction": "introduction", "Notification": "notification", "FaceUrl": "face_url"}
    changed = {field: text(body, name, MAX_INFO) for name, field in names.items() if name in body}
    everybody = next((body[name] for name in ("MuteAllMember", "ShutUpAllMember") if name in body), None)
    if everybody not in (None, "On", "Off"):
        raise BadRequest("MuteAllMember: On or Off is needed")
    if changed:
        im.groups.modify(key, changed, operator=by, now_ms=im.now_ms())
    if everybody is not None:
        im.entry.moderator.mute_everybody(by, key, {Medium.WORDS: everybody == "On"})
    return {}


def info(im: Im, who: Who, body: Body) -> Fields:
    """Say what is known of groups. Each has a number of its own."""
    return {"GroupInfo": [_info(im, who, group) for group in texts(body, "GroupIdList", MAX_ASKED)]}


def _info(im: Im, who: Who, group: str) -> Fields:
    try:
        key = _group(who, {"GroupId": group})
        _check_may_look(im, who, key)
    except GatewayError as error:
        return {"GroupId": group, "ErrorCode": error_number(error), "ErrorInfo": error.message}
    said, found = im.groups.info(key), im.groups.find(key)
    room = im.entry.directory.rooms.get(key)
    everybody = "On" if Medium.WORDS in im.entry.directory.moderation.mutes_of_everybody(key) else "Off"
    return {
        "GroupId": key.id,
        "ErrorCode": 0,
        "ErrorInfo": "",
        "Type": _TYPE,
        "Name": said.name or (room.info if room is not None else "") or key.id,
        "Introduction": said.introduction,
        "Notification": said.notification,
        "FaceUrl": said.face_url,
        "Owner_Account": _owner(im, key),
        "NextMsgSeq": 1 if found is None else found.seq + 1,
        "MemberNum": len(_members(im, key)),
        "ApplyJoinOption": "FreeAccess",
        "MuteAllMember": everybody,
        "ShutUpAllMember": everybody,
    }


def members(im: Im, who: Who, body: Body) -> Fields:
    """List who is in the room or group, `Limit` from `Offset` on."""
    key = _group(who, body)
    _check_may_look(im, who, key)
    first, most = number(body, "Offset", MAX_OFFSET, 0), number(body, "Limit", MAX_MEMBERS, MAX_LISTED)
    found, muted = _members(im, key), _muted_until(im, key)
    owner, moderation = _owner(im, key), im.entry.directory.moderation
    room = im.entry.directory.rooms.get(key)
    listed = []
    for user_id in found[first:][:most]:
        role = "Owner" if user_id == owner else "Admin" if moderation.is_administrator(user_id) else "Member"
        until = muted.get(user_id, 0)
        entry: dict[str, object] = {"Member_Account": user_id, "Role": role, "MuteUntil": until, "ShutUpUntil": until}
        if room is not None and user_id in room.members:
            entry["JoinTime"] = _unix_s(im, room.members[user_id].entered_at)
        listed.append(entry)
    return {"MemberNum": len(found), "MemberList": listed}


def _check_may_look(im: Im, who: Who, key: RoomKey) -> None:
    """Raises NoSuchRoom, NotPermitted: who may not hear a group is told nothing of it."""
    if key not in im.groups:
        raise NoSuchRoom(f"no group {key.id}")
    if not (who.is_admin or may_hear(im.entry, key, who.user_id)):
        raise NotPermitted("the room must be entered first")


def _owner(im: Im, key: RoomKey) -> str:
    room = im.entry.directory.rooms.get(key)
    return room.creator if room is not None else im.groups.owner(key)


def _members(im: Im, key: RoomKey) -> list[str]:
    """Members of the room as they came, then who is in its group only."""
    room = im.entry.directory.rooms.get(key)
    present = room.members if room is not None else {}
    return [*present, *sorted(user_id for user_id in im.groups.members(key) if user_id not in present)]


MODERATION: Final[Mapping[str, Command]] = {
    "forbid_send_msg": mute,
    "get_group_muted_account": muted,
    "get_group_shutted_uin": muted_by_its_old_name,
    "delete_group_member": remove,
    "ban_group_member": ban,
    "unban_group_member": unban,
    "get_group_ban_member": banned,
    "modify_group_base_info": modify,
    "get_group_info": info,
    "get_group_member_info": members,
}
