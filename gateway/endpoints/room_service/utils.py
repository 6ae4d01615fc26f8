"""The calls under `/weapp/utils/`: a login for guests, addresses to try, and the statistics that nobody keeps."""

from __future__ import annotations

import logging
from typing import Final

from gateway.base.errors import BadRequest, BadTicket
from gateway.endpoints.cors import Access
from gateway.endpoints.entry import Entry, PlayForm
from gateway.endpoints.room_service.addresses import Addresses
from gateway.endpoints.room_service.calls import BAD_AUTH, BUSY, NEEDS_SIG, NO_PUSHERS, Answer, Call, Refuse
from gateway.endpoints.room_service.sessions import Sessions
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import check_user_id

log = logging.getLogger(__name__)

SIG_SECONDS: Final = 30 * 86400


class UtilCalls:
    def __init__(self, entry: Entry, access: Access, sessions: Sessions, addresses: Addresses) -> None:
        self._entry = entry
        self._access = access
        self._sessions = sessions
        self._addresses = addresses

    def get_login_info(self, call: Call) -> Answer:
        """A userSig for guests; who has one already gets it back, verified."""
        tickets, user_id, user_sig = self._entry.tickets, call.query("userID"), call.query("userSig")
        app = tickets.default
        if user_sig:
            try:
                app = tickets.app_of(user_sig)
                user_id = tickets.user(app, user_id or None, user_sig)
            except BadTicket as error:
                raise Refuse(NEEDS_SIG, error) from None
        else:
            if not self._access.is_guest(call.request):
                raise Refuse(NEEDS_SIG)
            user_id = user_id or self._entry.draw_user_id()
            try:
                check_user_id(user_id)
            except BadRequest as error:
                raise Refuse(BAD_AUTH, error) from None
            if self._entry.is_protected(app.sdk_app_id, user_id):
                raise Refuse(NEEDS_SIG)
            try:
                user_sig = tickets.mint_user(app, user_id, SIG_SECONDS)
            except ValueError as error:
                log.warning("! no userSig for app %d: %s", app.sdk_app_id, error)
                raise Refuse((NO_PUSHERS[0], "请求失败，签名生成失败")) from None
        return {"sdkAppID": app.sdk_app_id, "accType": "0", "userID": user_id, "userSig": user_sig}

    def get_test_pushurl(self, call: Call) -> Answer:
        """Addresses of a stream that is nobody's: to push to, and to play in every form."""
        self._check(call)
        entry, app, bases = self._entry, self._entry.tickets.default, self._addresses.bases(call)
        stream, user_id = f"{app.bizid}_{entry.random(8).hex()}", entry.draw_user_id()
        push = entry.urls.push(app, stream, user_id, Privilege.ALL, bases)
        if not push or not app.bizid:
            raise Refuse(BUSY)

        def play(form: PlayForm) -> str:
            return entry.urls.play(app, stream, user_id, Privilege.ALL, form, bases)

        flv = play("flv")
        return {
            "url_push": push,
            "url_play_flv": flv,
            "url_play_rtmp": play("rtmp"),
            "url_play_hls": flv.replace(f"/live/{stream}.flv", f"/live/{stream}.m3u8"),
            "url_play_acc": play("rtc"),
        }

    def get_test_rtmpaccurl(self, call: Call) -> Answer:
        self._check(call)
        entry, app = self._entry, self._entry.tickets.default
        stream = f"{app.bizid}_testclock_rtmpacc"
        bases = self._addresses.bases(call)
        return {"url_rtmpacc": entry.urls.play(app, stream, entry.draw_user_id(), Privilege.ALL, "rtc", bases)}

    def report(self, call: Call) -> Answer:
        """Statistics of a phone's connection: taken, and thrown away."""
        return {}

    def _check(self, call: Call) -> None:
        """Guests, and whoever is logged in: an address to push to is not for everybody."""
        if call.query("token"):
            self._sessions.of(call)
        elif not self._access.is_guest(call.request):
            raise Refuse(NEEDS_SIG)
