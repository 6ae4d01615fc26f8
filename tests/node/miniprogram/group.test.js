/** The /im client in a group of RoomService: joining, coming back, leaving. */
const path = require('path');
require('miniprogram-simulate');
const { ROOT } = require('./stage.js');
const { fake, settle } = require('./wx.js');
const { Im } = require(path.join(ROOT, 'utils/im.js'));

let world;
let im;
let seen;

beforeEach(() => {
  jest.useFakeTimers();
  jest.spyOn(Math, 'random').mockReturnValue(0.5);
  world = fake(() => ({ code: 0 }));
  seen = { joined: 0, parted: [], numbers: [], notices: [], done: [] };
  im = new Im('http://gw:1', () => ({ userID: 'phone', userSig: 'sig' }), {
    messages: (entries) => seen.numbers.push(...entries.map(({ MsgSeq }) => MsgSeq)),
    event: (tag, code, detail) => seen.notices.push(detail.ReportType),
    joined: () => (seen.joined += 1),
    parted: ({ name }) => seen.parted.push(name),
  });
  im.start();
});

afterEach(() => {
  im.stop();
  expect(jest.getTimerCount()).toBe(0);
  jest.restoreAllMocks();
  jest.useRealTimers();
});

const message = (...numbers) =>
  world.socket.receive({ cmd: 'message', epoch: 7, messages: numbers.map((MsgSeq) => ({ MsgSeq, From_Account: 'bob', MsgBody: [] })) });
const login = () => {
  world.socket.open();
  world.socket.answer('login', {});
};
const join = (id = 'r1') => im.join(id, (error) => seen.done.push(error && error.name));
const joined = (seq = 0) => world.socket.answer('join', { groupID: 'r1', epoch: 7, seq, first: 1 });
const send = (to = '') => im.send([], to, (error) => seen.done.push(error && error.name));
async function tick(ms) {
  jest.advanceTimersByTime(ms);
  await settle();
}

test('asked for when the line is there, heard from then on', () => {
  join();
  expect(world.socket.frames('join')).toEqual([]);
  login();
  expect(world.socket.last('join')).toMatchObject({ groupID: 'r1' });
  expect(world.socket.last('join')).not.toHaveProperty('lastSeq');
  joined(12);
  message(13, 14);
  expect([seen.done, seen.numbers]).toEqual([[null], [13, 14]]);
});

test('after a break: again, from the last message on; what waited goes out in the group', async () => {
  login();
  join();
  joined(12);
  message(13);
  world.socket.drop();
  send();
  send('bob');
  await tick(200);
  login();
  // The group is not joined yet: one waits in its turn, and behind it the other.
  expect(world.socket.frames('send')).toEqual([]);
  expect(world.socket.last('join')).toMatchObject({ groupID: 'r1', epoch: 7, lastSeq: 13 });
  joined(14);
  message(14);
  expect([seen.joined, seen.numbers]).toEqual([1, [13, 14]]);
  for (let number = 0; number < 2; number += 1) world.socket.answer('send', { seq: 1, time: 1 });
  expect(seen.done).toEqual([null, null, null]);
});

test('a gap is filled in a group, too, once it is joined', async () => {
  login();
  join();
  joined(0);
  message(1);
  message(3);
  world.socket.drop();
  await tick(200);
  login();
  await tick(3000);
  expect(world.socket.frames('history')).toEqual([]);
  joined(3);
  await tick(1000);
  expect(world.socket.last('history')).toMatchObject({ after: 1 });
  const entries = [2, 3].map((MsgSeq) => ({ MsgSeq }));
  world.socket.answer('history', { epoch: 7, seq: 3, first: 1, messages: entries });
  expect(seen.numbers).toEqual([1, 2, 3]);
});

test.each(['no_such_room', 'not_permitted'])('refused after a break (%s): told once, what was to be said is not', async (name) => {
  login();
  join();
  joined();
  world.socket.drop();
  send();
  await tick(200);
  login();
  world.socket.receive({ re: world.socket.last('join').id, code: 1203, name, message: '' });
  expect([seen.parted, seen.done]).toEqual([[name], [null, 'lost']]);
  world.socket.drop();
  await tick(500);
  login();
  expect(world.socket.frames('join')).toEqual([]);
});

test('a passing refusal after a break is asked again', async () => {
  login();
  join();
  joined();
  world.socket.drop();
  await tick(200);
  login();
  world.socket.receive({ re: world.socket.last('join').id, code: 1210, name: 'too_many', message: '', retryAfterMs: 100 });
  await tick(2000);
  joined();
  expect([seen.joined, seen.parted]).toEqual([1, []]);
});

test('refused at first: its caller hears it', () => {
  login();
  join();
  world.socket.receive({ re: world.socket.last('join').id, code: 1203, name: 'no_such_room', message: '' });
  expect([seen.done, seen.parted]).toEqual([['no_such_room'], []]);
});

test('another group, or none: the first is left, and its messages are forgotten', () => {
  login();
  join();
  joined(5);
  message(6);
  join('r2');
  expect(world.socket.last('quit')).toMatchObject({ groupID: 'r1' });
  world.socket.answer('join', { groupID: 'r2', epoch: 9, seq: 1, first: 1 });
  im.quit();
  im.quit();
  expect(world.socket.frames('quit').map(({ groupID }) => groupID)).toEqual(['r1', 'r2']);
  expect(seen.done).toEqual([null, null]);
});

test('joining opens a line that had ended', () => {
  login();
  world.socket.receive({ cmd: 'kicked', reason: 'replaced' });
  join();
  expect(world.sockets).toHaveLength(2);
  login();
  joined();
  expect(seen.done).toEqual([null]);
});

test('a line that ends while a group is being joined', () => {
  login();
  join();
  world.socket.receive({ cmd: 'kicked', reason: 'replaced' });
  expect(seen.done).toEqual(['lost']);
});
