/** The /im client alone: order, gaps, resends, and a line that breaks. */
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
  seen = { texts: [], statuses: [], events: [], refused: [], logins: [], kicked: [] };
  im = new Im('http://gw:1', () => ({ userID: 'phone', userSig: 'sig', roomID: 1 }), {
    messages: (entries) => seen.texts.push(...entries.map((entry) => entry.MsgSeq)),
    status: (status) => seen.statuses.push(status),
    refused: (refusal) => seen.refused.push(refusal.name),
    login: (again) => seen.logins.push(again),
    kicked: (reason) => seen.kicked.push(reason),
  });
  im.start();
});

afterEach(() => {
  im.stop();
  expect(jest.getTimerCount()).toBe(0);
  jest.restoreAllMocks();
  jest.useRealTimers();
});

const entries = (...numbers) => numbers.map((seq) => ({ MsgSeq: seq, From_Account: 'bob', MsgBody: [] }));
const range = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);
const message = (epoch, ...numbers) => world.socket.receive({ cmd: 'message', epoch, messages: entries(...numbers) });
function login(fields) {
  world.socket.open();
  world.socket.answer('login', { epoch: 7, seq: 0, first: 1, ...fields });
}
async function tick(ms) {
  jest.advanceTimersByTime(ms);
  await settle();
}

test('the address and the first frame', () => {
  expect(world.socket.url).toBe('ws://gw:1/im');
  expect(world.socket.sent).toEqual([]);
  world.socket.open();
  expect(world.socket.sent).toEqual([{ cmd: 'login', id: 1, userID: 'phone', userSig: 'sig', roomID: 1 }]);
});

test('a joiner begins with the history that it is given', () => {
  login({ seq: 120, first: 1 });
  message(7, ...range(71, 120));
  message(7, 121);
  expect(seen.texts).toEqual(range(71, 121));
});

test('what comes twice is shown once, what comes early waits', async () => {
  login();
  message(7, 1);
  message(7, 3);
  message(7, 1, 3);
  expect(seen.texts).toEqual([1]);
  message(7, 2);
  expect(seen.texts).toEqual([1, 2, 3]);
  await tick(2000);
  expect(world.socket.frames('history')).toEqual([]);
});

test('a gap that stays is asked for, until nothing is missing', async () => {
  login();
  message(7, 1);
  message(7, 250);
  await tick(999);
  expect(world.socket.frames('history')).toEqual([]);
  await tick(1);
  for (const first of [2, 102, 202]) {
    expect(world.socket.last('history')).toMatchObject({ after: first - 1, count: 100 });
    const last = Math.min(first + 99, 250);
    world.socket.answer('history', { epoch: 7, seq: 250, first: 1, messages: entries(...range(first, last)) });
  }
  expect(seen.texts).toEqual(range(1, 250));
  expect(world.socket.frames('history')).toHaveLength(3);
});

test('what the server does not keep any more is passed over', async () => {
  login();
  message(7, 1);
  message(7, 90);
  await tick(1000);
  world.socket.answer('history', { epoch: 7, seq: 90, first: 80, messages: entries(...range(80, 90)) });
  expect(seen.texts).toEqual([1, ...range(80, 90)]);
  message(7, 95);
  await tick(1000);
  world.socket.answer('history', { epoch: 7, seq: 95, first: 80, messages: [] });
  expect(seen.texts.slice(-1)).toEqual([95]);
  message(7, 97);
  await tick(1000);
  world.socket.answer('history', { epoch: 7, seq: 99, first: 80, messages: entries(99) });
  message(7, 100);
  expect(seen.texts.slice(-2)).toEqual([99, 100]);
});

test('after a break: from the last on, and more than one login gives', async () => {
  login();
  message(7, 1, 2);
  world.socket.drop();
  await tick(200);
  world.socket.open();
  expect(world.socket.last('login')).toMatchObject({ epoch: 7, lastSeq: 2 });
  world.socket.answer('login', { epoch: 7, seq: 700, first: 1 });
  message(7, ...range(3, 502));
  await tick(1000);
  expect(world.socket.last('history')).toMatchObject({ after: 502 });
  world.socket.answer('history', { epoch: 7, seq: 700, first: 1, messages: entries(...range(503, 602)) });
  world.socket.answer('history', { epoch: 7, seq: 700, first: 1, messages: entries(...range(603, 700)) });
  expect(seen.texts).toEqual(range(1, 700));
  expect(seen.logins).toEqual([false, true]);
});

test('a break while history is asked for', async () => {
  login();
  message(7, 1);
  message(7, 9);
  await tick(1000);
  world.socket.drop();
  await tick(200);
  world.socket.open();
  world.socket.answer('login', { epoch: 7, seq: 9, first: 1 });
  message(7, ...range(2, 9));
  expect(seen.texts).toEqual(range(1, 9));
});

test('another epoch: the room is a new one, and its numbers too', async () => {
  login();
  message(7, 1, 2, 3);
  message(8, 1);
  expect(seen.texts).toEqual([1, 2, 3, 1]);
  world.socket.drop();
  await tick(200);
  world.socket.open();
  expect(world.socket.last('login')).toMatchObject({ epoch: 8, lastSeq: 1 });
  world.socket.answer('login', { epoch: 9, seq: 1, first: 1 });
  message(9, 1);
  expect(seen.texts).toEqual([1, 2, 3, 1, 1]);
});

test('a message that was under way goes out again with its random, in order', async () => {
  login();
  const done = [];
  const body = (text) => [{ MsgType: 'TIMTextElem', MsgContent: { Text: text } }];
  im.send(body('a'), '', (error, sent) => done.push(['a', error, sent.seq]));
  im.send(body('b'), '', (error, sent) => done.push(['b', error, sent.seq]));
  const { random } = world.socket.last('send');
  world.socket.drop();
  im.send(body('c'), '', (error, sent) => done.push(['c', error, sent.seq]));
  await tick(200);
  login();
  expect(world.socket.frames('send').map((frame) => frame.random)).toEqual([random]);
  for (const seq of [4, 5, 6]) world.socket.answer('send', { seq, time: 1 });
  expect(done).toEqual([['a', null, 4], ['b', null, 5], ['c', null, 6]]);
  expect(world.socket.frames('send').map((frame) => frame.body[0].MsgContent.Text)).toEqual(['a', 'b', 'c']);
});

test('a message that finds no line for a minute fails; so does the 201st that waits', async () => {
  login();
  world.socket.drop();
  const done = [];
  im.send([], '', (error) => done.push(error.name));
  for (let number = 0; number < 200; number += 1) im.send([], '', (error) => done.push(error.name));
  expect(done).toEqual(['too_many']);
  await tick(60001);
  expect(done).toHaveLength(201);
  expect(new Set(done)).toEqual(new Set(['too_many', 'timeout']));
});

test('too fast: that one fails by name, the next waits as long as the server says', async () => {
  login();
  const done = [];
  im.send([], '', (error) => done.push(error && error.name));
  im.send([], '', (error) => done.push(error && error.name));
  world.socket.receive({ re: world.socket.last('send').id, code: 1210, name: 'too_many', message: '', retryAfterMs: 70 });
  expect([done, world.socket.frames('send').length]).toEqual([['too_many'], 1]);
  await tick(70);
  world.socket.answer('send', { seq: 1, time: 1 });
  expect(done).toEqual(['too_many', null]);
});

test('what waited for the line is not too fast: it waits as long as the server says, and goes again in its order', async () => {
  login();
  const done = [];
  world.socket.drop();
  const body = (text) => [{ MsgType: 'TIMTextElem', MsgContent: { Text: text } }];
  im.send(body('a'), '', (error) => done.push(['a', error]));
  im.send(body('b'), '', (error) => done.push(['b', error]));
  await tick(200);
  login();
  world.socket.receive({ re: world.socket.last('send').id, code: 1210, name: 'too_many', message: '', retryAfterMs: 70 });
  expect(done).toEqual([]);
  await tick(70);
  for (const seq of [1, 2]) world.socket.answer('send', { seq, time: 1 });
  expect(done).toEqual([['a', null], ['b', null]]);
  const sent = world.socket.frames('send');
  expect(sent.map((frame) => frame.body[0].MsgContent.Text)).toEqual(['a', 'a', 'b']);
  expect(sent[0].random).toBe(sent[1].random);
  // Whoever writes too fast now is told.
  im.send(body('c'), '', (error) => done.push(['c', error && error.name]));
  world.socket.receive({ re: world.socket.last('send').id, code: 1210, name: 'too_many', message: '', retryAfterMs: 70 });
  expect(done.slice(2)).toEqual([['c', 'too_many']]);
});

test('pauses grow, to ten seconds, and begin anew after a login', async () => {
  login();
  world.socket.drop();
  for (const pause of [200, 500, 1000, 2000, 4000, 8000, 10000, 10000]) {
    const before = world.sockets.length;
    await tick(pause - 1);
    expect(world.sockets.length).toBe(before);
    await tick(1);
    expect(world.sockets.length).toBe(before + 1);
    world.socket.drop();
  }
  await tick(10000);
  login();
  world.socket.drop();
  await tick(200);
  login();
  expect(seen.statuses).toEqual([0, 9999, 1]);
});

test('a socket that never opens, and one that never answers', async () => {
  await tick(8000);
  expect(world.socket.closed).toBe(true);
  await tick(200);
  expect(world.sockets).toHaveLength(2);
  world.socket.open();
  await tick(8000);
  await tick(500);
  expect(world.sockets).toHaveLength(3);
});

test('a line that fell silent is asked, and given up', async () => {
  login();
  await tick(5000);
  expect(world.socket.frames('ping')).toHaveLength(1);
  world.socket.answer('ping', {});
  await tick(4999);
  message(7, 1);
  await tick(4999);
  expect(world.socket.frames('ping')).toHaveLength(1);
  await tick(1);
  expect(world.socket.frames('ping')).toHaveLength(2);
  await tick(5000);
  expect(world.socket.closed).toBe(true);
  await tick(200);
  expect(world.sockets).toHaveLength(2);
});

test('a change of network asks at once, and shortens a pause', async () => {
  login();
  world.network({ isConnected: true, networkType: '4g' });
  expect(world.socket.frames('ping')).toHaveLength(1);
  world.network({ isConnected: false, networkType: 'none' });
  world.socket.drop();
  for (const pause of [200, 500, 1000]) {
    await tick(pause);
    world.socket.drop();
  }
  const before = world.sockets.length;
  world.network({ isConnected: true, networkType: 'wifi' });
  expect(world.sockets.length).toBe(before + 1);
});

test('a passing refusal is tried again, a lasting one ends it', async () => {
  const refuse = (fields) => world.socket.receive({ re: world.socket.last('login').id, message: '', ...fields });
  world.socket.open();
  refuse({ code: 1301, name: 'overloaded', retryAfterMs: 3000 });
  await tick(2999);
  expect(world.sockets).toHaveLength(1);
  await tick(1);
  world.socket.open();
  refuse({ code: 5001, name: 'room_full' });
  await tick(60000);
  expect([seen.refused, world.sockets.length]).toEqual([['room_full'], 2]);
});

test('kicked ends it; what was to be sent fails', async () => {
  login();
  const failed = [];
  im.send([], '', (error) => failed.push(error.name));
  world.socket.receive({ cmd: 'kicked', reason: 'banned' });
  await tick(60000);
  expect([seen.kicked, failed, world.sockets.length]).toEqual([['banned'], ['lost'], 1]);
  im.send([], '', (error) => failed.push(error.name));
  expect(failed).toEqual(['lost', 'not_logged_in']);
});

test('a send that the socket refuses is a lost line', async () => {
  login();
  world.socket.refuses = true;
  const done = [];
  im.send([], '', (error, sent) => done.push([error, sent.seq]));
  await tick(200);
  expect(world.sockets).toHaveLength(2);
  login();
  world.socket.answer('send', { seq: 1, time: 1 });
  expect(done).toEqual([[null, 1]]);
});

test.each(['no JSON', '[]', 'null', '5', '{"cmd":"new"}', '{"cmd":"message"}', '{"re":99}', '{"cmd":"userlist"}'])(
  'a frame that says nothing to us (%s) does no harm', (frame) => {
    login();
    world.socket.receive(frame);
    message(7, 1);
    expect(seen.texts).toEqual([1]);
  });

test('stop and start again: the old line says nothing any more', async () => {
  login();
  const old = world.socket;
  im.stop();
  im.start();
  old.drop();
  old.receive({ cmd: 'kicked', reason: 'x' });
  login();
  message(7, 1);
  expect([seen.kicked, seen.texts, world.sockets.length]).toEqual([[], [1], 2]);
});

test('order survives any shuffling', async () => {
  let state = 1;
  const random = () => {
    state = (state * 16807) % 2147483647;
    return state / 2147483647;
  };
  login();
  const frames = range(1, 300).flatMap((seq) => (random() < 0.1 ? [seq, seq] : [seq])).filter(() => random() > 0.1);
  frames.sort(() => random() - 0.5);
  for (const seq of [1, ...frames, 300]) message(7, seq);
  for (let turn = 0; turn < 20 && seen.texts.length < 300; turn += 1) {
    await tick(1000);
    const { after } = world.socket.last('history');
    const some = range(after + 1, Math.min(after + 100, 300));
    world.socket.answer('history', { epoch: 7, seq: 300, first: 1, messages: entries(...some) });
  }
  expect(seen.texts).toEqual(range(1, 300));
});
