"""Flows: what a publisher or player may pass follows rights and mutes at once, and ends when its user is thrown out."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.endpoints.entry import Flow, Flows, Kinds, PlayGrant, PushGrant, Start
from gateway.rooms.moderation import Medium
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import POLICIES, RoomKey, StreamKind
from tests.rooms.fakes import OTHER, ROOM, Recorded, Session

BOTH, NONE, SOUND, PICTURE = Kinds(True, True), Kinds(False, False), Kinds(True, False), Kinds(False, True)


class Gate:
    def __init__(self) -> None:
        self.told: list[Kinds | str] = []

    def allow(self, kinds: Kinds) -> None:
        self.told.append(kinds)

    def cut(self, reason: str) -> None:
        self.told.append("cut")


@dataclasses.dataclass
class Setting:
    recorded: Recorded
    flows: Flows

    def push(self, user: str = "bob", granted: Privilege | None = Privilege.ALL, room: RoomKey | None = ROOM) -> Flow:
        return self.flows.follow(PushGrant(f"s_{user}", True, True, room, user, StreamKind.MAIN, granted), Gate())

    def play(self, user: str = "bob", granted: Privilege | None = Privilege.ALL) -> Flow:
        grant = PlayGrant("s_alice", True, True, Start.GOP, True, ROOM, user, StreamKind.MAIN, granted)
        return self.flows.follow(grant, Gate())


def told(flow: Flow) -> list[Kinds | str]:
    gate = flow.gate
    assert isinstance(gate, Gate)
    heard, gate.told = gate.told, []
    return heard


@pytest.fixture
def setting() -> Setting:
    recorded = Recorded()
    flows = Flows(recorded.directory)
    recorded.enter("alice", session=Session())
    recorded.enter("bob", session=Session())
    return Setting(recorded, flows)


def test_a_moderators_mute_holds_the_publisher_back_and_no_player(setting: Setting) -> None:
    moderation = setting.recorded.directory.moderation
    push, play, other = setting.push(), setting.play(), setting.push("alice")
    moderation.mute(ROOM, "bob", {Medium.AUDIO: True, Medium.WORDS: True})
    assert told(push) == [PICTURE] and told(play) == told(other) == []
    moderation.mute(ROOM, "bob", {Medium.VIDEO: True})
    assert told(push) == [NONE] == [push.allowed]
    moderation.mute(ROOM, "bob", {Medium.VIDEO: True, Medium.WORDS: False})
    assert told(push) == [], "nothing has changed for media"
    moderation.mute(ROOM, "bob", {Medium.VIDEO: False, Medium.AUDIO: False})
    assert told(push) == [BOTH]
    moderation.mute_everybody(ROOM, {Medium.VIDEO: True})
    assert told(push) == [SOUND] and told(other) == [], "the creator is spared"
    assert setting.push("carol").allowed == SOUND, "who comes later is met too"


def test_rights_taken_and_given_back_act_on_what_runs(setting: Setting) -> None:
    directory = setting.recorded.directory
    push, play = setting.push(), setting.play()
    directory.moderation.decide_rights(ROOM, "bob", Privilege.ALL & ~Privilege.SEND_VIDEO & ~Privilege.RECEIVE_AUDIO)
    assert told(push) == [SOUND] and told(play) == [PICTURE]
    directory.moderation.decide_rights(ROOM, "bob", Privilege.ENTER)
    assert told(push) == [NONE] and told(play) == [NONE]
    directory.moderation.decide_rights(ROOM, "bob", None)
    assert told(push) == [BOTH] and told(play) == [BOTH]
    member = directory.member_in(ROOM, "bob")
    assert member is not None
    directory.update_member(member, privileges=Privilege.AUDIENCE, audience=True)
    assert told(push) == [NONE] and told(play) == []


def test_a_grant_never_gives_more_than_it_says(setting: Setting) -> None:
    moderation = setting.recorded.directory.moderation
    push = setting.push(granted=Privilege.SEND_AUDIO)
    assert push.allowed == SOUND
    moderation.decide_rights(ROOM, "bob", Privilege.ALL)
    assert told(push) == []


def test_a_business_servers_url_is_bound_by_moderators_only(setting: Setting) -> None:
    directory = setting.recorded.directory
    push = setting.push(granted=None)
    member = directory.member_in(ROOM, "bob")
    assert member is not None
    directory.update_member(member, privileges=Privilege.AUDIENCE)
    assert told(push) == []
    directory.moderation.decide_rights(ROOM, "bob", Privilege.AUDIENCE)
    assert told(push) == [NONE]


def test_who_is_no_member_is_bound_by_what_moderators_decided(setting: Setting) -> None:
    moderation = setting.recorded.directory.moderation
    play = setting.play("viewer")
    moderation.decide_rights(ROOM, "viewer", Privilege.ENTER | Privilege.RECEIVE_VIDEO)
    assert told(play) == [PICTURE]
    setting.recorded.enter("viewer", privileges=Privilege.AUDIENCE)
    assert told(play) == []
    moderation.decide_rights(ROOM, "viewer", None)
    assert told(play) == [BOTH]


@pytest.mark.parametrize("banned", [False, True])
def test_a_kick_cuts_all_of_that_user_in_that_room(setting: Setting, banned: bool) -> None:
    mine = [setting.push(), setting.play(), setting.play()]
    others = [setting.push("alice"), setting.play("viewer"), setting.push(room=OTHER), setting.push(room=None)]
    setting.recorded.directory.kick(ROOM, "bob", ban=banned)
    assert [told(flow) for flow in mine] == [["cut"]] * 3 and [told(flow) for flow in others] == [[]] * 4
    setting.recorded.directory.kick(ROOM, "viewer")
    assert told(others[1]) == ["cut"], "who is no member"
    assert len(setting.flows) == 2


def test_leaving_cuts_nothing(setting: Setting) -> None:
    push, play = setting.push(), setting.play()
    member = setting.recorded.directory.member_in(ROOM, "bob")
    assert member is not None
    setting.recorded.directory.leave(member, "left", 1)
    assert told(push) == told(play) == []


def test_a_dismissed_room_cuts_everything_an_empty_one_nothing(setting: Setting) -> None:
    flows = [setting.push(), setting.play("viewer"), setting.play("", None)]
    setting.recorded.directory.close_room(ROOM)
    assert [told(flow) for flow in flows] == [["cut"]] * 3 and not len(setting.flows)
    recorded = setting.recorded
    carol = recorded.enter("carol", create=POLICIES["page"])
    flow = setting.play("carol")
    recorded.directory.leave(carol, "left", 1)
    assert ROOM not in recorded.directory.rooms and told(flow) == []


def test_a_flow_that_has_ended_hears_nothing(setting: Setting) -> None:
    push = setting.push()
    push.close()
    push.close()
    setting.recorded.directory.moderation.mute(ROOM, "bob", {Medium.AUDIO: True})
    setting.recorded.directory.kick(ROOM, "bob")
    assert told(push) == [] and not len(setting.flows)
