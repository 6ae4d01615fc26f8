/** The component against made-up answers: its properties, tags, events and error codes, one by one. */
const { stage } = require('./stage.js');
const { noted } = require('./tags.js');
const { fake, settle } = require('./wx.js');

const PUSH = 'rtmp://gw/live/8888_1001_phone?txSecret=1';
const listed = (...users) => users.map((user) => ({ userID: user, accelerateURL: `rtmp://gw/live/${user}` }));
const userlist = (...users) => users.map((user) => ({ userid: user, playurl: `rtmp://gw/live/${user}` }));
const TICKETS = {
  roomID: 1001, userID: 'phone', userName: 'Phone', userSig: 'sig', sdkAppID: 1400000001, privateMapKey: 'key',
  serverDomain: 'https://gw.example/webrtc/weapp/webrtc_room', autoplay: true,
}; // prettier-ignore

const calls = [];
const put = stage(noted(calls));
let world;
let phones = [];

beforeEach(() => {
  jest.useFakeTimers();
  calls.length = 0;
  world = fake((name) =>
    name === 'get_push_url' ? { code: 0, message: '', pushURL: PUSH, members: [] } : { code: 0, members: [] });
});

afterEach(() => {
  phones.forEach((phone) => phone.remove());
  phones = [];
  jest.useRealTimers();
});

function phone(properties) {
  const made = put({ ...TICKETS, ...properties });
  phones.push(made);
  return made;
}

async function tick(ms = 0) {
  await settle();
  jest.advanceTimersByTime(ms);
  await settle();
}

/** Start, with others in the room, up to the end of the login. */
async function enter(properties, ...users) {
  const made = phone(properties);
  world.answer = (name) =>
    name === 'get_push_url'
      ? { code: 0, message: '', pushURL: PUSH, members: listed(...users) }
      : { code: 0, members: users.map((user) => ({ userID: user, nickName: user.toUpperCase() })) };
  made.room.start();
  await tick();
  login();
  await tick();
  return made;
}

function login(fields) {
  world.socket.open();
  world.socket.answer('login', { userID: 'phone', epoch: 7, seq: 0, first: 1, ...fields });
  const event = (tag, detail) => world.socket.receive({ cmd: 'event', tag, code: 0, detail });
  event('login_event', { ActionStatus: 'OK', ErrorCode: 0, ErrorInfo: 'login success', identifierNick: 'phone' });
  event('join_group_event', { ActionStatus: 'OK', ErrorCode: 0, JoinedStatus: 'JoinedSuccess', GroupId: '1001' });
}

const entry = (seq, from, text, more) => ({
  Event: 3, From_Account: from, ToGroupId: '1001', MsgSeq: seq, MsgRandom: seq, MsgTimeStamp: 1546300800,
  MsgPriority: 'COMMON', IsPlaceMsg: 0, GroupInfo: { GroupName: '1001', From_AccountNick: from.toUpperCase() },
  MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: text } }], ...more,
}); // prettier-ignore

test('properties have the defaults of the stock component', () => {
  const { data } = put({}).rendered;
  expect(data).toMatchObject({
    roomID: 0, roomName: '', userID: '', userName: '', userSig: '', sdkAppID: 0, privateMapKey: '', template: '',
    beauty: 5, whiteness: 5, aspect: '3:4', minBitrate: 200, maxBitrate: 400, muted: false, debug: false,
    enableIM: true, roomCreator: '', useCloud: true, autoplay: false, enableCamera: true, pureAudioPushMod: 0,
    recordId: null, waitingImg: '', loadingImg: '', smallViewLeft: '1vw', smallViewTop: '1vw',
  }); // prettier-ignore
});

test('start asks for the addresses, pushes, plays, and logs in', async () => {
  const made = await enter({ template: '1v3' }, 'alice', 'bob');
  expect(world.posts[0]).toEqual({
    name: 'get_push_url',
    url: 'https://gw.example/webrtc/weapp/webrtc_room/get_push_url',
    data: { userID: 'phone', roomID: '1001', userSig: 'sig', privateMapKey: 'key', nickName: 'Phone' },
  });
  expect(world.socket.url).toBe('wss://gw.example/im');
  expect(world.socket.sent[0]).toMatchObject({
    cmd: 'login', sdkAppID: 1400000001, userID: 'phone', userSig: 'sig', roomID: 1001, privateMapKey: 'key',
  }); // prettier-ignore
  expect(made.get('#rtcpusher').data).toMatchObject({ url: PUSH, mode: 'RTC', aspect: '3:4', audioQuality: 'high' });
  expect(made.get('#player-alice').data).toMatchObject({
    src: 'rtmp://gw/live/alice', mode: 'RTC', autoplay: true, minCache: 0.1, maxCache: 0.3,
  }); // prettier-ignore
  expect(calls).toContainEqual(['pusher', 'start', PUSH]);
  expect(made.members.map(({ userID, userName }) => [userID, userName])).toEqual([['alice', 'ALICE'], ['bob', 'BOB']]);
  expect(made.errors()).toEqual([]);
});

test('a member without the right to send pushes nothing', async () => {
  const made = phone();
  world.answer = () => ({ code: 0, pushURL: '', members: listed('bob') });
  made.room.start();
  await tick();
  expect(calls.filter(([who]) => who === 'pusher')).toEqual([]);
  expect(made.count('.room-player')).toBe(1);
});

test.each([
  ['1v1', 1, ['room-1v1', 'room-place-1']],
  ['bigsmall', 1, ['room-bigsmall', 'room-place-1']],
  ['1v3', 3, ['room-1v3', 'room-place-3']],
  ['1u3d', 3, ['room-1u3d', 'room-place-3']],
  ['1l3r', 3, ['room-1l3r', 'room-place-3']],
  ['grid', 3, ['room-grid', 'room-place-3']],
  ['float', 3, ['room-float', 'room-place-3']],
  ['', 3, ['room-1v3']],
  ['unknown', 3, ['room-1v3']],
])('template %p shows %d others and says -8 beyond', async (template, most, classes) => {
  const users = ['a1', 'b1', 'c1', 'd1'];
  const made = await enter({ template }, ...users.slice(0, most));
  expect(made.count('#rtcpusher')).toBe(1);
  expect(made.count('.room-player')).toBe(most);
  classes.forEach((name) => expect(made.count(`.${name}`)).toBe(1));
  expect(made.errors()).toEqual([]);
  world.socket.receive({ cmd: 'userlist', userlist: userlist(...users.slice(0, most + 1)) });
  world.socket.receive({ cmd: 'userlist', userlist: userlist(...users.slice(0, most + 1)) });
  await tick();
  expect(made.count('.room-player')).toBe(most);
  expect(made.errors()).toEqual([-8]);
  // Who waited outside comes in when a place is free; nobody else is touched.
  calls.length = 0;
  world.socket.receive({ cmd: 'userlist', userlist: userlist(...users.slice(1, most + 1)) });
  await tick();
  expect(made.members.map(({ userID }) => userID)).toEqual(users.slice(1, most + 1));
  const added = users[most];
  expect(calls).toEqual([
    ['player-a1', 'stop', 'rtmp://gw/live/a1'], [`player-${added}`, 'play', `rtmp://gw/live/${added}`],
  ]); // prettier-ignore
});

test('the presenter has the large place', async () => {
  const made = await enter({ template: '1u3d', roomCreator: 'bob' }, 'alice', 'bob');
  expect(made.members.map(({ userID, place }) => [userID, place])).toEqual([['alice', 2], ['bob', 0]]);
  expect(made.rendered.data.place).toBe(1);
  world.socket.receive({ cmd: 'userlist', userlist: userlist('alice') });
  await tick();
  expect(made.rendered.data.place).toBe(0);
});

test('another template in mid-call: the new tags push and play again', async () => {
  const made = await enter({ template: '1v3' }, 'alice', 'bob');
  calls.length = 0;
  made.rendered.setData({ template: '1v1' });
  await tick();
  expect(made.count('.room-1v1')).toBe(1);
  expect(made.members.map(({ userID }) => userID)).toEqual(['alice']);
  expect(made.errors()).toEqual([-8]);
  expect(calls).toContainEqual(['pusher', 'start', PUSH]);
  expect(calls.filter(([who, name]) => who === 'player-alice' && name === 'play')).toHaveLength(1);
  expect(calls).toContainEqual(['player-bob', 'stop', 'rtmp://gw/live/bob']);
});

test.each([
  [-1301, -4, true],
  [-1302, -5, true],
  [-1307, -6, true],
  [1019, -10, true],
  [5000, 5000, true],
])('pusher state %d is error %d and ends the stay', async (code, error) => {
  const made = await enter({}, 'bob');
  made.pusherSays(code);
  await tick();
  expect(made.errors()).toEqual([error]);
  expect(made.events[made.events.length - 1][1]).toMatchObject({ tag: 'error', code: error });
  expect(made.members).toEqual([]);
  expect(world.socket.frames('logout')).toHaveLength(1);
  expect(calls).toContainEqual(['pusher', 'stop', PUSH]);
  expect(jest.getTimerCount()).toBe(0);
});

test.each([1001, 1002, 1003, 1005, 1006, 1007, 1008, 1018, 1101, 1102, 1103, 3001, 3002, 3003, 3004, 3005, -1303])(
  'pusher state %d changes nothing', async (code) => {
    const made = await enter({}, 'bob');
    made.pusherSays(code);
    await tick();
    expect(made.errors()).toEqual([]);
    expect(made.members).toHaveLength(1);
  });

test('1020 is a list of members, 1021 enters again', async () => {
  const made = await enter({});
  made.pusherSays(1020, JSON.stringify({ userlist: userlist('carol') }));
  await tick();
  expect(made.members.map(({ userID }) => userID)).toEqual(['carol']);
  const warned = jest.spyOn(console, 'warn').mockImplementation(() => {});
  made.pusherSays(1020, 'no JSON');
  expect(warned).toHaveBeenCalledTimes(1);
  warned.mockRestore();
  made.pusherSays(1021);
  await tick();
  expect(world.posts.filter(({ name }) => name === 'get_push_url')).toHaveLength(2);
  expect(made.errors()).toEqual([]);
});

test.each([10001, 10002])('no permission (%d) is -7', async (errCode) => {
  const made = await enter({});
  made.get('#rtcpusher').instance.triggerEvent('error', { errCode, errMsg: 'no' });
  expect(made.errors()).toEqual([-7]);
});

test('no address: asked again after 2 s, -9 after the fourth failure', async () => {
  const made = phone();
  const answers = [new Error('no network'), { code: 4001, message: 'no' }, '<html>', { code: 5001, message: 'full' }];
  world.answer = () => answers.shift();
  made.room.start();
  for (let failures = 1; failures <= 3; failures += 1) {
    await tick();
    expect([world.posts.length, made.errors()]).toEqual([failures, []]);
    await tick(1999);
    expect(world.posts.length).toBe(failures);
    await tick(1);
  }
  expect([world.posts.length, made.errors()]).toEqual([4, [-9]]);
  expect(made.events[0][1].detail).toContain('full');
  await tick(60000);
  expect([world.posts.length, world.sockets.length]).toEqual([4, 0]);
  // A page may try again.
  world.answer = () => ({ code: 0, pushURL: PUSH, members: [] });
  made.room.start();
  await tick();
  expect(world.sockets.length).toBe(1);
});

test.each([['userID', ''], ['userSig', ''], ['roomID', 0]])('without %s there is no start', async (name, value) => {
  const made = phone({ [name]: value });
  made.room.start();
  await tick();
  expect([made.errors(), world.posts]).toEqual([[-9], []]);
});

test('kicked: the page hears it, the stay is over', async () => {
  const made = await enter({}, 'bob');
  world.socket.receive({ cmd: 'kicked', reason: 'kick' });
  await tick(60000);
  expect(made.im('error')).toEqual([{ tag: 'error', code: 'kicked', detail: 'kick' }]);
  expect(made.errors()).toEqual([-10]);
  expect([made.members, world.sockets.length, jest.getTimerCount()]).toEqual([[], 1, 0]);
  expect(world.posts.map(({ name }) => name)).not.toContain('quit_room');
});

test('a login that is refused is -10, and its reason an event', async () => {
  const made = phone();
  made.room.start();
  await tick();
  world.socket.open();
  world.socket.receive({ re: world.socket.sent[0].id, code: 9, name: 'bad_ticket', message: 'expired' });
  await tick(60000);
  expect(made.errors()).toEqual([-10]);
  expect(made.im('login_event')).toEqual([{
    tag: 'login_event', code: 9,
    detail: { ActionStatus: 'FAIL', ErrorCode: 9, ErrorInfo: 'expired', SrcErrorInfo: 'expired' },
  }]); // prettier-ignore
  expect(world.sockets.length).toBe(1);
});

test('stop leaves nothing: no socket, no timer, no player, no request', async () => {
  const made = await enter({}, 'bob');
  made.room.stop();
  await tick();
  expect(world.socket.frames('logout')).toHaveLength(1);
  expect([world.socket.closed, jest.getTimerCount(), world.network]).toEqual([true, 0, null]);
  expect(calls.slice(-2)).toEqual([['player-bob', 'stop', 'rtmp://gw/live/bob'], ['pusher', 'stop', PUSH]]);
  expect([made.members, made.rendered.data.pushURL]).toEqual([[], '']);
  made.room.stop();
  await tick(60000);
  expect(world.sockets.length).toBe(1);
});

test('stop while the addresses are asked for: no later answer starts anything', async () => {
  const made = phone();
  world.answer = () => undefined;
  made.room.start();
  await tick();
  made.room.stop();
  await tick(60000);
  expect(made.errors()).toEqual([]);
  expect(world.posts.map(({ name }) => name)).toEqual(['get_push_url', 'quit_room']);
  expect([world.sockets.length, jest.getTimerCount()]).toEqual([0, 0]);
});

test('stop while the line is down leaves by a request', async () => {
  const made = await enter({});
  world.socket.drop();
  made.room.stop();
  await tick(60000);
  expect(world.posts[world.posts.length - 1].name).toBe('quit_room');
  expect(world.sockets.length).toBe(1);
});

test('a page that goes takes the room with it', async () => {
  const made = await enter({}, 'bob');
  made.remove();
  await tick();
  expect([world.socket.frames('logout').length, jest.getTimerCount()]).toEqual([1, 0]);
});

test('pause, resume, switchCamera, camera and microphone', async () => {
  const made = await enter({}, 'bob');
  calls.length = 0;
  made.room.pause();
  made.room.resume();
  expect(calls.map(([who, name]) => `${who} ${name}`)).toEqual([
    'pusher pause', 'player-bob pause', 'pusher resume', 'player-bob resume',
  ]); // prettier-ignore
  expect(world.socket.frames('ping')).toHaveLength(1);
  calls.length = 0;
  made.room.switchCamera();
  made.room.enableVideo(false);
  await tick();
  // enable-camera is no living attribute: set, stop, start.
  expect(calls.map(([, name]) => name)).toEqual(['switchCamera', 'stop', 'start']);
  expect(made.get('#rtcpusher').data.enableCamera).toBe(false);
  made.room.enableAudio(false);
  expect(made.get('#rtcpusher').data.muted).toBe(true);
  made.room.enableAudio(true, 'phone');
  expect(made.get('#rtcpusher').data.muted).toBe(false);
});

test('the sound and the picture of one member', async () => {
  const made = await enter({}, 'bob', 'carol');
  calls.length = 0;
  made.room.enableAudio(false, 'bob');
  expect([made.get('#player-bob').data.muted, made.get('#player-carol').data.muted]).toEqual([true, false]);
  made.room.enableVideo(false, 'bob');
  expect(made.get('#player-bob').dom.getAttribute('style')).toContain('none');
  made.room.enableVideo(true, 'bob');
  expect(made.get('#player-bob').dom.getAttribute('style') || '').not.toContain('none');
  await tick();
  expect(calls).toEqual([]);
});

test('without autoplay a member plays when it is tapped', async () => {
  const made = await enter({ autoplay: false }, 'bob');
  expect(calls.filter(([who]) => who === 'player-bob')).toEqual([]);
  expect(made.count('.room-wanted')).toBe(1);
  made.get('.room-wanted').dispatchEvent('tap');
  await tick();
  expect(made.count('.room-wanted')).toBe(0);
  expect(calls.filter(([who]) => who === 'player-bob').map(([, name]) => name)).toEqual(['stop', 'play']);
});

test('another URL of a member: stop, then play', async () => {
  const made = await enter({}, 'bob');
  calls.length = 0;
  world.socket.receive({ cmd: 'userlist', userlist: [{ userid: 'bob', playurl: 'rtmp://gw/live/new' }] });
  await tick();
  expect(calls).toEqual([['player-bob', 'stop', 'rtmp://gw/live/new'], ['player-bob', 'play', 'rtmp://gw/live/new']]);
  expect(made.count('.room-player')).toBe(1);
});

describe('a player', () => {
  test('shows the picture after -2302 in mode RTC', async () => {
    const made = await enter({}, 'bob');
    expect(made.members[0].loading).toBe(true);
    [-2302, 2001, 2002, 2003, 2004].forEach((code) => made.playerSays('bob', code));
    await tick();
    expect(made.members[0]).toMatchObject({ loading: false, mode: 'RTC' });
    made.playerSays('bob', 2007);
    expect(made.members[0].loading).toBe(true);
    made.playerSays('bob', 2004);
    expect(made.members[0].loading).toBe(false);
  });

  test('falls back to mode live after 5 s without a picture', async () => {
    const made = await enter({}, 'bob');
    await tick(3000);
    made.playerSays('bob', -2302);
    calls.length = 0;
    await tick(4999);
    expect(made.members[0].mode).toBe('RTC');
    await tick(1);
    expect(made.get('#player-bob').data).toMatchObject({ mode: 'live', minCache: 0.2, maxCache: 0.8 });
    expect(calls.map(([, name]) => name)).toEqual(['stop', 'play']);
  });

  test('falls back at once when -2302 is followed by -2301', async () => {
    const made = await enter({}, 'bob');
    calls.length = 0;
    [-2302, -2301].forEach((code) => made.playerSays('bob', code));
    await tick();
    expect(made.members[0].mode).toBe('live');
    expect(calls.map(([, name]) => name)).toEqual(['stop', 'play']);
  });

  test.each([-2301, 2006])('that was lost (%d) is started again while its member is listed', async (code) => {
    const made = await enter({}, 'bob');
    made.playerSays('bob', 2004);
    for (const pause of [500, 1000, 2000, 4000, 8000, 8000]) {
      calls.length = 0;
      made.playerSays('bob', 2103);
      made.playerSays('bob', code);
      expect(made.members[0]).toMatchObject({ userID: 'bob', loading: true, mode: 'RTC' });
      await tick(pause - 1);
      expect(calls).toEqual([]);
      await tick(1);
      expect(calls.map(([, name]) => name)).toEqual(['stop', 'play']);
    }
    made.playerSays('bob', -2301);
    world.socket.receive({ cmd: 'userlist', userlist: [] });
    await tick();
    calls.length = 0;
    await tick(60000);
    expect(calls).toEqual([]);
    expect(made.errors()).toEqual([]);
  });
});

describe('messages', () => {
  test('come in order, the newest first in each event, with the shapes of the old library', async () => {
    const made = await enter({});
    world.socket.receive({ cmd: 'message', epoch: 7, messages: [entry(1, 'bob', 'one <b>'), entry(2, 'phone', 'two')] });
    const [{ code, detail }] = made.im('big_group_msg_notify');
    expect(code).toBe(0);
    expect(detail.map((message) => message.getSeq())).toEqual([2, 1]);
    const [own, other] = detail;
    expect([own.getIsSend(), other.getIsSend()]).toEqual([true, false]);
    expect([other.getFromAccount(), other.getFromAccountNick()]).toEqual(['bob', 'BOB']);
    expect([other.getSession().type(), other.getSession().id(), other.getType()]).toEqual(['GROUP', '1001', 'GROUP']);
    expect(other.getTime()).toBe(1546300800);
    expect(other.getElems()[0].getContent().getText()).toBe('one &lt;b&gt;');
    expect(other.toHtml()).toBe('one &lt;b&gt;');
    expect(made.texts()).toEqual(['one &lt;b&gt;', 'two']);
  });

  test('one stay tells login and join once, and the state of the connection', async () => {
    const made = await enter({});
    expect(made.im('login_event')[0]).toMatchObject({ code: 0, detail: { ErrorInfo: 'login success' } });
    expect(made.im('join_group_event')[0]).toMatchObject({ code: 0, detail: { JoinedStatus: 'JoinedSuccess' } });
    world.socket.drop();
    await tick(300);
    login();
    await tick();
    expect(made.im('connection_event').map(({ code }) => code)).toEqual([0]);
    world.socket.drop();
    await tick(300);
    world.socket.drop();
    await tick(3000);
    world.socket.open();
    login();
    expect(made.im('connection_event').map(({ code, detail }) => [code, detail.ErrorCode])).toEqual([
      [0, 0], [9999, 9999], [1, 1],
    ]); // prettier-ignore
    expect([made.im('login_event').length, made.im('join_group_event').length]).toEqual([1, 1]);
  });

  test('system notices and changed groups are errors by their code', async () => {
    const made = await enter({});
    world.socket.receive({ cmd: 'message', epoch: 7, messages: [
      entry(1, '@TIM#SYSTEM', '', { Event: 5, MsgBody: { ReportType: 255, UserDefinedField: '{}' } }),
      entry(2, 'admin', '', { Event: 4, MsgBody: { OpType: 6, Operator_Account: 'admin' } }),
      entry(3, 'bob', 'hi'),
    ] }); // prettier-ignore
    expect(made.im('error').map(({ code, detail }) => [code, detail])).toEqual([
      ['group_system_notifys', 255], ['group_info_change_notify', 0],
    ]); // prettier-ignore
    const shown = made.im('big_group_msg_notify').flatMap(({ detail }) => detail);
    expect(shown.map((message) => [message.getSeq(), message.getSubType()])).toEqual([[2, 2], [3, 0]]);
  });

  test('C2C comes as msg_notify', async () => {
    const made = await enter({});
    world.socket.receive({ cmd: 'c2c', messages: [entry(1, 'bob', 'psst', { To_Account: 'phone' })] });
    const [{ detail }] = made.im('msg_notify');
    expect([detail[0].getSession().type(), detail[0].getSession().id()]).toEqual(['C2C', 'bob']);
  });

  test('sending: what goes out, and the message that comes back', async () => {
    const made = await enter({});
    const done = jest.fn();
    const failed = jest.fn();
    made.room.sendGroupTextMsg('hello', done, failed);
    expect(world.socket.last('send')).toMatchObject({ body: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'hello' } }] });
    expect(world.socket.last('send')).not.toHaveProperty('to');
    world.socket.answer('send', { seq: 17, time: 1546300800123 });
    expect(done.mock.calls[0][0].getSeq()).toBe(17);
    expect([done.mock.calls[0][0].getIsSend(), done.mock.calls[0][0].getTime()]).toEqual([true, 1546300800]);
    made.room.sendC2CCustomMsg('bob', { data: 'd', ext: 'e', desc: 'f' }, done, failed);
    expect(world.socket.last('send')).toMatchObject({
      to: 'bob', body: [{ MsgType: 'TIMCustomElem', MsgContent: { Data: 'd', Desc: 'f', Ext: 'e' } }],
    }); // prettier-ignore
    world.socket.answer('send', { seq: 1, time: 1 });
    expect(done.mock.calls[1][0].getSession().type()).toBe('C2C');
    made.room.sendC2CTextMsg('bob', 'x');
    made.room.sendGroupCustomMsg({ data: 'x' });
    // One at a time: that keeps their order.
    expect(world.socket.frames('send')).toHaveLength(3);
    world.socket.answer('send', { seq: 2, time: 1 });
    expect(world.socket.frames('send')).toHaveLength(4);
    expect(failed).not.toHaveBeenCalled();
  });

  test('sending fails with -1 to -4', async () => {
    const made = await enter({});
    const codes = [];
    const failed = (code, error) => codes.push([code, error]);
    const never = () => codes.push('sent');
    made.room.sendC2CTextMsg('', 'x', never, failed);
    made.room.sendGroupTextMsg('', never, failed);
    made.room.sendGroupCustomMsg({}, never, failed);
    made.room.sendGroupTextMsg('x'.repeat(8899), never, failed);
    made.room.sendGroupTextMsg('字'.repeat(2967), never, failed);
    made.room.sendC2CTextMsg('bob', '😀'.repeat(3001), never, failed);
    expect(codes.map(([code]) => code)).toEqual([-1, -2, -2, -3, -3, -3]);
    expect(world.socket.frames('send')).toEqual([]);
    made.room.sendGroupTextMsg('字'.repeat(2966), never, failed);
    const { id } = world.socket.last('send');
    world.socket.receive({ re: id, code: 1210, name: 'too_many', message: 'slower', retryAfterMs: 50 });
    expect(codes[6]).toEqual([-4, {
      ActionStatus: 'FAIL', ErrorCode: 1210, ErrorInfo: 'slower', SrcErrorInfo: 'slower', retryAfterMs: 50,
    }]); // prettier-ignore
    made.room.stop();
    made.room.sendGroupTextMsg('x', never, failed);
    expect(codes[7][0]).toBe(-4);
    expect(codes[7][1].ErrorCode).toBe(-4);
  });

  test('a page that switched them off neither gets nor sends any', async () => {
    const made = await enter({ enableIM: false }, 'bob');
    world.socket.receive({ cmd: 'message', epoch: 7, messages: [entry(1, 'bob', 'hi')] });
    const failed = jest.fn();
    made.room.sendGroupTextMsg('x', () => {}, failed);
    expect(failed.mock.calls[0][0]).toBe(-4);
    expect(made.events.filter(([name]) => name === 'IMEvent')).toEqual([]);
    world.socket.receive({ cmd: 'userlist', userlist: userlist('bob', 'carol') });
    await tick();
    expect(made.members).toHaveLength(2);
  });
});
