/** The sample mini program: its pages, the room service of the webrtc rooms, the words, the project. */
const fs = require('fs');
const path = require('path');
const { ROOT, desk, pages } = require('./stage.js');
const { noted } = require('./tags.js');
const { ServiceWorld } = require('./service_world.js');
const { fake, settle } = require('./wx.js');
const { ERRORS, WORDS } = require(path.join(ROOT, 'utils/words.js'));

const app = pages(noted([]), 'index', 'list', 'call', 'live', 'room');
const { webrtcroom } = app;
let world;
let phone;
let shown = [];

const answers = {
  get_login_info: { code: 0, userID: 'guest_1', userSig: 'sig', sdkAppID: 1400000001, accountType: '0' },
  get_room_list: { code: 0, rooms: [{ roomID: '1001', roomInfo: 'Lesson', roomCreator: 'bob' }] },
  create_room: { code: 0, roomID: '77', privateMapKey: 'key' },
  enter_room: { code: 0, roomID: '1001', privateMapKey: 'key' },
  get_push_url: { code: 0, pushURL: 'rtmp://gw/live/me', members: [] },
  get_room_members: { code: 0, members: [] },
  heartbeat: { code: 0 },
  quit_room: { code: 0 },
};

beforeEach(() => {
  jest.useFakeTimers();
  phone = desk();
  world = fake((name) => answers[name]);
  webrtcroom.userSig = '';
});

afterEach(async () => {
  shown.forEach((page) => {
    if (page.instance.onUnload) page.instance.onUnload();
    page.detach();
  });
  shown = [];
  webrtcroom.stopHeartBeat();
  app.session.logout();
  await tick();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

async function tick(ms = 0) {
  await settle();
  jest.advanceTimersByTime(ms);
  await settle();
}

async function show(page, query) {
  const made = page(query);
  shown.push(made);
  await tick();
  return made;
}

const names = () => world.posts.map(({ name }) => name);
const tap = (page, name) => page.instance.onTool({ detail: { name } });
const raise = (page, id, event) => page.querySelector(id).instance.triggerEvent('RoomEvent', event);
const lines = (page) => page.data.lines.map(({ from, text, own }) => [from, text, own]);

describe('the choice', () => {
  test('four kinds of room; a name has a rule', async () => {
    const page = await show(app.index);
    expect(page.querySelectorAll('.kind')).toHaveLength(4);
    expect(page.dom.textContent).toContain('Call of two');
    page.instance.onName({ detail: { value: '1x' } });
    page.querySelectorAll('.kind')[0].dispatchEvent('tap');
    await tick();
    expect([page.data.trouble, phone.went]).toEqual([WORDS.en.nameRule, []]);
    page.instance.onName({ detail: { value: 'alice' } });
    page.querySelectorAll('.kind')[1].dispatchEvent('tap');
    await tick();
    expect(phone.went).toEqual(['../list/list?kind=double_room&userID=alice']);
  });
});

describe('the list', () => {
  test('of rooms with browsers, and a tap enters one', async () => {
    const page = await show(app.list, { kind: 'webrtc_room', userID: 'alice' });
    expect(page.data.rooms).toHaveLength(1);
    expect(page.dom.textContent).toContain('Lesson');
    page.querySelector('.room').dispatchEvent('tap');
    await tick();
    expect(phone.went).toEqual(['../room/room?roomID=1001&roomName=Lesson&userID=alice&kind=webrtc_room']);
  });

  test.each([
    ['multi_room', '../call/call?roomID=r1&roomName=Lesson&userID=me&kind=multi_room', '../call/call?roomID=&roomName=A%26B&userID=me&kind=multi_room'],
    ['live_room', '../live/live?roomID=r1&roomName=Lesson&userID=me&role=audience',
      '../live/live?roomID=&roomName=A%26B&userID=me&role=presenter&pureAudio=true'],
  ])('of %s: after a login; quirk 18: asked for by GET', async (kind, entered, made) => {
    const service = new ServiceWorld(kind);
    service.instead.get_login_info = { code: 0, userID: 'me', userSig: 'sig', sdkAppID: 1400000001, accType: '0' };
    const page = await show(app.list, { kind, userID: 'me' });
    await tick();
    const [{ url, data }] = service.network.posts;
    expect([url, data]).toEqual(['http://127.0.0.1:8080/weapp/utils/get_login_info', { userIDPrefix: 'weixin', userID: 'me' }]);
    expect(service.names).toEqual(['get_login_info', 'login', 'get_room_list']);
    page.querySelector('.room').dispatchEvent('tap');
    await tick();
    page.instance.onTitle({ detail: { value: 'A&B' } });
    page.instance.onPureAudio({ detail: { value: true } });
    page.instance.create();
    await tick();
    expect(phone.went).toEqual([entered, made]);
    page.instance.onShow();
    await tick();
    expect(service.names.slice(3)).toEqual(['get_room_list']);
  });

  test('a new room needs a title, and what fails is said', async () => {
    const page = await show(app.list, { kind: 'webrtc_room' });
    page.instance.create();
    expect(page.data.trouble).toBe(WORDS.en.titleNeeded);
    page.instance.onTitle({ detail: { value: '课' } });
    page.instance.create();
    expect(phone.went).toEqual(['../room/room?roomID=&roomName=%E8%AF%BE&userID=&kind=webrtc_room']);
    world.answer = () => new Error('request:fail refused');
    page.instance.refresh();
    await tick();
    expect(page.data.trouble).toContain('http://127.0.0.1:8080');
    const live = await show(app.list, { kind: 'live_room' });
    expect(live.data.trouble).toContain('http://127.0.0.1:8080');
    world.answer = () => ({ code: 4001, message: 'no guests' });
    live.instance.refresh();
    await tick();
    expect(live.data.trouble).toContain('no guests[4001]');
  });
});

describe('a call', () => {
  let service;

  async function inCall(query = { kind: 'double_room', roomID: 'r1', roomName: 'Lesson', userID: 'me' }) {
    service = new ServiceWorld(query.kind);
    service.others = ['host'];
    service.instead.get_login_info = { code: 0, userID: 'me', userSig: 'sig', sdkAppID: 1400000001, accType: '0' };
    const page = await show(app.call, query);
    await tick();
    page.querySelector('#rtcroom').instance.onPush({ detail: { code: 1002 } });
    await tick();
    return page;
  }

  test('login, component, room; leaving is leaving', async () => {
    const page = await inCall();
    expect(service.names).toEqual(['get_login_info', 'login', 'get_push_url', 'get_pushers', 'add_pusher', 'get_pushers']);
    expect([page.data.template, phone.titles]).toEqual(['1v1', ['Lesson']]);
    await service.say('host', ['hello']);
    await service.say('me', ['hi'], 2);
    expect(lines(page)).toEqual([['host', 'hello', false], ['me', 'hi', true]]);
    page.instance.onSay({ detail: { text: 'good' } });
    await tick();
    expect(service.socket.last('send').body[1].MsgContent.Text).toBe('good');
    page.instance.onHide();
    page.instance.onShow();
    tap(page, 'leave');
    expect(phone.backs).toBe(1);
    page.instance.onUnload();
    await tick();
    expect(service.names.slice(-1)).toEqual(['delete_pusher']);
  });

  test('the buttons', async () => {
    const page = await inCall();
    tap(page, 'mute');
    tap(page, 'video');
    tap(page, 'flip');
    expect(page.querySelector('#rtcroom').instance.data).toMatchObject({ muted: true, enableCamera: false });
    expect(page.data.tools.map(({ text }) => text)).toEqual(['Unmute', 'Camera on', 'Flip', 'Leave']);
  });

  test('errors: some are told, others end it; again is again', async () => {
    const page = await inCall();
    const error = (code) => page.instance.onRoomEvent({ detail: { tag: 'error', code, detail: 'x' } });
    error(-8);
    expect([page.data.notice, page.data.trouble]).toEqual([WORDS.en.full, '']);
    error(-6);
    expect(page.data.trouble).toBe(`${WORDS.en.pushLost} (x)`);
    const before = service.names.length;
    page.instance.begin();
    await tick();
    expect([page.data.trouble, service.names.slice(before).slice(0, 2)]).toEqual(['', ['get_login_info', 'login']]);
    page.instance.onRoomEvent({ detail: { tag: 'roomClosed', code: 0, detail: '' } });
    expect(page.data.trouble).toBe(WORDS.en.closed);
  });

  test('no login, no call', async () => {
    world.answer = () => ({ code: 4001, message: 'no guests' });
    const page = await show(app.call, { kind: 'multi_room' });
    expect([page.data.trouble, page.data.template]).toEqual(['no guests[4001]', '1v3']);
  });
});

describe('a broadcast', () => {
  let service;

  async function onAir(query) {
    service = new ServiceWorld('live_room');
    if (query.role !== 'presenter') service.others = ['host'];
    service.instead.get_login_info = { code: 0, userID: 'me', userSig: 'sig', sdkAppID: 1400000001, accType: '0' };
    const page = await show(app.live, { roomName: 'On air', userID: 'me', ...query });
    await tick();
    return page;
  }

  test('presenter: asked by somebody of the audience, it decides', async () => {
    const page = await onAir({ role: 'presenter', pureAudio: 'true' });
    const component = page.querySelector('#liveroom').instance;
    expect(component.data).toMatchObject({ role: 'presenter', roomname: 'On air', pureaudio: true });
    component.onPush({ detail: { code: 1002 } });
    await tick();
    expect([page.data.notice, page.data.tools.map(({ name }) => name)]).toEqual([WORDS.en.onAir, ['mute', 'beauty', 'flip', 'leave']]);
    const request = { cmd: 'linkmic', data: { type: 'request', roomID: 'r1', userName: 'Ann' } };
    await service.whisper('ann', request);
    phone.answers = false;
    await service.whisper('ann', request);
    expect(phone.asked).toEqual(['Ann asks to join', 'Ann asks to join']);
    const results = service.socket.frames('send').map(({ body }) => JSON.parse(body[0].MsgContent.Data).data.result);
    expect(results).toEqual(['accept', 'reject']);
    tap(page, 'beauty');
    expect(component.data.beauty).toBe(0);
  });

  test('audience: it asks, joins the stage, leaves it', async () => {
    const page = await onAir({ role: 'audience', roomID: 'r1' });
    expect(page.data.tools.map(({ name }) => name)).toEqual(['mute', 'stage', 'leave']);
    tap(page, 'stage');
    tap(page, 'stage');
    await tick();
    expect(page.data.tools[1].text).toBe(WORDS.en.waiting);
    await service.whisper('host', { cmd: 'linkmic', data: { type: 'response', result: 'accept', roomID: 'r1' } });
    page.querySelector('#liveroom').instance.onPush({ detail: { code: 1002 } });
    await tick();
    expect([page.data.linked, page.data.notice]).toEqual([true, WORDS.en.linkOn]);
    tap(page, 'stage');
    expect([page.data.linked, page.data.notice]).toEqual([false, WORDS.en.linkOut]);
    tap(page, 'stage');
    await tick();
    await tick(5000);
    expect([page.data.asking, page.data.notice.startsWith(WORDS.en.linkFails), page.data.trouble]).toEqual([false, true, '']);
    await service.say('host', ['hello']);
    expect(lines(page)).toEqual([['host', 'hello', false]]);
    page.instance.onSay({ detail: { text: 'hi' } });
    await tick();
    expect(service.socket.last('send').body[1].MsgContent.Text).toBe('hi');
  });

  test('the end, and an error that ends it', async () => {
    const page = await onAir({ role: 'audience', roomID: 'r1' });
    page.instance.onRoomEvent({ detail: { tag: 'error', code: -9007, detail: 'kick' } });
    expect(page.data.trouble).toBe(`${WORDS.en.kicked} (kick)`);
    page.instance.onRoomEvent({ detail: { tag: 'roomClosed', code: -9006, detail: '' } });
    expect(page.data.trouble).toBe(WORDS.en.closed);
  });
});

describe('a room with browsers', () => {
  async function inRoom(query = { roomID: '1001', roomName: 'Lesson', userID: 'alice' }) {
    const page = await show(app.room, query);
    await tick();
    world.socket.open();
    world.socket.answer('login', { epoch: 1, seq: 0, first: 1 });
    return page;
  }

  test('the way in: login, room, component, heartbeat', async () => {
    const page = await inRoom();
    expect(names()).toEqual(['get_login_info', 'enter_room', 'get_push_url', 'heartbeat']);
    expect(world.posts[2].data).toMatchObject({ userID: 'guest_1', userSig: 'sig', roomID: '1001', privateMapKey: 'key' });
    expect(world.socket.sent[0]).toMatchObject({ sdkAppID: 1400000001, roomID: 1001 });
    await tick(7000);
    await tick(7000);
    expect(names().filter((name) => name === 'heartbeat')).toHaveLength(3);
    page.instance.onUnload();
    await tick(60000);
    expect(names().filter((name) => name === 'heartbeat')).toHaveLength(3);
    expect(names().slice(-1)).toEqual(['quit_room']);
  });

  test('without a room it makes one', async () => {
    await inRoom({ roomID: '', roomName: 'Mine', userID: '' });
    expect(names().slice(0, 2)).toEqual(['get_login_info', 'create_room']);
    expect(world.posts[1].data).toMatchObject({ userID: 'guest_1', roomInfo: 'Mine' });
    expect(world.socket.sent[0].roomID).toBe(77);
  });

  test('chat: both kinds of text, in order, with names', async () => {
    const page = await inRoom();
    const entry = (seq, from, element) => ({
      Event: 3, From_Account: from, ToGroupId: '1001', MsgSeq: seq, MsgTimeStamp: 1, MsgBody: [element],
    }); // prettier-ignore
    world.socket.receive({ cmd: 'message', epoch: 1, messages: [
      entry(1, 'bob', { MsgType: 'TIMTextElem', MsgContent: { Text: 'a < b' } }),
      entry(2, 'guest_1', { MsgType: 'TIMCustomElem', MsgContent: { Data: 'hi', Ext: 'TEXT', Desc: '{"nickName":"Al"}' } }),
      entry(3, 'bob', { MsgType: 'TIMCustomElem', MsgContent: { Data: '{}', Ext: 'OTHER', Desc: 'no JSON' } }),
    ] }); // prettier-ignore
    await tick();
    expect(lines(page)).toEqual([['bob', 'a < b', false], ['Al', 'hi', true]]);
    expect(page.dom.textContent).toContain('a < b');
    const chat = page.querySelector('#chat').instance;
    chat.onDraft({ detail: { value: 'good' } });
    chat.onSay();
    expect(world.socket.last('send').body).toEqual([
      { MsgType: 'TIMCustomElem', MsgContent: { Data: 'good', Ext: 'TEXT', Desc: '{"nickName":"guest_1"}' } },
    ]);
    world.socket.answer('send', { seq: 4, time: 1 });
    expect(chat.data.draft).toBe('');
  });

  test('an error of the component ends the call, and the page offers to try again', async () => {
    const page = await inRoom();
    raise(page, '#webrtcroom', { tag: 'error', code: -8, detail: 'x' });
    expect(page.data.notice).toBe(WORDS.en.full);
    raise(page, '#webrtcroom', { tag: 'error', code: -6, detail: 'x' });
    await tick();
    expect(page.data.trouble).toContain(WORDS.en.pushLost);
    expect(names().slice(-1)).toEqual(['quit_room']);
    page.instance.login();
    await tick();
    expect(names().slice(-4)).toEqual(['get_login_info', 'enter_room', 'get_push_url', 'heartbeat']);
  });

  test('three heartbeats lost: the room has lost us', async () => {
    const page = await inRoom();
    world.answer = (name) => (name === 'heartbeat' ? new Error('no network') : answers[name]);
    await tick(7000);
    await tick(7000);
    expect(page.data.trouble).toBe('');
    await tick(7000);
    expect(page.data.trouble).toBe(WORDS.en.heartbeat);
  });

  test('the room service: refusals, failures, abort', async () => {
    const failed = jest.fn();
    const done = jest.fn();
    webrtcroom.userSig = 'sig';
    world.answer = () => ({ code: 3, message: 'no such room' });
    webrtcroom.enterRoom('me', 5, done, failed);
    await tick();
    expect(world.posts[0].data).toEqual({ userSig: 'sig', userID: 'me', roomID: '5' });
    world.answer = () => new Error('request:fail');
    webrtcroom.getRoomMembers(5, done, failed);
    await tick();
    world.answer = () => '<html>';
    webrtcroom.quitRoom('me', 5, done, failed);
    await tick();
    expect(failed.mock.calls).toEqual([
      [{ errCode: 3, errMsg: 'no such room' }], [{ errCode: -1, errMsg: 'request:fail' }],
      [{ errCode: 200, errMsg: 'HTTP 200' }],
    ]); // prettier-ignore
    world.answer = () => undefined;
    webrtcroom.getLoginInfo('', done, failed);
    webrtcroom.clearRequest();
    await tick();
    expect(failed).toHaveBeenCalledTimes(4);
    world.answer = () => ({ code: 0, rooms: [] });
    webrtcroom.getRoomList(0, 20, done);
    await tick();
    // The raw result, as the old module gave it.
    expect(done.mock.calls).toEqual([[expect.objectContaining({ data: { code: 0, rooms: [] } })]]);
  });
});

describe('the project', () => {
  test('the words of both languages have the same keys, and every error has words', () => {
    expect(Object.keys(WORDS.zh).sort()).toEqual(Object.keys(WORDS.en).sort());
    Object.values(ERRORS).forEach((codes) => Object.values(codes).forEach((key) => expect(WORDS.en[key]).toBeTruthy()));
  });

  test('every page and component that is named is there', () => {
    const read = (name) => JSON.parse(fs.readFileSync(path.join(ROOT, name), 'utf8'));
    for (const page of read('app.json').pages) {
      for (const kind of ['js', 'json', 'wxml']) expect(fs.existsSync(path.join(ROOT, `${page}.${kind}`))).toBe(true);
      for (const used of Object.values(read(`${page}.json`).usingComponents)) {
        expect(read(`${used}.json`).component).toBe(true);
        for (const kind of ['js', 'wxml', 'wxss']) expect(fs.existsSync(path.join(ROOT, `${used}.${kind}`))).toBe(true);
      }
    }
    expect(read('project.config.json').compileType).toBe('miniprogram');
    expect(read(read('app.json').sitemapLocation).rules).toHaveLength(1);
  });

  test('every word that a page shows is there', () => {
    const files = fs.readdirSync(path.join(ROOT, 'pages')).flatMap((name) => ['js', 'wxml'].map((kind) => `pages/${name}/${name}.${kind}`));
    const texts = files.map((file) => fs.readFileSync(path.join(ROOT, file), 'utf8')).join('\n');
    for (const [, word] of texts.matchAll(/(?:words|said)\.(?!js\b)(\w+)/g)) expect(WORDS.en).toHaveProperty(word);
  });
});
