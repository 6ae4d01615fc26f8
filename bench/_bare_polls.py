"""What polls cost at least: aiohttp alone holds them, and answers all with each message. Prints its address and serves.

No login, no group, no memory of who has what: one list of futures, one text that is the same for everybody.
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import web


async def serve() -> None:
    waiting: list[asyncio.Future[bytes]] = []
    count = 0

    async def poll(request: web.Request) -> web.Response:
        await request.read()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        waiting.append(future)
        return web.Response(body=await future, content_type="application/json")

    async def say(request: web.Request) -> web.Response:
        nonlocal count, waiting
        body = json.loads(await request.read())
        count += 1
        entry = {"From_Account": "user0", "MsgSeq": count, "MsgRandom": body["Random"], "MsgBody": body["MsgBody"]}
        head = {"ActionStatus": "OK", "ErrorCode": 0, "NextSeq": count, "HoldTime": 60, "Key": "0" * 32}
        answer = json.dumps({**head, "RspMsgList": [entry]}).encode()
        told, waiting = waiting, []
        for future in told:
            if not future.done():
                future.set_result(answer)
        return web.Response(body=b'{"ActionStatus":"OK"}', content_type="application/json")

    app = web.Application()
    app.add_routes([web.post("/v1/{service}/get_msg", poll), web.post("/v4/{service}/send_group_msg", say)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
