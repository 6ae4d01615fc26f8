"""A server that is stopped, and one that is killed, under clients of the old IM: their polls go on, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from pathlib import Path

import aiohttp
import pytest

from gateway.endpoints.im import Im, ImTimes
from gateway.rooms.groups import GroupSnapshot
from gateway.services.store import FILE
from tests.endpoints.im.phone import GROUPS, ROOM, Phone, node, phones, soon
from tests.endpoints.test_messages import until
from tests.endpoints.test_messages_restart import base, call, end, ports
from tests.endpoints.world import World
from tests.test_app import Served


class Running:
    """A server process, as phones see it. Their tickets are a development server's."""

    def __init__(self, server: Served, http: aiohttp.ClientSession) -> None:
        self.server, self.client = server, http
        self.sdk_app_id = int(call(server, "get_login_info", userID="somebody")["sdkAppID"])

    def sig(self, user: str) -> str:
        return str(call(self.server, "get_login_info", userID=user)["userSig"])


def written(data: Path) -> dict[str, int]:
    """How many rows there are."""
    with contextlib.closing(sqlite3.connect(f"file:{data / FILE}?mode=ro", uri=True)) as db:
        tables = ("messages", "directs", "profiles", "logins")
        return {table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_logins_keys_and_messages_over_an_end_of_the_server(tmp_path: Path, number: int) -> None:
    options = ports()
    server = await asyncio.to_thread(Served, tmp_path / "data", *options)
    again: Served | None = None
    try:
        async with aiohttp.ClientSession(base(server)) as http:
            running = await asyncio.to_thread(Running, server, http)
            alice, bobby = await asyncio.to_thread(lambda: [Phone(running, user) for user in ("alice", "bobby")])
            await alice.login()
            await bobby.login()
            assert (await alice.create(Name="Tea"))["ActionStatus"] == "OK"
            await alice.join()
            await bobby.join()
            await bobby.post(
                "v4/profile/portrait_set", {"ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "Bob"}]}
            )
            await alice.say(number=1)
            assert await bobby.said() == [("alice", "hello")]
            for one in (1, 2):
                await alice.write("bobby", one)
                if one == 1:
                    assert await bobby.heard() == [("alice", 1)]
            await alice.write("carol", 3)
            await alice.say(number=2)  # bobby does not poll any more
            await alice.listen()
            held = asyncio.create_task(alice.ask_own(alice.notice_seq))
            # What was written down outlives a kill: that is all of it, within half a second or so.
            there = {"messages": 2, "directs": 3, "profiles": 1, "logins": 2}
            await until(lambda: written(tmp_path / "data") == there, 30)
            if number == signal.SIGKILL:
                server.process.kill()
                await asyncio.to_thread(server.process.wait)
                with pytest.raises(aiohttp.ClientError):
                    await soon(held)
            else:
                await asyncio.to_thread(server.stop)
                assert (await soon(held))["ErrorCode"] == 60008, "a held poll ends well"

            again = await asyncio.to_thread(Served, tmp_path / "data", *options)
            # Neither logs in or joins again: they poll on with the numbers that they have.
            assert await bobby.said() == [("alice", "hello")]
            assert await bobby.heard() == [("alice", 2)]
            assert (await alice.say(number=2))["MsgSeq"] == 2, "a resend"
            assert (await alice.say(number=3))["MsgSeq"] == 3
            (entry,) = await bobby.poll()
            assert (entry["MsgSeq"], entry["GroupInfo"]["GroupName"]) == (3, "Tea")
            (item,) = (await alice.post("v4/profile/portrait_get", {"To_Account": ["bobby"]}))["UserProfileItem"]
            assert item["ProfileItem"] == [{"Tag": "Tag_Profile_IM_Nick", "Value": "Bob"}]
            assert (await alice.create())["ErrorCode"] == 10025
            carol = await asyncio.to_thread(Phone, await asyncio.to_thread(Running, again, http), "carol")
            await carol.login()
            assert await carol.heard() == [("alice", 3)]
        errors = server.errors.read_text() + again.errors.read_text()
        assert "hello" not in errors and "Traceback" not in errors and alice.a2 not in errors
        data = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("gateway.sqlite3*"))
        assert alice.a2.encode() not in data and alice.key.encode() not in data, "digests only"
    finally:
        end(server, again)


async def restarted(world: World, complete: bool = True) -> World:
    """The same clients at a new server, which has read what the old one wrote."""
    changes = world.groups.take_changes()
    saved = GroupSnapshot(
        tuple(record for record in changes.groups.values() if record),
        tuple((key[0], message) for key, message in changes.messages.items()),
        complete,
        tuple(kept for kept in changes.directs.values() if kept),
        tuple(profile for profile in changes.profiles.values() if profile),
        tuple(login for login in changes.logins.values() if login),
    )
    other = World()
    other.groups.restore(saved, (), world.clock(), 1)
    return other


async def test_a_key_that_was_never_used_catches_up_from_its_join_and_a_used_one_from_its_poll() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await alice.say(number=1)
        other = await restarted(world)
        # Said before the first poll after the restart, and before Bobby's very first.
        im = Im(other.entry, ImTimes(hold_s=0.2, error_s=0.05), other.clock)
        other.app.add_routes(im.routes())
        async with other:
            for phone in (alice, bobby):
                phone.world = other
            await alice.say(number=2)
            assert [entry["MsgSeq"] for entry in await bobby.poll()] == [1, 2]
            assert [entry["MsgSeq"] for entry in await alice.poll()] == [1, 2]
            assert await alice.poll() == [] == await bobby.poll()
            await alice.say(number=3)
            assert await bobby.said() == await alice.said() == [("alice", "hello")]
            assert set(other.groups.members(world.key(55))) == {"alice", "bobby"}
            assert (await bobby.quit())["ActionStatus"] == "OK"
            assert [entry["MsgBody"]["OpType"] for entry in await alice.poll()] == [2]


async def test_after_a_kill_numbers_that_are_given_again_hide_nothing() -> None:
    async with node() as world:
        alice, bobby = await phones(world, "alice", "bobby")
        await alice.say(number=1)
        lost = await restarted(world, complete=False)
        # Bobby had seen two more that nobody has any more.
        await alice.say(number=2)
        await alice.say(number=3)
        assert [entry["MsgSeq"] for entry in await bobby.poll()] == [1, 2, 3]
        im = Im(lost.entry, ImTimes(hold_s=0.2, error_s=0.05), lost.clock)
        lost.app.add_routes(im.routes())
        async with lost:
            for phone in (alice, bobby):
                phone.world = lost
            assert (await alice.say(number=4))["MsgSeq"] == 2
            assert [entry["MsgRandom"] for entry in await bobby.poll()] == [4]
            assert await bobby.poll() == []


async def test_logins_whose_group_has_ended_go_on_without_it() -> None:
    async with node() as world:
        (alice,) = await phones(world, "alice")
        changes = world.groups.take_changes()
        logins = tuple(login for login in changes.logins.values() if login)
        other = World()
        other.groups.restore(GroupSnapshot(logins=logins), (), world.clock(), 1)
        other.app.add_routes(Im(other.entry, ImTimes(hold_s=0.2, error_s=0.05), other.clock).routes())
        async with other:
            alice.world = other
            assert await alice.poll() == [] and await alice.listen() == []
            assert (await alice.say())["ErrorCode"] == 10007
            await alice.join()
            assert (await alice.say(group=ROOM))["ActionStatus"] == "OK" and GROUPS
