"""Logins, profiles, and what the operator's servers ask about users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.base.errors import BadRequest, BadTicket, Refused
from gateway.endpoints.im.answers import NotAdmin
from gateway.endpoints.im.moderation import Command
from gateway.endpoints.im.requests import Who, text, texts
from gateway.endpoints.im.sessions import KICKED, LOGGED_OUT
from gateway.rooms.room import check_user_id
from gateway.wire import chat

if TYPE_CHECKING:
    from gateway.endpoints.im.server import Im

Fields = Mapping[str, object]
Body = Mapping[str, Any]

MAX_NICK: Final = 500
MAX_URL: Final = 500
MAX_ASKED: Final = 100
MAX_STATES: Final = 500
NICK: Final = "Tag_Profile_IM_Nick"
IMAGE: Final = "Tag_Profile_IM_Image"
ANOTHER_USER: Final = 13
"""Code of a ticket that is good, but not for this user."""
NO_SUCH_USER: Final = 70107
"""The IM's number for an account that cannot be."""


def check_admin(who: Who) -> None:
    """Raises NotAdmin."""
    if not who.is_admin:
        raise NotAdmin("for an administrator's userSig only")


# --- logins


def login(im: Im, who: Who, body: Body) -> Fields:
    """Log in, in the place of the user's older login, whose poll ends with 91101."""
    before = im.sessions.of(who.app, who.user_id)
    if who.guest:
        try:
            im.entry.directory.check_guest(who.app, who.user_id)
        except Refused as error:
            raise BadTicket(error.message, code=ANOTHER_USER) from None
        if before is not None and not before.guest:
            raise BadTicket(f"{who.user_id} is present by a ticket", code=ANOTHER_USER)
    else:
        im.groups.accounts.change(who.app, who.user_id, proven=True)
    group = None
    if before is not None:
        group = before.group
        im.end_session(before, KICKED)
    session, secret = im.sessions.login(who.app, who.user_id, who.guest, im.clock())
    session.group = group
    overdue = im.sessions.overdue()
    if overdue is not None:
        im.end_session(overdue, KICKED)
    # Digits, and small enough for a number of JavaScript; nothing depends on it.
    return {"TinyId": str(144115188000000000 + int(session.digest[:8], 16)), "A2Key": secret}


def logout(im: Im, who: Who, body: Body) -> Fields:
    """End the login. `longpollinglogout` names one device of it; there is only one."""
    if who.session is not None:
        im.end_session(who.session, LOGGED_OUT)
    return {}


def polling_id(im: Im, who: Who, body: Body) -> Fields:
    return {"LongPollingId": im.entry.random(8).hex(), "Timeout": im.times.told_s}


def auth_key(im: Im, who: Who, body: Body) -> Fields:
    """For the addresses of files: none are kept here, and with an empty list the library makes none."""
    return {"IpList": [], "AuthKey": "", "ExpireTime": 0}


def kick(im: Im, who: Who, body: Body) -> Fields:
    check_admin(who)
    session = im.sessions.of(who.app, check_user_id(body.get("Identifier")))
    if session is not None:
        im.end_session(session, KICKED)
    return {}


# --- profiles


def portraits(im: Im, who: Who, body: Body) -> Fields:
    tags = body.get("TagList")
    wanted = set(tags) if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) else {NICK, IMAGE}
    items = []
    for user_id in texts(body, "To_Account", MAX_ASKED):
        profile = im.groups.accounts.profile(who.app, user_id)
        known = {NICK: profile.nick, IMAGE: profile.image}
        values = [{"Tag": tag, "Value": value} for tag, value in known.items() if value and tag in wanted]
        items.append({"To_Account": user_id, "ProfileItem": values, "ResultCode": 0, "ResultInfo": ""})
    return {"UserProfileItem": items}


def set_portrait(im: Im, who: Who, body: Body) -> Fields:
    """Set nick and picture; other tags are taken and not kept. An administrator may do it for any user."""
    items = body.get("ProfileItem")
    if not isinstance(items, list) or len(items) > MAX_ASKED:
        raise BadRequest("ProfileItem: a list is needed")
    user_id = who.user_id
    if who.is_admin and body.get("From_Account") is not None:
        user_id = check_user_id(body["From_Account"])
    said = {}
    for item in items:
        if isinstance(item, dict) and item.get("Tag") in (NICK, IMAGE):
            said[item["Tag"]] = text(item, "Value", MAX_NICK if item["Tag"] == NICK else MAX_URL)
    if said:
        im.groups.accounts.change(who.app, user_id, nick=said.get(NICK), image=said.get(IMAGE))
    return {}


# --- for the operator's servers


def import_account(im: Im, who: Who, body: Body) -> Fields:
    """Make a user known. Nobody needs it here: whoever has a userSig is one."""
    check_admin(who)
    user_id = check_user_id(body.get("Identifier"))
    nick, image = text(body, "Nick", MAX_NICK), text(body, "FaceUrl", MAX_URL)
    im.groups.accounts.change(who.app, user_id, nick=nick or None, image=image or None)
    return {}


def import_accounts(im: Im, who: Who, body: Body) -> Fields:
    check_admin(who)
    failed = []
    for user_id in texts(body, "Accounts", MAX_ASKED):
        try:
            im.groups.accounts.change(who.app, check_user_id(user_id))
        except BadRequest:
            failed.append(user_id)
    return {"FailAccounts": [user_id for user_id in failed if chat.is_sound(user_id)]}


def query_state(im: Im, who: Who, body: Body) -> Fields:
    """Say who is there: by a login of the IM that polls, by `/im`, or in a room by signaling."""
    check_admin(who)
    found, wrong = [], []
    messages = im.entry.messages
    for user_id in texts(body, "To_Account", MAX_STATES):
        try:
            check_user_id(user_id)
        except BadRequest:
            if chat.is_sound(user_id):
                wrong.append({"To_Account": user_id, "ErrorCode": NO_SUCH_USER})
            continue
        online = messages.is_connected(who.app, user_id) or messages.fetches(who.app, user_id)
        found.append({"To_Account": user_id, "State": "Online" if online else "Offline"})
    return {"QueryResult": found, "ErrorList": wrong}


COMMANDS: Final[Mapping[str, Command]] = {
    "openim/login": login,
    "openim/logout": logout,
    "openim/longpollinglogout": logout,
    "openim/getlongpollingid": polling_id,
    "openim/authkey": auth_key,
    "openim/querystate": query_state,
    "profile/portrait_get": portraits,
    "profile/portrait_set": set_portrait,
    "im_open_login_svc/account_import": import_account,
    "im_open_login_svc/multiaccount_import": import_accounts,
    "im_open_login_svc/kick": kick,
}
