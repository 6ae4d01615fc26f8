"""One core, several faces: what users of the old IM do is heard by browsers and over `/im`, and the other way round."""

from __future__ import annotations

from gateway.rooms.room import POLICIES
from tests.endpoints.im.phone import ROOM, TEXT, Phone, node, phones
from tests.endpoints.world import OTHER_APP, World


async def test_the_same_messages_tips_and_notices_reach_every_face() -> None:
    async with node() as world:
        key = world.key(55)
        world.directory.create_room(key, creator="host", policy=POLICIES["live_room"], now=world.clock())
        host = await world.enter("host", 55)
        visitor = await world.login("dan", None)
        assert (await visitor.command("join", groupID=ROOM))["code"] == 0
        (alice,) = await phones(world, "alice")
        assert (await host.expect(t="tip", op=1, operator="dan"))["users"] == ["dan"]
        assert await host.expect(t="tip", op=1, operator="alice", members=2)
        tip = await visitor.expect(cmd="tip")
        assert (tip["groupID"], tip["detail"]["OpType"], tip["detail"]["List_Account"]) == (ROOM, 1, ["alice"])

        await host.request("message", random=1, body=TEXT)
        await visitor.command("send", random=2, body=TEXT)
        await alice.say(number=3)
        for client, fields in ((host, {"t": "message"}), (visitor, {"cmd": "message"})):
            heard = [await client.expect(**fields) for _ in range(3)]
            assert len(heard) == 3
        assert [sender for sender, _ in await alice.said()] == ["host", "dan", "alice"]

        world.groups.notice(key, '{"cmd":"x"}', now_ms=1)
        assert (await host.expect(t="notice-group"))["report"] == 255
        assert (await visitor.expect(code="group_system_notifys"))["detail"]["ReportType"] == 255
        await alice.quit()
        assert await host.expect(t="tip", op=2) and await visitor.expect(cmd="tip")

        world.entry.moderator.kick(None, key, "dan")
        assert (await visitor.expect(code="group_system_notifys"))["detail"]["ReportType"] == 4
        assert (await host.expect(t="tip", op=3))["users"] == ["dan"]
        assert (await visitor.command("send", random=4, body=TEXT))["name"] == "bad_request"


async def test_one_user_of_the_old_im_writes_to_browsers_of_its_own_app_only() -> None:
    async with node() as world:
        alice, bobby = await Phone(world, "alice").login(), await world.enter("bobby", 9)
        stranger = await world.connect()
        ticket = {"sdkAppId": OTHER_APP.sdk_app_id, "userId": "bobby", "userSig": world.sig("bobby", OTHER_APP)}
        assert (await stranger.request("enter", v=1, roomId=9, **ticket))["ok"]
        await alice.write("bobby", 5)
        assert (await bobby.expect(t="c2c"))["random"] == 5
        await alice.write("carol", 6)
        other = await world.connect()
        ticket |= {"userId": "carol", "userSig": world.sig("carol", OTHER_APP)}
        assert (await other.request("enter", v=1, roomId=9, **ticket))["ok"]
        carol = await world.enter("carol", 9)
        assert (await carol.expect(t="c2c"))["random"] == 6
        assert not [m for client in (stranger, other) for m in client.messages if m["t"] == "c2c"]


async def test_guests_of_one_name_share_no_mail_with_another_world() -> None:
    async with node(World()) as world:
        alice = await Phone(world, "alice").login()
        await alice.write("bobby", 1)
        assert [kept.to for kept in world.groups.waiting.of(alice.app, "bobby")] == ["bobby"]
        assert world.groups.waiting.of(OTHER_APP.sdk_app_id, "bobby") == []
