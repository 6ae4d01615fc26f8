/** utils/rtcroom.js: its calls, callbacks and errors, its heartbeat, and what it does when things break. */
const { handset } = require('./stage.js');
const { CHANGED, PUSH, ServiceWorld, answers, notice } = require('./service_world.js');

const heard = { first: [], joined: [], quit: [], closed: 0, texts: [], kicked: [] };
const listeners = {
  onPusherJoin: ({ pushers }) => heard.joined.push(pushers.map(({ userID }) => userID)),
  onPusherQuit: ({ pushers }) => heard.quit.push(pushers.map(({ userID }) => userID)),
  onRoomClose: () => (heard.closed += 1),
  onRecvRoomTextMsg: (message) => heard.texts.push(message),
  onKickOut: ({ reason }) => heard.kicked.push(reason),
};
const { rtcroom } = handset();
let world;

beforeEach(() => {
  jest.useFakeTimers();
  Object.assign(heard, { first: [], joined: [], quit: [], closed: 0, texts: [], kicked: [] });
  world = new ServiceWorld('multi_room');
});

afterEach(async () => {
  rtcroom.exitRoom({});
  rtcroom.logout();
  await world.tick();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

/** Logged in and in the room r1. */
async function enter(...others) {
  world.others = others;
  await world.login(rtcroom);
  rtcroom.setListener(listeners);
  const answer = answers(rtcroom.enterRoom, { roomID: 'r1', pushURL: PUSH, roomInfo: 'Lesson' });
  await world.tick();
  expect(answer).toEqual({ good: [{}], bad: [] });
}

test('the names of the module of 2018', () => {
  expect(Object.keys(rtcroom).sort()).toEqual([
    'createRoom', 'enterRoom', 'exitRoom', 'getAccountInfo', 'getPushURL', 'getPushers', 'getRoomInfo', 'getRoomList',
    'login', 'logout', 'sendRoomTextMsg', 'setListener',
  ]); // prettier-ignore
});

describe('login', () => {
  test('asks for a token with the ticket in the query, then opens the line; quirks 10, 34: accountType is a text, the nick is the user id', async () => {
    const answer = await world.login(rtcroom, { accType: 0 });
    expect(answer.good).toEqual([{ userID: 'me', userName: 'Me' }]);
    const { url } = world.network.posts[0];
    expect(url).toBe('https://gw.example/roomservice/weapp/multi_room/login?userID=me&accountType=0&sdkAppID=1400000001&userSig=sig');
    expect(world.socket.url).toBe('wss://gw.example/im');
    expect(world.socket.sent[0]).toMatchObject({ cmd: 'login', userID: 'me', userSig: 'sig', sdkAppID: 1400000001, nickName: 'me' });
    expect(world.socket.sent[0]).not.toHaveProperty('roomID');
    expect(rtcroom.getAccountInfo()).toMatchObject({ userID: 'me', userName: 'Me', userAvatar: 'me.png', token: 't1' });
  });

  test('an address without a slash at its end will do, and no name is the user id', async () => {
    await world.login(rtcroom, { serverDomain: 'https://gw.example/weapp/multi_room', userName: '' });
    expect(world.network.posts[0].url).toContain('https://gw.example/weapp/multi_room/login?');
    expect(rtcroom.getAccountInfo().userName).toBe('me');
  });

  test.each([
    ['parameters', {}, { serverDomain: '' }, -9],
    ['refused by the service', { login: { code: 4, message: 'no' } }, {}, 4],
    ['no network', { login: new Error('request:fail') }, {}, -1],
    ['no JSON', { login: '<html>' }, {}, -1],
    ['refused for messages', { '/im login': { code: 9, name: 'bad_ticket', message: 'expired' } }, {}, -999],
    ['no line', { connect: false }, {}, -999],
  ])('that fails: %s', async (name, instead, data, code) => {
    Object.assign(world.instead, instead);
    const answer = await world.login(rtcroom, data);
    await world.tick(10000);
    expect([answer.good, answer.bad.map(({ errCode }) => errCode)]).toEqual([[], [code]]);
    if (code === 4) expect(answer.bad[0].errMsg).toBe('no[4]');
  });

  test('again: the line stays', async () => {
    await world.login(rtcroom);
    expect((await world.login(rtcroom)).good).toHaveLength(1);
    expect(world.network.sockets).toHaveLength(1);
    world.instead.login = { code: 0, userID: 'you', token: 't3' };
    expect((await world.login(rtcroom, { userID: 'you', userSig: 'other' })).good).toHaveLength(1);
    expect(world.network.sockets).toHaveLength(2);
    expect(world.network.sockets[0].closed).toBe(true);
  });
});

describe('calls', () => {
  test('lists, addresses and rooms have the shapes of 2018; userID and token stand in the query', async () => {
    await world.login(rtcroom);
    world.others = ['host'];
    const list = answers(rtcroom.getRoomList, { index: 0, cnt: 5 });
    const url = answers(rtcroom.getPushURL, { roomID: 'r1' });
    const pushers = answers(rtcroom.getPushers, { roomID: 'r1' });
    const made = answers(rtcroom.createRoom, { roomInfo: 'Lesson' });
    await world.tick();
    expect(list.good[0].rooms[0].roomID).toBe('r1');
    expect(url.good).toEqual([{ pushURL: PUSH }]);
    expect(pushers.good[0]).toMatchObject({ roomID: 'r1', roomInfo: 'Lesson', roomCreator: 'host' });
    expect(pushers.good[0].pushers.map(({ userID }) => userID)).toEqual(['host']);
    expect(made.good).toEqual([{ roomID: 'r1' }]);
    expect(world.network.posts[1].url).toBe('https://gw.example/roomservice/weapp/multi_room/get_room_list?userID=me&token=t1');
    expect(world.bodies('get_room_list')).toEqual([{ index: 0, cnt: 5 }]);
    expect(world.bodies('create_room')).toEqual([{ userID: 'me', roomInfo: 'Lesson' }]);
  });

  test('failures are {errCode, errMsg}, the server\'s words with the code in brackets', async () => {
    await world.login(rtcroom);
    for (const name of ['get_room_list', 'get_push_url', 'get_pushers', 'create_room', 'add_pusher']) {
      world.instead[name] = { code: 5001, message: 'full' };
    }
    const given = [
      answers(rtcroom.getRoomList, {}), answers(rtcroom.getPushURL, {}), answers(rtcroom.getPushers, { roomID: 'r1' }),
    ]; // prettier-ignore
    await world.tick();
    given.push(answers(rtcroom.createRoom, { roomInfo: '' }));
    await world.tick();
    given.push(answers(rtcroom.enterRoom, { roomID: 'r1', pushURL: PUSH }));
    await world.tick();
    given.forEach(({ bad }) => expect(bad).toEqual([{ errCode: 5001, errMsg: 'full[5001]' }]));
    const missing = [answers(rtcroom.enterRoom, { roomID: 'r1' }), answers(rtcroom.sendRoomTextMsg, { msg: ' ' })];
    missing.forEach(({ bad }) => expect(bad[0].errCode).toBe(-9));
  });

  test('before a login nothing is sent', () => {
    expect(answers(rtcroom.getRoomList, {}).bad[0].errCode).toBe(-9);
    expect(world.names).toEqual([]);
  });
});

describe('a stay', () => {
  test('add_pusher, group, list; exit: delete_pusher, quit', async () => {
    await enter('host', 'bob');
    expect(world.names.slice(1)).toEqual(['add_pusher', 'get_pushers']);
    expect(world.bodies('add_pusher')).toEqual([
      { roomID: 'r1', roomInfo: 'Lesson', userID: 'me', userName: 'Me', userAvatar: 'me.png', pushURL: PUSH },
    ]);
    expect(world.socket.last('join')).toMatchObject({ groupID: 'r1' });
    expect(heard.joined).toEqual([['host', 'bob']]);
    expect(rtcroom.getRoomInfo()).toMatchObject({ roomID: 'r1', roomInfo: 'Lesson', roomCreator: 'host', isDestory: false });
    expect(rtcroom.getRoomInfo().pushers.map(({ userID }) => userID)).toEqual(['host', 'bob']);
    const left = answers(rtcroom.exitRoom);
    await world.tick();
    expect(left.good).toEqual([{}]);
    expect(world.names.slice(-1)).toEqual(['delete_pusher']);
    expect(world.socket.frames('quit')).toHaveLength(1);
    expect(rtcroom.getRoomInfo().isDestory).toBe(true);
  });

  test('the first list goes to onGetPusherList where a page listens to it', async () => {
    world.others = ['host'];
    await world.login(rtcroom);
    rtcroom.setListener({ ...listeners, onGetPusherList: ({ pushers }) => heard.first.push(pushers.length) });
    rtcroom.enterRoom({ data: { roomID: 'r1', pushURL: PUSH } });
    await world.tick();
    expect([heard.first, heard.joined]).toEqual([[1], []]);
  });

  test('notifyPusherChange: who came and who went, oneself in neither', async () => {
    await enter('host');
    world.others = ['host', 'bob'];
    await world.receive(CHANGED);
    world.others = ['bob', 'carol'];
    await world.receive(CHANGED);
    expect([heard.joined, heard.quit]).toEqual([[['host'], ['bob'], ['carol']], [['host']]]);
    await world.receive(CHANGED);
    await world.receive(notice(255, '{"cmd":"notifyPusherChange"}', 'another'));
    expect([heard.joined.length, heard.quit.length, world.names.filter((name) => name === 'get_pushers').length]).toEqual([3, 1, 4]);
  });

  test('notices that come while a list is asked for are one more question', async () => {
    await enter('host');
    for (let number = 0; number < 5; number += 1) world.socket.receive(CHANGED);
    await world.tick();
    expect(world.names.filter((name) => name === 'get_pushers')).toHaveLength(3);
  });

  test.each([
    ['the group is gone (type 5)', () => world.receive(notice(5))],
    ['its list says that there is no room', () => {
      world.instead.get_pushers = { code: 1, message: 'gone' };
      return world.receive(CHANGED);
    }],
    ['it cannot be joined again after a break', async () => {
      world.instead['/im join'] = { code: 1203, name: 'no_such_room', message: 'gone' };
      world.socket.drop();
      await world.tick(300);
    }],
  ])('ends when %s: onRoomClose, no quit, no heartbeat', async (name, end) => {
    await enter('host');
    await end();
    await world.tick();
    const before = world.names.length;
    await world.tick(30000);
    expect([heard.closed, world.names.length]).toEqual([1, before]);
    expect(answers(rtcroom.exitRoom).good).toEqual([{}]);
    await world.tick();
    expect(world.names).not.toContain('delete_pusher');
  });

  test.each([
    ['by an administrator (type 4)', () => world.receive(notice(4)), 'kick'],
    ['by a login elsewhere', () => world.receive({ cmd: 'kicked', reason: 'replaced' }), 'replaced'],
    ['by a refusal after a break', async () => {
      world.instead['/im join'] = { code: 1202, name: 'not_permitted', message: 'banned' };
      world.socket.drop();
      await world.tick(300);
    }, 'not_permitted'],
  ])('ends %s: onKickOut with the reason, nothing more is sent', async (name, end, reason) => {
    await enter('host');
    await end();
    await world.tick();
    const before = world.names.length;
    await world.tick(30000);
    expect([heard.kicked, heard.closed, world.names.length]).toEqual([[reason], 0, before]);
  });

  test('a login elsewhere does not keep us from coming back', async () => {
    await enter('host');
    await world.receive({ cmd: 'kicked', reason: 'replaced' });
    const answer = answers(rtcroom.enterRoom, { roomID: 'r1', pushURL: PUSH });
    await world.tick();
    expect([answer.good.length, world.network.sockets.length]).toEqual([1, 2]);
    await world.receive(CHANGED);
    expect(heard.closed).toBe(0);
  });

  test('in and out and in again: one heartbeat, quirk 29: and no request of an earlier stay', async () => {
    await enter('host');
    await world.tick(2000);
    rtcroom.exitRoom({});
    await world.tick();
    const again = answers(rtcroom.enterRoom, { roomID: 'r1', pushURL: PUSH });
    await world.tick();
    expect(again.good).toHaveLength(1);
    const before = world.bodies('pusher_heartbeat').length;
    await world.tick(3000);
    await world.tick(7000);
    expect(world.bodies('pusher_heartbeat').length - before).toBe(2);
    world.bodies('pusher_heartbeat').forEach((body) => expect(body).toEqual({ roomID: 'r1', userID: 'me' }));
  });

  test('a group that cannot be joined is -2, and the pusher is taken back', async () => {
    await world.login(rtcroom);
    world.instead['/im join'] = { code: 1202, name: 'not_permitted', message: 'no' };
    const answer = answers(rtcroom.enterRoom, { roomID: 'r1', pushURL: PUSH });
    await world.tick();
    expect(answer.bad.map(({ errCode }) => errCode)).toEqual([-2]);
    expect(world.names.slice(-1)).toEqual(['delete_pusher']);
  });

  test('left while it is being entered: no callback, no heartbeat', async () => {
    await world.login(rtcroom);
    const answer = answers(rtcroom.enterRoom, { roomID: 'r1', pushURL: PUSH });
    rtcroom.exitRoom({});
    await world.tick(30000);
    expect(answer).toEqual({ good: [], bad: [] });
    expect(world.names.slice(1).sort()).toEqual(['add_pusher', 'delete_pusher']);
  });
});

describe('life', () => {
  test('a heartbeat after 3 s, then 7 s after each answer', async () => {
    await enter('host');
    const counts = [];
    for (const pause of [2999, 1, 6999, 1, 7000]) {
      await world.tick(pause);
      counts.push(world.bodies('pusher_heartbeat').length);
    }
    expect(counts).toEqual([0, 1, 1, 2, 3]);
  });

  test('no pusher any more (5): looked up, and added again', async () => {
    await enter('host');
    world.inside = false;
    world.instead.pusher_heartbeat = () => (world.inside ? { code: 0 } : { code: 5, message: 'no' });
    await world.tick(3000);
    expect(world.names.slice(-3)).toEqual(['pusher_heartbeat', 'get_pushers', 'add_pusher']);
    expect([heard.closed, heard.kicked, heard.quit]).toEqual([0, [], []]);
    await world.tick(3000);
    expect(world.inside).toBe(true);
  });

  test('not let in again: that is a kick', async () => {
    await enter('host');
    world.inside = false;
    Object.assign(world.instead, { pusher_heartbeat: { code: 5 }, add_pusher: { code: 4003, message: 'banned' } });
    await world.tick(3000);
    expect(heard.kicked).toEqual(['banned[4003]']);
  });

  test('quirk 30: a token is void (7) after a restart of the server: login again, the call once more', async () => {
    await enter('host');
    let valid = false;
    world.instead.pusher_heartbeat = () => (valid ? { code: 0 } : { code: 7, message: 'no' });
    world.instead.login = () => {
      valid = true;
      return { code: 0, userID: 'me', token: 't2' };
    };
    await world.tick(3000);
    const [, beat, login, again] = world.network.posts.slice(-4);
    expect([beat.name, login.name, again.name]).toEqual(['pusher_heartbeat', 'login', 'pusher_heartbeat']);
    expect(login.url).not.toContain('token');
    expect([beat.url, again.url].map((url) => url.split('token=')[1])).toEqual(['t1', 't2']);
  });

  test('a login that is refused then is the answer of the call, and asked for once', async () => {
    await enter('host');
    Object.assign(world.instead, { login: { code: 7, message: 'expired' }, get_room_list: { code: 7, message: 'no' } });
    const both = [answers(rtcroom.getRoomList, {}), answers(rtcroom.getRoomList, {})];
    await world.tick();
    both.forEach(({ bad }) => expect(bad).toEqual([{ errCode: 7, errMsg: 'expired[7]' }]));
    expect(world.names.filter((name) => name === 'login')).toHaveLength(2);
  });

  test('a list that could not be had is asked for again', async () => {
    await enter('host');
    world.instead.get_pushers = new Error('request:fail');
    await world.receive(CHANGED);
    delete world.instead.get_pushers;
    world.others = [];
    await world.tick(2000);
    expect(heard.quit).toEqual([['host']]);
  });

  test('after a break the group is joined again, and what changed meanwhile is seen', async () => {
    await enter('host');
    await world.say('host', ['before'], 1);
    world.others = ['host', 'bob'];
    world.socket.drop();
    await world.tick(300);
    expect(world.socket.last('join')).toMatchObject({ groupID: 'r1', epoch: 7, lastSeq: 1 });
    expect(heard.joined).toEqual([['host'], ['bob']]);
    await world.say('host', ['after'], 2);
    expect(heard.texts.map(({ textMsg }) => textMsg)).toEqual(['before', 'after']);
  });

  test('what a page does wrong stops nothing', async () => {
    const said = jest.spyOn(console, 'error').mockImplementation(() => {});
    await enter('host');
    rtcroom.setListener({ onPusherJoin: () => { throw new Error('page'); }, onRoomClose: listeners.onRoomClose });
    world.others = ['host', 'bob'];
    await world.receive(CHANGED);
    await world.receive(notice(5));
    expect([heard.closed, said.mock.calls.length]).toEqual([1, 1]);
    said.mockRestore();
  });
});

describe('messages', () => {
  const HEAD = '{"cmd":"CustomTextMsg","data":{"nickName":"Bob","headPic":"b.png"}}';

  test('go out as two elements whose JSON has no }} but at its end, quirk 1', async () => {
    await world.login(rtcroom, { userName: 'a}}b' });
    rtcroom.enterRoom({ data: { roomID: 'r1', pushURL: PUSH } });
    await world.tick();
    const sent = answers(rtcroom.sendRoomTextMsg, { msg: 'x }} y' });
    await world.tick();
    expect(sent.good).toHaveLength(1);
    const { body } = world.socket.last('send');
    expect(body.map(({ MsgType }) => MsgType)).toEqual(['TIMCustomElem', 'TIMTextElem']);
    const { Data } = body[0].MsgContent;
    expect(Data.indexOf('}}')).toBe(Data.length - 2);
    expect(JSON.parse(Data)).toEqual({ cmd: 'CustomTextMsg', data: { nickName: 'a}}b', headPic: 'me.png' } });
    expect(body[1].MsgContent.Text).toBe('x }} y');
  });

  test.each([
    ['two elements', [[HEAD], 'hi }} there'], { nickName: 'Bob', headPic: 'b.png', textMsg: 'hi }} there' }],
    ['the C++ client', [[HEAD.replace('headPic', 'headpic')], 'hi'], { headPic: 'b.png' }],
    ['a browser', ['plain ', 'text'], { nickName: 'bob', headPic: '', textMsg: 'plain text' }],
    ['the webrtc demo', [['hello', 'TEXT', '{"nickName":"B"}']], { nickName: 'B', textMsg: 'hello' }],
  ])('of %s', async (name, body, message) => {
    await enter('host');
    await world.say('bob', body);
    expect(heard.texts).toHaveLength(1);
    expect(heard.texts[0]).toMatchObject({ roomID: 'r1', userID: 'bob', ...message });
    expect(heard.texts[0].time).toMatch(/^\d\d:\d\d:\d\d$/);
  });

  test.each([
    ['no JSON', [['nonsense'], 'x']],
    ['JSON that is no object', [['[1]'], 'x']],
    ['another command', [['{"cmd":"Other","data":{}}'], 'x']],
    ['no data', [['{"cmd":"CustomTextMsg"}'], 'x']],
  ])('quirk 1: %s says nothing, and the next is heard', async (name, body) => {
    await enter('host');
    await world.say('bob', body, 1);
    await world.receive(notice(255, 'no JSON'));
    await world.receive(notice(255, 'null'));
    await world.receive({ cmd: 'c2c', messages: [{ From_Account: 'bob', MsgBody: null }] });
    await world.say('bob', ['next'], 2);
    expect(heard.texts.map(({ textMsg }) => textMsg)).toEqual(['next']);
  });

  test('a tip has neither sender nor time', async () => {
    await enter('host');
    await world.receive({ cmd: 'tip', groupID: 'r1', time: 1, detail: { OpType: 1, List_Account: ['bob'], Operator_Account: 'bob' } });
    await world.receive({ cmd: 'tip', groupID: 'r1', time: 1, detail: { OpType: 2, Operator_Account: 'bob' } });
    await world.receive({ cmd: 'tip', groupID: 'r1', time: 1, detail: { OpType: 6 } });
    await world.receive({ cmd: 'tip' });
    const tip = { roomID: 'r1', userID: '', nickName: '', headPic: '', time: '' };
    expect(heard.texts).toEqual([{ ...tip, textMsg: 'bob进入房间' }, { ...tip, textMsg: 'bob离开房间' }]);
  });

  test('one that is refused fails by name', async () => {
    await enter('host');
    world.instead['/im send'] = { code: 1212, name: 'muted', message: 'not now' };
    const sent = answers(rtcroom.sendRoomTextMsg, { msg: 'hello' });
    await world.tick();
    expect(sent.bad).toEqual([{ errCode: -1, errMsg: 'not now[muted]' }]);
    expect(answers(rtcroom.exitRoom).bad).toEqual([]);
    expect(answers(rtcroom.sendRoomTextMsg, { msg: 'late' }).bad[0].errCode).toBe(-2);
  });
});
