/** The sample mini program: its two pages, the room service, and the words. */
const fs = require('fs');
const path = require('path');
const { ROOT, desk, pages } = require('./stage.js');
const { noted } = require('./tags.js');
const { fake, settle } = require('./wx.js');
const { WORDS } = require(path.join(ROOT, 'utils/words.js'));
const webrtcroom = require(path.join(ROOT, 'utils/webrtcroom.js'));

const open = pages(noted([]));
const index = open('index');
const room = open('room');
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

afterEach(() => {
  shown.forEach((page) => {
    if (page.instance.onUnload) page.instance.onUnload();
    page.detach();
  });
  shown = [];
  webrtcroom.stopHeartBeat();
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

test('the list shows the rooms, and a tap enters one', async () => {
  const page = await show(index);
  expect(page.data.rooms).toHaveLength(1);
  expect(page.dom.textContent).toContain('Lesson');
  page.instance.onName({ detail: { value: 'alice' } });
  page.querySelector('.room').dispatchEvent('tap');
  await tick();
  expect(phone.went).toEqual(['../room/room?roomID=1001&roomName=Lesson&userID=alice']);
});

test('a new room needs a title, a name has a rule, and what fails is said', async () => {
  const page = await show(index);
  page.instance.create();
  expect(page.data.trouble).toBe(WORDS.en.titleNeeded);
  page.instance.onTitle({ detail: { value: 'A&B 课' } });
  page.instance.onName({ detail: { value: '1x' } });
  page.instance.create();
  expect([page.data.trouble, phone.went]).toEqual([WORDS.en.nameRule, []]);
  page.instance.onName({ detail: { value: '' } });
  page.instance.create();
  expect(phone.went).toEqual(['../room/room?roomID=&roomName=A%26B%20%E8%AF%BE&userID=']);
  world.answer = () => new Error('request:fail refused');
  page.instance.refresh();
  await tick();
  expect(page.data.trouble).toContain('http://127.0.0.1:8080');
});

async function inRoom(query = { roomID: '1001', roomName: 'Lesson', userID: 'alice' }) {
  const page = await show(room, query);
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
  expect(page.data.lines).toEqual([
    { id: 1, from: 'bob', text: 'a < b', own: false },
    { id: 2, from: 'Al', text: 'hi', own: true },
  ]);
  expect(page.dom.textContent).toContain('a < b');
  page.instance.onDraft({ detail: { value: 'good' } });
  page.instance.say();
  expect(world.socket.last('send').body).toEqual([
    { MsgType: 'TIMCustomElem', MsgContent: { Data: 'good', Ext: 'TEXT', Desc: '{"nickName":"guest_1"}' } },
  ]);
  world.socket.answer('send', { seq: 4, time: 1 });
  expect(page.data.draft).toBe('');
});

test('an error of the component ends the call, and the page offers to try again', async () => {
  const page = await inRoom();
  page.querySelector('#webrtcroom').instance.triggerEvent('RoomEvent', { tag: 'error', code: -8, detail: 'x' });
  expect(page.data.notice).toBe(WORDS.en['-8']);
  page.querySelector('#webrtcroom').instance.triggerEvent('RoomEvent', { tag: 'error', code: -6, detail: 'x' });
  await tick();
  expect(page.data.trouble).toContain(WORDS.en['-6']);
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

test('the words of both languages have the same keys', () => {
  expect(Object.keys(WORDS.zh).sort()).toEqual(Object.keys(WORDS.en).sort());
});

test('the project: every page and component that is named is there', () => {
  const read = (name) => JSON.parse(fs.readFileSync(path.join(ROOT, name), 'utf8'));
  for (const page of read('app.json').pages) {
    for (const kind of ['js', 'json', 'wxml', 'wxss']) expect(fs.existsSync(path.join(ROOT, `${page}.${kind}`))).toBe(true);
    for (const used of Object.values(read(`${page}.json`).usingComponents)) {
      expect(read(`${used}.json`).component).toBe(true);
    }
  }
  expect(read('project.config.json').compileType).toBe('miniprogram');
  expect(read(read('app.json').sitemapLocation).rules).toHaveLength(1);
});
