/** `<rtc-room>` against made-up answers: properties, methods, events and error codes. */
const { handset } = require('./stage.js');
const { noted } = require('./tags.js');
const { CHANGED, PUSH, ServiceWorld, notice } = require('./service_world.js');

const calls = [];
const phone = handset(noted(calls), 'rtc-room');
let world;
let made;

beforeEach(() => {
  jest.useFakeTimers();
  calls.length = 0;
  world = new ServiceWorld('multi_room');
});

afterEach(async () => {
  made.remove();
  phone.rtcroom.logout();
  await world.tick();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

/** On a page, logged in. */
async function put(properties, ...others) {
  world.others = others;
  await world.login(phone.rtcroom);
  made = phone.put(properties);
  await world.tick();
  return made;
}

/** In the room r1, publishing. */
async function enter(properties, ...others) {
  await put({ roomID: 'r1', template: '1v3', ...properties }, ...others);
  made.room.start();
  await world.tick();
  made.pusherSays(1002);
  await world.tick();
  expect(made.errors()).toEqual([]);
  return made;
}

const shown = () => made.members.map(({ userID }) => userID);

test('properties have the defaults of the stock component', async () => {
  await put({});
  expect(made.rendered.data).toMatchObject({
    roomID: '', roomInfo: '', template: '', beauty: 5, aspect: '3:4', minBitrate: 200, maxBitrate: 400, muted: false,
    debug: false, enableCamera: true,
  }); // prettier-ignore
});

test('without a room it makes one, pushes, and enters only when the push has begun (quirk 19)', async () => {
  await put({ roomInfo: 'Lesson', template: '1v1' });
  made.room.start();
  await world.tick();
  expect(world.names.slice(1)).toEqual(['create_room', 'get_push_url']);
  expect(world.bodies('create_room')).toEqual([{ userID: 'me', roomInfo: 'Lesson' }]);
  expect(world.bodies('get_push_url')).toEqual([{ userID: 'me', roomID: 'r1' }]);
  expect(calls).toEqual([['pusher', 'start', PUSH]]);
  expect(made.get('#rtcpusher').data).toMatchObject({ url: PUSH, mode: 'RTC', aspect: '3:4', audioQuality: 'high', backgroundMute: true });
  [1005, 1003, 1007, 1008, 1001, 1002, 1002].forEach((code) => made.pusherSays(code));
  await world.tick();
  expect(world.names.slice(3)).toEqual(['add_pusher', 'get_pushers']);
  expect(world.bodies('add_pusher')[0]).toMatchObject({ roomID: 'r1', roomInfo: 'Lesson', pushURL: PUSH });
  expect(made.room.getRoomInfo()).toMatchObject({ roomID: 'r1', roomCreator: 'me', isDestory: false });
  expect(made.room.getAccountInfo()).toMatchObject({ userID: 'me', token: 't1' });
  // Again: the room that was made.
  made.room.stop();
  made.room.start();
  await world.tick();
  expect(world.bodies('create_room')).toHaveLength(1);
});

test.each([['roomID', 'roomInfo'], ['roomid', 'roomname'], ['roomId', 'roomName']])(
  'with a room (%s, %s) it enters that, and shows the others at once', async (id, info) => {
    await put({ [id]: 'r1', [info]: 'Lesson', template: '1v3' }, 'host', 'bob');
    made.room.start();
    await world.tick();
    expect(world.names.slice(1).sort()).toEqual(['get_push_url', 'get_pushers']);
    expect(shown()).toEqual(['host', 'bob']);
    expect(made.get('#player-host').data).toMatchObject({
      src: 'rtmp://gw.example/live/8888_host?txSecret=2', mode: 'RTC', autoplay: true, minCache: 0.1, maxCache: 0.3, objectFit: 'fillCrop',
    }); // prettier-ignore
    expect(made.members[0].userName).toBe('HOST');
    made.pusherSays(1002);
    await world.tick();
    expect(world.bodies('add_pusher')[0]).toMatchObject({ roomID: 'r1', roomInfo: 'Lesson' });
  });

test('members come and go, each keeps its player', async () => {
  await enter({}, 'host');
  calls.length = 0;
  world.others = ['host', 'bob'];
  await world.receive(CHANGED);
  world.others = ['bob'];
  await world.receive(CHANGED);
  expect(shown()).toEqual(['bob']);
  expect(calls.map(([who, what]) => `${who} ${what}`)).toEqual(['player-bob play', 'player-host stop']);
});

test('1002 that some builds forget: taken as said 5 s after the first other sign', async () => {
  await put({ roomID: 'r1' });
  made.room.start();
  await world.tick();
  made.pusherSays(1005);
  await world.tick(4999);
  expect(world.names).not.toContain('add_pusher');
  made.pusherSays(1102); // a lost connection is no sign
  await world.tick(60000);
  expect(world.names).not.toContain('add_pusher');
  made.pusherSays(1001);
  await world.tick(5000);
  expect(world.names).toContain('add_pusher');
});

describe('errors', () => {
  test.each([
    ['create_room', {}, -2],
    ['get_push_url', { roomID: 'r1' }, -1],
    ['get_push_url', {}, -1],
    ['add_pusher', { roomID: 'r1' }, -3],
    ['/im join', { roomID: 'r1' }, -3],
  ])('%s refused is %d, and the end', async (name, properties, code) => {
    world.instead[name] = { code: 5001, name: 'full', message: 'full' };
    await put(properties);
    made.room.start();
    await world.tick();
    if (made.get('#rtcpusher').data.url) made.pusherSays(1002);
    await world.tick();
    const [{ detail }] = made.told('error');
    expect([made.errors(), detail.includes('full')]).toEqual([[code], true]);
    const before = world.names.length;
    await world.tick(30000);
    expect([world.names.length, made.rendered.data.pushURL]).toEqual([before, '']);
  });

  test.each([[-1301, -4], [-1302, -5], [-1307, -6], [5000, 5000]])('pusher state %d is %d, and the end', async (state, code) => {
    await enter({}, 'host');
    made.pusherSays(state);
    await world.tick();
    expect([made.errors(), shown()]).toEqual([[code], []]);
    expect(world.names.slice(-1)).toEqual(['delete_pusher']);
    expect(calls.slice(-2).map(([who, what]) => `${who} ${what}`)).toEqual(['player-host stop', 'pusher stop']);
  });

  test.each([1001, 1003, 1101, 1102, 3001, 3004, -1303])('pusher state %d changes nothing', async (state) => {
    await enter({}, 'host');
    made.pusherSays(state);
    await world.tick();
    expect([made.errors(), shown()]).toEqual([[], ['host']]);
  });

  test.each([10001, 10002])('no permission (%d) is -7', async (errCode) => {
    await enter({});
    made.get('#rtcpusher').instance.triggerEvent('error', { errCode, errMsg: 'no' });
    expect(made.errors()).toEqual([-7]);
  });

  test('more than the template shows is -8, once', async () => {
    await put({ roomID: 'r1', template: '1v1' }, 'host', 'bob');
    made.room.start();
    await world.tick();
    made.pusherSays(1002);
    await world.tick();
    expect([made.errors(), shown()]).toEqual([[-8], ['host']]);
  });

  test('a member that cannot be played for long is -9, and is tried on', async () => {
    await enter({}, 'host');
    made.playerSays('host', 2004);
    for (const pause of [500, 1000, 2000, 4000]) {
      expect(made.errors()).toEqual([]);
      made.playerSays('host', -2301);
      await world.tick(pause);
    }
    expect(made.errors()).toEqual([-9]);
    calls.length = 0;
    made.playerSays('host', -2301);
    await world.tick(8000);
    expect([calls.map(([, what]) => what), made.errors()]).toEqual([['stop', 'play'], [-9]]);
  });

  test.each([
    ['kicked', () => world.receive(notice(4)), 'kick'],
    ['replaced', () => world.receive({ cmd: 'kicked', reason: 'replaced' }), 'replaced'],
  ])('%s is -10 with the reason, and a clean end', async (name, kick, reason) => {
    await enter({}, 'host');
    await kick();
    const before = world.names.length;
    await world.tick(30000);
    expect(made.told('error')).toEqual([{ tag: 'error', code: -10, detail: reason }]);
    expect([world.names.length, shown()]).toEqual([before, []]);
    expect(calls.slice(-1)[0].slice(0, 2)).toEqual(['pusher', 'stop']);
  });
});

test('both names of the event', async () => {
  await enter({}, 'host');
  await world.receive(notice(5));
  expect(made.events).toEqual([
    ['onRoomEvent', { tag: 'roomClosed', code: 0, detail: '' }], ['RoomEvent', { tag: 'roomClosed', code: 0, detail: '' }],
  ]);
  expect(shown()).toEqual([]);
});

test('text comes as JSON text, and goes', async () => {
  await enter({}, 'host');
  await world.say('host', ['hello']);
  const [{ code, detail }] = made.told('recvTextMsg');
  expect([code, JSON.parse(detail)]).toEqual([0, {
    roomID: 'r1', userID: 'host', nickName: 'host', headPic: '', textMsg: 'hello', time: expect.any(String),
  }]); // prettier-ignore
  const sent = jest.fn();
  made.room.sendTextMsg('hi', sent);
  made.room.sendTextMsg('');
  await world.tick();
  expect([world.socket.frames('send').length, sent.mock.calls.length]).toEqual([1, 1]);
});

test.each([['1v1', 1, 'room-1v1'], ['1v3', 3, 'room-1v3'], ['grid', 3, 'room-grid'], ['float', 3, 'room-float'], ['', 3, 'room-1v3']])(
  'template %p shows %d others', async (template, most, style) => {
    await put({ roomID: 'r1', template }, ...['ann', 'bob', 'carol'].slice(0, most));
    made.room.start();
    await world.tick();
    expect([made.count(`.${style}`), made.count('#rtcpusher'), made.count('.room-player')]).toEqual([1, 1, most]);
    expect(made.errors()).toEqual([]);
  });

test('-2302 is normal: mode live with a small cache if nothing is seen for 5 s', async () => {
  await enter({}, 'host');
  made.playerSays('host', -2302);
  await world.tick(5000);
  expect(made.get('#player-host').data).toMatchObject({ mode: 'live', minCache: 0.2, maxCache: 0.8 });
  expect(made.errors()).toEqual([]);
});

test('pause, resume, camera', async () => {
  await enter({}, 'host');
  calls.length = 0;
  made.room.pause();
  made.room.resume();
  made.room.switchCamera();
  made.rendered.setData({ enableCamera: false });
  await world.tick();
  expect(calls.map(([who, what]) => `${who} ${what}`)).toEqual([
    'pusher pause', 'player-host pause', 'pusher resume', 'player-host resume', 'pusher switchCamera', 'pusher stop', 'pusher start',
  ]); // prettier-ignore
});

test('started before the page is ready: the tags begin when they are drawn', async () => {
  world.others = ['host'];
  await world.login(phone.rtcroom);
  made = phone.put({ roomID: 'r1', template: '1v1' }, false);
  made.room.start();
  await world.tick();
  expect(calls).toEqual([]);
  made.draw();
  await world.tick();
  expect(calls).toContainEqual(['pusher', 'start', PUSH]);
  expect(made.get('#player-host').data.src).toContain('8888_host');
});

test('stopped before the page is ready', async () => {
  await world.login(phone.rtcroom);
  made = phone.put({ roomID: 'r1' }, false);
  made.room.start();
  await world.tick();
  await world.receive({ cmd: 'kicked', reason: 'replaced' });
  expect(made.errors()).toEqual([-10]);
});

test('a page that goes leaves the room', async () => {
  await enter({}, 'host');
  made.remove();
  await world.tick();
  expect(world.names.slice(-1)).toEqual(['delete_pusher']);
});

test('left before the address has come: nothing starts', async () => {
  await put({ roomID: 'r1' });
  made.room.start();
  made.room.stop();
  await world.tick(30000);
  expect([calls.filter(([, what]) => what === 'start'), made.errors()]).toEqual([[], []]);
});

test('one component has the room: the last that was started', async () => {
  const first = await enter({}, 'host');
  made = phone.put({ roomID: 'r1', template: '1v3' });
  made.room.start();
  await world.tick();
  expect(first.members).toEqual([]);
  first.remove(); // of a page below: it takes nothing from the new one
  made.pusherSays(1002);
  await world.tick();
  expect([shown(), made.errors()]).toEqual([['host'], []]);
  await world.receive(notice(5));
  expect([made.told('roomClosed').length, first.told('roomClosed').length]).toEqual([1, 0]);
});
