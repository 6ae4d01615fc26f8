/** `<live-room>` against made-up answers: presenter, audience, link-mic, events and error codes. */
const { handset } = require('./stage.js');
const { noted } = require('./tags.js');
const { CHANGED, PUSH, ServiceWorld, notice } = require('./service_world.js');

const MIXED = 'https://gw.example/live/8888_host.flv?txSecret=3';
const OWN = 'rtmp://gw.example/live/8888_host?txSecret=2';
const calls = [];
const phone = handset(noted(calls), 'live-room');
let world;
let made;

beforeEach(() => {
  jest.useFakeTimers();
  calls.length = 0;
  world = new ServiceWorld('live_room');
});

afterEach(async () => {
  made.remove();
  phone.liveroom.logout();
  await world.tick();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

async function put(properties) {
  await world.login(phone.liveroom);
  made = phone.put(properties);
  await world.tick();
}

async function present(properties) {
  await put({ role: 'presenter', roomname: 'Lesson', ...properties });
  made.room.start();
  await world.tick();
  made.pusherSays(1002);
  await world.tick();
  expect(made.told('created')).toHaveLength(1);
}

async function watch(properties) {
  world.others = ['host'];
  await put({ roomid: 'r1', ...properties });
  made.room.start();
  await world.tick();
  expect(made.errors()).toEqual([]);
}

const answer = (data) => world.whisper('host', { cmd: 'linkmic', data: { roomID: 'r1', ...data } });

async function link(properties) {
  await watch(properties);
  made.room.requestJoinPusher();
  await world.tick();
  await answer({ type: 'response', result: 'accept' });
  made.pusherSays(1002);
  await world.tick();
  expect(made.told('LinkOn')).toHaveLength(1);
}

const tags = () => made.told().map(({ tag }) => tag);
const shown = () => made.members.map(({ userID, place }) => [userID, place]);

test('properties have the defaults of the stock component', async () => {
  await put({});
  expect(made.rendered.data).toMatchObject({
    role: 'audience', roomid: '', roomname: '', debug: false, template: 'float', beauty: 5, muted: false, pureaudio: false,
  }); // prettier-ignore
  made.room.toggleDebug();
  made.room.toggleBeauty();
  made.room.toggleMuted();
  expect(made.rendered.data).toMatchObject({ debug: true, beauty: 0, muted: true });
  made.room.toggleBeauty();
  expect(made.rendered.data.beauty).toBe(5);
});

describe('presenter', () => {
  test('pushes, and opens the room when the push has begun; stop ends it', async () => {
    await put({ role: 'presenter', roomname: 'Lesson' });
    made.room.start();
    await world.tick();
    expect(world.names.slice(1)).toEqual(['get_push_url']);
    expect(made.get('#rtcpusher').data).toMatchObject({ url: PUSH, mode: 'RTC', aspect: '9:16', minBitrate: 850, maxBitrate: 850, enableCamera: true });
    made.pusherSays(1002);
    await world.tick();
    expect(world.names.slice(2)).toEqual(['create_room', 'add_pusher', 'get_pushers']);
    expect(world.bodies('create_room')).toEqual([{ userID: 'me', roomInfo: 'Lesson' }]);
    expect(made.told()).toEqual([{ tag: 'created', code: 0, detail: 'the room is open' }]);
    expect(made.events.map(([name]) => name)).toEqual(['RoomEvent', 'onRoomEvent']);
    made.room.stop();
    await world.tick();
    expect(world.names.slice(-1)).toEqual(['destroy_room']);
    expect(calls.slice(-1)).toEqual([['pusher', 'stop', PUSH]]);
  });

  test.each([['roomid', 'roomname'], ['roomID', 'roomName'], ['roomId', 'roomName']])('an id of its own by %s', async (id, name) => {
    await present({ [id]: 'r1', roomname: '', [name]: 'Lesson' });
    expect(world.bodies('create_room')).toEqual([{ userID: 'me', roomInfo: 'Lesson', roomID: 'r1' }]);
  });

  test('without a name the room has that of its presenter; sound only', async () => {
    await present({ roomname: '', pureaudio: true });
    expect(world.bodies('create_room')[0].roomInfo).toBe('Me');
    expect(made.get('#rtcpusher').data.enableCamera).toBe(false);
  });

  test('guests ask, come, are merged, are removed', async () => {
    await present();
    await world.whisper('ann', { cmd: 'linkmic', data: { type: 'request', roomID: 'r1', userName: 'Ann', userAvatar: '' } });
    const ann = { userID: 'ann', userName: 'Ann', userAvatar: '' };
    expect(made.told('joinPusher')).toEqual([{ tag: 'joinPusher', code: 0, detail: ann }]);
    made.room.respondJoinReq(true, ann);
    made.room.respondJoinReq(false, { userID: 'bob' });
    world.others = ['ann'];
    await world.receive(CHANGED);
    expect(shown()).toEqual([['ann', 1]]);
    expect(made.get('#player-ann').data).toMatchObject({ mode: 'RTC', minCache: 0.1, maxCache: 0.3 });
    expect(world.bodies('merge_stream')).toHaveLength(1);
    made.get('.room-close').dispatchEvent('tap');
    await world.tick();
    expect(shown()).toEqual([]);
    const said = world.socket.frames('send').map(({ to, body }) => [to, JSON.parse(body[0].MsgContent.Data).data]);
    expect(said.map(([to, { type, result }]) => [to, type, result])).toEqual([
      ['ann', 'response', 'accept'], ['bob', 'response', 'reject'], ['ann', 'kickout', undefined],
    ]);
  });

  test.each([
    ['get_push_url', -9002],
    ['create_room', -9001],
    ['add_pusher', -9001],
  ])('%s refused is %d, and the end', async (name, code) => {
    world.instead[name] = { code: 3, message: 'no' };
    await put({ role: 'presenter', roomname: 'Lesson' });
    made.room.start();
    await world.tick();
    if (made.get('#rtcpusher').data.url) made.pusherSays(1002);
    await world.tick();
    expect([made.errors(), made.rendered.data.pushURL]).toEqual([[code], '']);
  });

  test.each([[-1301, false], [-1302, false], [-1305, false], [-1306, false], [-1307, true], [5000, true]])(
    'pusher state %d is told as it is; the end: %p', async (code, end) => {
      await present();
      made.pusherSays(code);
      await world.tick();
      expect([made.errors(), world.names.includes('destroy_room')]).toEqual([[code], end]);
    });

  test('no permission is -1', async () => {
    await present();
    made.get('#rtcpusher').instance.triggerEvent('error', { errCode: 10001, errMsg: 'no' });
    expect(made.errors()).toEqual([-1]);
  });

  test.each([
    ['float', ['room-float'], 3],
    ['1v3', ['room-1u3d'], 3],
    ['vertical1v3', ['room-vertical1v3'], 3],
    ['1v1', ['room-float'], 1],
    ['unknown', ['room-float'], 3],
  ])('template %p', async (template, styles, most) => {
    await present({ template });
    expect(made.count('.room-float')).toBe(1); // alone, the presenter fills the box
    calls.length = 0;
    world.others = ['ann', 'bob', 'carol'].slice(0, most);
    await world.receive(CHANGED);
    styles.forEach((style) => expect(made.count(`.${style}`)).toBe(1));
    expect(made.rendered.data.place).toBe(0);
    expect(shown().map(([, place]) => place)).toEqual([1, 2, 3].slice(0, most));
    expect(calls.filter(([who]) => who === 'pusher')).toEqual([]); // another style touches no tag
  });
});

describe('audience', () => {
  test('plays the mixed picture, mode live, 1 to 3 s; pushes nothing', async () => {
    await watch();
    expect(world.names.slice(1)).toEqual(['get_pushers', 'add_audience']);
    expect([shown(), made.count('#rtcpusher')]).toEqual([[['host', 0]], 0]);
    expect(made.get('#player-host').data).toMatchObject({ src: MIXED, mode: 'live', minCache: 1, maxCache: 3, autoplay: true });
    // What a host with a whiteboard is asked.
    const { to, body } = world.socket.last('send');
    expect([to, JSON.parse(body[0].MsgContent.Data)]).toEqual(['host', {
      cmd: 'sketchpad', data: { userID: 'me', userName: 'Me', userAvatar: 'me.png', msg: '{"type":"request", "action":"currentPPT"}' },
    }]); // prettier-ignore
    made.room.stop();
    await world.tick();
    expect(world.names.slice(-1)).toEqual(['delete_audience']);
  });

  test('quirk 21: the host is who made the room, wherever it stands', async () => {
    world.others = ['ann', 'host'];
    await put({ roomid: 'r1' });
    made.room.start();
    await world.tick();
    expect(made.members[0]).toMatchObject({ userID: 'host', userName: 'HOST' });
  });

  test.each([['roomid'], ['roomID'], ['roomId']])('the room by %s', async (name) => {
    world.others = ['host'];
    await put({ [name]: 'r1' });
    made.room.start();
    await world.tick();
    expect(made.members).toHaveLength(1);
  });

  test.each([['get_pushers', { code: 1, message: 'gone' }], ['/im join', { code: 1203, name: 'no_such_room', message: 'gone' }]])(
    '%s refused is -9003', async (name, refusal) => {
      world.instead[name] = refusal;
      await put({ roomid: 'r1' });
      made.room.start();
      await world.tick();
      expect(made.errors()).toEqual([-9003]);
    });

  test('muted: what it hears', async () => {
    await watch({ muted: true });
    expect(made.get('#player-host').data.muted).toBe(true);
    made.room.toggleMuted();
    await world.tick();
    expect(made.get('#player-host').data.muted).toBe(false);
  });

  test('the picture that cannot be played for long is -2301', async () => {
    await watch();
    for (const pause of [500, 1000, 2000, 4000]) {
      made.playerSays('host', -2301);
      await world.tick(pause);
    }
    expect([made.errors(), made.members.length]).toEqual([[-2301], 1]);
  });

  test.each([
    ['the room ends', () => world.receive(notice(5)), 'roomClosed', -9006],
    ['it is kicked', () => world.receive(notice(4)), 'error', -9007],
    ['it logs in elsewhere', () => world.receive({ cmd: 'kicked', reason: 'replaced' }), 'error', -9007],
  ])('%s', async (name, end, tag, code) => {
    await watch();
    await end();
    expect(made.told()).toEqual([{ tag, code, detail: expect.any(String) }]);
    expect(made.members).toEqual([]);
    const before = world.names.length;
    await world.tick(30000);
    expect(world.names.length).toBe(before);
  });

  test('text and whiteboard', async () => {
    await watch();
    await world.say('host', ['hello'], 1);
    await world.say('host', [['{"board":1}', 'TXWhiteBoardExt']], 2);
    expect(made.told()).toEqual([
      { tag: 'recvTextMsg', code: 0, detail: {
        roomID: 'r1', userID: 'host', userName: 'host', userAvatar: '', message: 'hello', time: expect.any(String),
      } },
      { tag: 'sketchpadData', code: 0, detail: '{"board":1}' },
    ]); // prettier-ignore
    world.instead['/im send'] = { code: 1212, name: 'muted', message: 'not now' };
    made.room.sendTextMsg('hi');
    await world.tick();
    expect(made.errors()).toEqual([-9005]);
  });
});

describe('link-mic', () => {
  test('quirk 35: asked by either name; the host\'s own stream in mode RTC, then our picture, then LinkOn', async () => {
    await watch();
    expect(made.room.requestJionPusher).toBeInstanceOf(Function);
    calls.length = 0;
    made.room.requestJionPusher();
    made.room.requestJoinPusher(); // one at a time
    await world.tick();
    const requests = world.socket.frames('send').filter(({ body }) => body[0].MsgContent.Data.includes('"request"') && body[0].MsgContent.Data.includes('linkmic'));
    expect(requests).toHaveLength(1);
    await answer({ type: 'response', result: 'accept' });
    expect(made.get('#player-host').data).toMatchObject({ src: OWN, mode: 'RTC', minCache: 0.1, maxCache: 0.3 });
    expect(made.get('#rtcpusher').data).toMatchObject({ url: PUSH, aspect: '9:16', minBitrate: 200, maxBitrate: 300 });
    expect(calls).toContainEqual(['pusher', 'start', PUSH]);
    expect(calls.filter(([who]) => who === 'player-host').map(([, what]) => what)).toEqual(['stop', 'play']);
    expect(world.names).not.toContain('add_pusher');
    made.pusherSays(1002);
    await world.tick();
    expect(world.bodies('add_pusher')).toHaveLength(1);
    expect([tags(), made.rendered.data.place, shown()]).toEqual([['LinkOn'], 1, [['host', 0]]]);
  });

  test('guests see each other; who quits is in the audience again', async () => {
    await link();
    world.others = ['host', 'ann'];
    await world.receive(CHANGED);
    expect([made.rendered.data.place, shown()]).toEqual([1, [['host', 0], ['ann', 2]]]);
    made.room.quitLink();
    await world.tick();
    expect(world.names.slice(-1)).toEqual(['delete_pusher']);
    expect([tags(), made.count('#rtcpusher'), shown()]).toEqual([['LinkOn', 'LinkOut'], 0, [['host', 0]]]);
    expect(made.get('#player-host').data).toMatchObject({ src: MIXED, mode: 'live', minCache: 1, maxCache: 3 });
    // And once more.
    made.room.requestJoinPusher();
    await world.tick();
    await answer({ type: 'response', result: 'accept' });
    made.pusherSays(1002);
    await world.tick();
    expect(tags()).toEqual(['LinkOn', 'LinkOut', 'LinkOn']);
  });

  test('removed by the host', async () => {
    await link();
    await answer({ type: 'kickout' });
    expect([tags(), world.names.slice(-1), shown()]).toEqual([['LinkOn', 'LinkOut'], ['delete_pusher'], [['host', 0]]]);
  });

  test('refused, or no answer for 5 s: -9004', async () => {
    await watch();
    made.room.requestJoinPusher();
    await world.tick();
    await answer({ type: 'response', result: 'reject' });
    expect(made.errors()).toEqual([-9004]);
    made.room.requestJoinPusher();
    await world.tick(4999);
    expect(made.errors()).toEqual([-9004]);
    await world.tick(1);
    expect(made.errors()).toEqual([-9004, -9004]);
    expect(world.names).not.toContain('get_push_url');
  });

  test.each([['get_push_url', -1], ['add_pusher', -9004]])('%s refused is %d, and back to the mixed picture', async (name, code) => {
    await watch();
    world.instead[name] = { code: 5001, message: 'full' };
    made.room.requestJoinPusher();
    await world.tick();
    await answer({ type: 'response', result: 'accept' });
    if (code === -9004) made.pusherSays(1002);
    await world.tick();
    expect([made.errors(), tags(), made.count('#rtcpusher')]).toEqual([[code], ['LinkOut', 'error'], 0]);
    expect(made.get('#player-host').data.src).toBe(MIXED);
  });

  test('a guest whose push is lost goes on watching (-1307)', async () => {
    await link();
    made.pusherSays(-1307);
    await world.tick();
    expect([tags(), made.errors(), made.members.length]).toEqual([['LinkOn', 'LinkOut', 'error'], [-1307], 1]);
  });

  test('a guest that the room dropped for good goes on watching', async () => {
    await link();
    world.inside = false;
    world.instead.add_pusher = { code: 5001, message: 'full' };
    await world.receive(CHANGED);
    expect([tags(), made.get('#player-host').data.src]).toEqual([['LinkOn', 'LinkOut'], MIXED]);
  });

  test('no permission is -2; put away (5000) is the end', async () => {
    await link();
    made.get('#rtcpusher').instance.triggerEvent('error', { errCode: 10001, errMsg: 'no' });
    made.pusherSays(5000);
    await world.tick();
    expect([made.errors(), made.members]).toEqual([[-2, 5000], []]);
    expect(world.names.slice(-2)).toEqual(['delete_pusher', 'delete_audience']);
  });

  test('muted: our microphone, not what we hear', async () => {
    await link({ muted: true });
    expect([made.get('#rtcpusher').data.muted, made.get('#player-host').data.muted]).toEqual([true, false]);
  });

  test('a tap on the cross of our own picture ends the link', async () => {
    await link();
    made.get('.room-close').dispatchEvent('tap');
    await world.tick();
    expect(tags()).toEqual(['LinkOn', 'LinkOut']);
  });
});
