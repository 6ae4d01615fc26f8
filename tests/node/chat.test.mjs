// The messages of the browser library, without a browser: every member ends with the same list, whatever the ways to
// the server lose, repeat or turn round. Time is simulated. Run by tests/test_chat_js.py, or: node --test tests/node/

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';

import { Chat } from '../../static/sdk/chat.js';
import { RtcError, serverError } from '../../static/sdk/errors.js';
import { Link, Server, Weather, lost, text } from './chat_world.mjs';

const breathe = () => new Promise((resolve) => setImmediate(resolve));

/** Let `ms` of simulated time pass, `step` at a time, promises settled between. */
async function pass(ms, step = 10) {
  for (let at = 0; at < ms; at += step) {
    mock.timers.tick(Math.min(step, ms - at));
    await breathe();
  }
}

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
afterEach(() => mock.timers.reset());

/** A chat whose requests are answered by hand. */
function scripted({ userId = 'alice' } = {}) {
  const requests = [];
  const events = [];
  const room = {
    request: (type, fields) =>
      new Promise((resolve, reject) => requests.push({ type, fields, resolve, reject, at: requests.length })),
    emit: (event, detail) => events.push([event, detail]),
    isIn: () => true,
    userId: () => userId,
  };
  const chat = new Chat(room);
  const seqs = () => events.filter(([name]) => name === 'message-received').map(([, { message }]) => message.seq);
  /** Answer the history request that waits. */
  const history = (reply) => {
    const request = requests.find(({ type, answered }) => type === 'history' && !answered);
    assert.ok(request, 'no history was asked for');
    request.answered = true;
    request.resolve(reply);
    return request.fields;
  };
  return { chat, requests, events, seqs, history };
}

const said = (seq, from = 'bob', words = `m${seq}`) => ({
  t: 'message', seq, time: 1000 + seq, from, nick: from.toUpperCase(), random: seq * 7, body: text(words),
});

const entered = (epoch, seq, messages = [], first = 1) => ({ chat: { epoch, seq, first, messages } });

class FakeChannel extends EventTarget {
  readyState = 'connecting';
  sent = [];
  send(frame) {
    this.sent.push(JSON.parse(frame));
  }
  to(state) {
    this.readyState = state;
    this.dispatchEvent(new Event(state === 'open' ? 'open' : 'close'));
  }
  tell(frame) {
    this.dispatchEvent(Object.assign(new Event('message'), { data: typeof frame === 'string' ? frame : JSON.stringify(frame) }));
  }
}

test('the last 50 at entry, then what comes, in order and once', async () => {
  const { chat, events, seqs, history } = scripted();
  chat.entered(entered(5, 12, [said(10), said(11, 'alice'), said(12)], 1), false);
  assert.equal(history({ epoch: 5, seq: 12, first: 1, messages: [] }).after, 12);
  await breathe();
  for (const frame of [said(14), said(13), said(13), said(12), said(15)]) assert.equal(chat.message(frame), true);
  assert.deepEqual(seqs(), [10, 11, 12, 13, 14, 15]);
  const [, own] = chat.messages();
  assert.deepEqual(own, {
    seq: 11, time: 1011, userId: 'alice', nick: 'ALICE', random: 77, body: text('m11'), text: 'm11', own: true,
  });
  assert.equal(chat.message({ t: 'member+' }), false);
  assert.deepEqual(chat.enterFields(), { epoch: 5, seq: 15 });
  assert.ok(events.every(([name]) => name === 'message-received'));
});

test('a gap is asked for after a second, page by page', async () => {
  const { chat, requests, seqs, history } = scripted();
  chat.entered(entered(5, 0), false);
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  await breathe();
  chat.message(said(151));
  await pass(900);
  assert.equal(requests.length, 1);
  await pass(200);
  assert.deepEqual(requests[1].fields, { after: 0, count: 100 });
  history({ epoch: 5, seq: 151, first: 1, messages: Array.from({ length: 100 }, (_, i) => said(i + 1)) });
  await breathe();
  // A server may give fewer than were asked for.
  assert.deepEqual(history({ epoch: 5, seq: 151, first: 1, messages: Array.from({ length: 20 }, (_, i) => said(i + 101)) }), { after: 100, count: 100 });
  await breathe();
  assert.deepEqual(history({ epoch: 5, seq: 152, first: 1, messages: Array.from({ length: 32 }, (_, i) => said(i + 121)) }), { after: 120, count: 100 });
  await pass(3000);
  assert.deepEqual(seqs(), Array.from({ length: 152 }, (_, i) => i + 1));
  assert.equal(requests.length, 4);
});

test('a gap that closes by itself costs no request', async () => {
  const { chat, requests, history } = scripted();
  chat.entered(entered(5, 0), false);
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  await breathe();
  chat.message(said(2));
  await pass(500);
  chat.message(said(1));
  await pass(3000);
  assert.equal(requests.length, 1);
});

test('what the server no longer has holds up nobody', async () => {
  const { chat, seqs, history } = scripted();
  chat.entered(entered(5, 0), false);
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  await breathe();
  chat.message(said(90_000));
  await pass(1100);
  history({ epoch: 5, seq: 90_000, first: 89_999, messages: [said(89_999), said(90_000)] });
  await breathe();
  assert.deepEqual(seqs(), [89_999, 90_000]);
  chat.message(said(90_003));
  await pass(1100);
  history({ epoch: 5, seq: 90_003, first: 90_004, messages: [] });
  await breathe();
  assert.deepEqual(seqs(), [89_999, 90_000, 90_003]);
});

test('a server that tells no history leaves a hole, not silence', async () => {
  const { chat, requests, seqs } = scripted();
  chat.entered(entered(5, 0), false);
  const refuse = (error) => requests.at(-1).reject(error);
  refuse(serverError({ code: 1208, name: 'bad_request', message: 't: unknown' }));
  await breathe();
  chat.message(said(3));
  for (let i = 0; i < 2; i++) {
    await pass(1100);
    refuse(serverError({ code: 1208, name: 'bad_request', message: 't: unknown' }));
    await breathe();
  }
  assert.deepEqual(seqs(), [3]);
  // Too many questions: asked again when the server says.
  chat.message(said(5));
  await pass(1100);
  const asked = requests.length;
  refuse(serverError({ code: 1210, name: 'too_many', message: '', retryAfterMs: 4000 }));
  await pass(3900);
  assert.equal(requests.length, asked);
  await pass(200);
  assert.equal(requests.length, asked + 1);
});

test('another epoch is another group', async () => {
  const { chat, events, seqs, history } = scripted();
  chat.entered(entered(5, 3, [said(3)]), false);
  chat.message(said(5));
  chat.entered(entered(6, 1, [said(1)]), true);
  history({ epoch: 5, seq: 9, first: 1, messages: [said(4), said(5)] }); // the old question's answer
  history({ epoch: 6, seq: 1, first: 1, messages: [] });
  await breathe();
  assert.deepEqual(events.map(([name, { message }]) => message?.seq ?? name), [3, 'history-reset', 1]);
  assert.deepEqual(chat.messages().map(({ seq }) => seq), [1]);
  // It may also turn out by an answer.
  chat.message(said(3));
  await pass(1100);
  history({ epoch: 7, seq: 2, first: 1, messages: [] });
  await breathe();
  assert.equal(history({ epoch: 7, seq: 2, first: 1, messages: [said(1), said(2)] }).after, 0);
  await breathe();
  assert.deepEqual(seqs(), [3, 1, 1, 2]);
  assert.deepEqual(chat.enterFields(), { epoch: 7, seq: 2 });
});

test('another room after leaving begins anew, without a reset', async () => {
  const { chat, events } = scripted();
  chat.entered(entered(5, 3, [said(3)]), false);
  chat.left();
  assert.equal(chat.enterFields(), undefined);
  assert.equal(chat.messages().length, 1);
  assert.equal(chat.message(said(4)), true);
  chat.entered(entered(9, 1, [said(1, 'carol')]), false);
  assert.deepEqual(chat.messages().map(({ userId }) => userId), ['carol']);
  assert.deepEqual(events.map(([name]) => name), ['message-received', 'message-received']);
});

test('the newest 2,000 are kept', async () => {
  const { chat, seqs } = scripted();
  chat.entered(entered(5, 0), false);
  for (let seq = 1; seq <= 2500; seq++) chat.message(said(seq));
  assert.equal(seqs().length, 2500);
  assert.deepEqual([chat.messages().length, chat.messages()[0].seq], [2000, 501]);
});

test('what comes again takes no room', async () => {
  const { chat, seqs, requests } = scripted();
  chat.entered(entered(5, 0), false);
  for (let seq = 1; seq <= 2100; seq++) chat.message(said(seq));
  for (let seq = 1; seq <= 2100; seq++) chat.message(said(seq));
  chat.message(said(2102));
  chat.message(said(2101));
  assert.deepEqual(seqs().slice(-2), [2101, 2102]);
  assert.equal(seqs().length, 2102);
  assert.equal(requests.length, 1);
});

test('sending: one under way, in order, and the promise comes with the echo', async () => {
  const { chat, requests, history } = scripted();
  chat.entered(entered(5, 0), false);
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  await breathe();
  const results = [];
  chat.sendText('one').then((message) => results.push(message));
  chat.sendText('two').then((message) => results.push(message));
  await breathe();
  const sends = () => requests.filter(({ type }) => type === 'message');
  assert.equal(sends().length, 1);
  const { random, body } = sends()[0].fields;
  assert.ok(Number.isInteger(random) && random >= 0 && random < 2 ** 32);
  sends()[0].resolve({ seq: 1, time: 77 });
  await breathe();
  assert.equal(sends().length, 2);
  assert.equal(results.length, 0);
  chat.message({ ...said(1, 'alice', 'one'), random, body });
  await breathe();
  assert.equal(results[0], chat.messages()[0]);
  // An echo before the answer.
  chat.message({ ...said(2, 'alice', 'two'), random: sends()[1].fields.random });
  sends()[1].resolve({ seq: 2, time: 78 });
  await breathe();
  assert.equal(results[1], chat.messages()[1]);
  assert.notEqual(sends()[1].fields.random, random);
});

test('an echo that does not come is asked for, and the promise does not wait for ever', async () => {
  const { chat, requests, history } = scripted();
  chat.entered(entered(5, 0), false);
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  await breathe();
  const sent = chat.sendText('lonely');
  await breathe();
  requests.at(-1).resolve({ seq: 4, time: 99 });
  await pass(1200);
  assert.equal(requests.at(-1).type, 'history');
  await pass(2000);
  const message = await sent;
  assert.deepEqual([message.seq, message.time, message.text, message.own, message.userId], [4, 99, 'lonely', true, 'alice']);
});

test('a send that went down with the connection goes again with the same random', async () => {
  const { chat, requests } = scripted();
  chat.entered(entered(5, 0), false);
  const sent = chat.sendText('again');
  await breathe();
  const sends = () => requests.filter(({ type }) => type === 'message');
  sends()[0].reject(lost());
  await breathe();
  assert.equal(sends().length, 1);
  chat.entered(entered(5, 0), true);
  await breathe();
  assert.equal(sends().length, 2);
  assert.deepEqual(sends()[1].fields, sends()[0].fields);
  // The server is about to stop: not the sender's fault.
  sends()[1].reject(serverError({ code: 1302, name: 'shutting_down', message: '', retryAfterMs: 2000 }));
  await pass(2100);
  assert.equal(sends().length, 3);
  sends()[2].resolve({ seq: 1, time: 1 });
  chat.message({ ...said(1, 'alice', 'again') });
  assert.equal((await sent).seq, 1);
});

test('refusals reach the sender by name; a minute without a connection too', async () => {
  const { chat, requests, history } = scripted();
  chat.entered(entered(5, 0), false);
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  const reasons = [];
  const note = (promise) => promise.catch((error) => reasons.push([error instanceof RtcError, error.reason, error.extraCode]));
  note(chat.sendText('x'));
  await breathe();
  requests.at(-1).reject(serverError({ code: 1210, name: 'too_many', message: 'slower', retryAfterMs: 700 }));
  await breathe();
  note(chat.sendText('y'));
  await breathe();
  requests.at(-1).reject(lost());
  note(chat.sendText('z'));
  for (let second = 0; second < 60; second++) {
    await pass(1000, 100);
    requests.at(-1).reject(lost());
  }
  await breathe();
  note(chat.sendText('汉'.repeat(2967))); // 8901 bytes
  note(chat.sendGroup([{ MsgType: 'TIMCustomElem', MsgContent: { Data: 'x'.repeat(8899), Desc: '', Ext: '' } }]));
  note(chat.sendText('x'.repeat(12_001), 'bob'));
  note(chat.sendText(''));
  note(chat.sendGroup([]));
  await breathe();
  assert.deepEqual(reasons.slice(0, 3), [[true, 'too_many', 1210], [true, 'timeout', 0], [true, 'timeout', 0]]);
  assert.deepEqual(reasons.slice(3).sort(), [
    [true, '', 0], [true, '', 0], [true, 'too_large', 1209], [true, 'too_large', 1209], [true, 'too_large', 1209],
  ]);
  // The largest that goes.
  chat.sendText('汉'.repeat(2966)).catch(() => assert.fail('8898 bytes are allowed'));
  await breathe();
  assert.equal(requests.at(-1).type, 'message');
});

test('what waited for the connection is not too fast: it goes again when the server says', async () => {
  const { chat, requests } = scripted();
  chat.entered(entered(5, 0));
  await breathe();
  requests.at(-1).resolve({ epoch: 5, seq: 0, first: 1, messages: [] });
  const sends = () => requests.filter(({ type }) => type === 'message');
  const settled = [];
  const send = (words) => chat.sendText(words).then(() => settled.push(words), ({ reason }) => settled.push(reason));
  send('a');
  send('b');
  await breathe();
  sends()[0].reject(lost());
  await pass(1010);
  sends()[1].reject(serverError({ code: 1210, name: 'too_many', message: '', retryAfterMs: 300 }));
  await pass(290);
  assert.equal(sends().length, 2);
  await pass(30);
  sends()[2].resolve({ seq: 1, time: 1 });
  await breathe();
  sends()[3].resolve({ seq: 2, time: 1 });
  await breathe();
  assert.deepEqual(sends().map(({ fields }) => fields.body[0].MsgContent.Text), ['a', 'a', 'a', 'b']);
  assert.equal(new Set(sends().slice(0, 3).map(({ fields }) => fields.random)).size, 1);
  // Whoever writes too fast when nothing is late is told.
  send('c');
  await breathe();
  sends()[4].reject(serverError({ code: 1210, name: 'too_many', message: '', retryAfterMs: 300 }));
  await breathe();
  assert.deepEqual(settled, ['too_many']);
  await pass(3100); // the echoes that never came
  assert.deepEqual(settled, ['too_many', 'a', 'b']);
});

test('200 messages may wait; leaving ends their waiting', async () => {
  const { chat } = scripted();
  chat.entered(entered(5, 0), false);
  const reasons = [];
  for (let i = 0; i < 201; i++) chat.sendText(`m${i}`).catch((error) => reasons.push(error.reason));
  await breathe();
  assert.deepEqual(reasons, ['too_many']);
  chat.left();
  await breathe();
  assert.equal(reasons.length, 201);
  assert.equal(reasons.at(-1), 'left');
});

test('the datachannel: requests go over it, large ones do not, and its end is survived', async () => {
  const { chat, requests, seqs, events, history } = scripted();
  chat.entered(entered(5, 0), false);
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  const channel = new FakeChannel();
  chat.channel(channel);
  await breathe();
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  await breathe();
  channel.to('open');
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  channel.tell(said(1));
  channel.tell('not json');
  channel.tell('null');
  assert.deepEqual(seqs(), [1]);
  const sent = chat.sendText('over it');
  await breathe();
  assert.deepEqual({ ...channel.sent[0], random: 0 }, { id: 'c1', t: 'message', random: 0, body: text('over it') });
  channel.tell({ re: 'c1', ok: true, seq: 2, time: 5 });
  channel.tell(said(2, 'alice', 'over it'));
  assert.equal((await sent).seq, 2);
  // 12,000 bytes of control characters are 72,000 in JSON.
  chat.sendText('\u0001'.repeat(8000)).catch(() => undefined);
  await breathe();
  assert.equal(channel.sent.length, 1);
  assert.equal(requests.at(-1).type, 'message');
  requests.at(-1).resolve({ seq: 3, time: 6 });
  await breathe();
  // Closed with a message under way: it goes again, over the WebSocket.
  const again = chat.sendText('both');
  await breathe();
  assert.equal(channel.sent[1].t, 'message');
  channel.to('closed');
  await pass(1100);
  const resent = requests.findLast(({ type }) => type === 'message').fields;
  assert.equal(resent.random, channel.sent[1].random);
  requests.findLast(({ type }) => type === 'message').resolve({ seq: 4, time: 7 });
  const asked = history({ epoch: 5, seq: 4, first: 1, messages: [said(3, 'alice'), said(4, 'alice', 'both')] });
  assert.equal(asked.after, 2);
  assert.equal((await again).seq, 4);
  // A channel that is no longer ours says nothing to us.
  chat.channel(null);
  channel.tell(said(5));
  assert.deepEqual(seqs(), [1, 2, 3, 4]);
  assert.ok(events.length);
});

test('a channel that does not answer is given up for the WebSocket', async () => {
  const { chat, requests } = scripted();
  chat.entered(entered(5, 0), false);
  const channel = new FakeChannel();
  chat.channel(channel);
  channel.to('open');
  const sent = chat.sendText('hello');
  await breathe();
  await pass(5100, 100);
  channel.readyState = 'closed';
  await pass(1100, 100);
  const request = requests.findLast(({ type }) => type === 'message');
  assert.equal(request.fields.random, channel.sent[0].random);
  request.resolve({ seq: 1, time: 1 });
  await pass(3100, 100);
  assert.equal((await sent).seq, 1);
});

test('personal messages, each once, and custom messages as bytes', async () => {
  const { chat, events, requests, history } = scripted();
  chat.entered(entered(5, 0), false);
  history({ epoch: 5, seq: 0, first: 1, messages: [] });
  await breathe();
  const frame = { t: 'c2c', seq: 3, time: 9, from: 'bob', nick: 'Bob', to: 'alice', random: 1, body: text('psst') };
  chat.message(frame);
  chat.message(frame);
  assert.deepEqual(events.map(([name, { message }]) => [name, message.text, message.to]), [['c2c-message', 'psst', 'alice']]);
  chat.message({ t: 'custom', from: 'bob', cmdId: 2, seq: 1, data: 'AAH/' });
  chat.message({ t: 'custom', from: 'bob', cmdId: 2, seq: 1, data: '***' });
  const [name, { data, ...rest }] = events[1];
  assert.deepEqual([name, rest, [...new Uint8Array(data)]], ['custom-message', { userId: 'bob', cmdId: 2, seq: 1 }, [0, 1, 255]]);
  assert.ok(data instanceof ArrayBuffer);
  assert.equal(events.length, 2);
  const custom = chat.custom(2, new Uint8Array([9, 0, 1, 255]).subarray(1));
  await breathe();
  assert.deepEqual(requests.at(-1).fields, { cmdId: 2, data: 'AAH/' });
  requests.at(-1).resolve({ seq: 1 });
  await custom;
  for (const [cmdId, bytes] of [[0, 1], [11, 1], [1.5, 1], [1, 1025]]) {
    await assert.rejects(chat.custom(cmdId, new ArrayBuffer(bytes)), RtcError);
  }
  await assert.rejects(chat.custom(1, 'text'), RtcError);
  const to = chat.sendText('psst yourself', 'bob');
  await breathe();
  assert.equal(requests.at(-1).fields.to, 'bob');
  requests.at(-1).resolve({ seq: 8, time: 4 });
  assert.equal((await to).seq, 8);
  assert.equal(chat.messages().length, 0);
});

test('older messages by request', async () => {
  const { chat, history } = scripted();
  chat.entered(entered(5, 100, [said(100)], 60), false);
  history({ epoch: 5, seq: 100, first: 60, messages: [] });
  await breathe();
  const asked = chat.history({ before: 100, count: 3 });
  assert.deepEqual(history({ epoch: 5, seq: 100, first: 60, messages: [said(97), said(98), said(99)] }), { before: 100, count: 3 });
  const { messages, more } = await asked;
  assert.deepEqual([messages.map(({ seq }) => seq), more], [[97, 98, 99], true]);
  const last = chat.history({ before: 62 });
  history({ epoch: 5, seq: 100, first: 60, messages: [said(60), said(61)] });
  assert.equal((await last).more, false);
  assert.equal(chat.messages().length, 1);
  await assert.rejects(chat.history({ count: 101 }), RtcError);
});

test('what people read of a message', async () => {
  const { chat } = scripted();
  chat.entered(entered(5, 0), false);
  const custom = (Data, Ext) => ({ MsgType: 'TIMCustomElem', MsgContent: { Data, Desc: '{"nickName":"Bob"}', Ext } });
  const bodies = [
    [...text('a'), ...text('b')],
    [custom('hello of 2018', 'TEXT')],
    [custom('{"cmd":"CustomTextMsg","data":{"nickName":"Bob","headPic":""}}', ''), ...text('after the card')],
    [custom('secret', '')],
    [{ MsgType: 'TIMFaceElem', MsgContent: { Index: 1, Data: 'x' } }],
    'nonsense',
    [null, 7],
  ];
  bodies.forEach((body, index) => chat.message({ ...said(index + 1), body }));
  assert.deepEqual(chat.messages().map((message) => message.text), ['ab', 'hello of 2018', 'after the card', '', '', '', '']);
});

/**
 * Members who write at random while their connections lose, repeat and turn round what is under way.
 * @returns the server and its links, when all is still again
 */
async function storm(seed, { members, each, restartWithNewEpoch = false, kept = 1e6, trouble = 1 }) {
  const weather = new Weather(seed);
  const server = new Server(weather, { kept });
  const links = Array.from({ length: members }, (_, index) => new Link(server, weather, `member${index}`, { trouble }));
  for (const link of links) link.connect();
  await pass(500);
  const outcomes = [];
  for (let round = 0; round < each; round++) {
    for (const link of links) {
      const words = `${link.userId} ${round}`;
      outcomes.push(link.chat.sendText(words).then((message) => ({ words, message }), (error) => ({ words, error })));
    }
    await pass(100 + weather.upTo(200), 20);
    for (const link of links) link.disturb();
    if (restartWithNewEpoch && round === each >> 1) server.restart();
  }
  for (const link of links) link.calm();
  await pass(90_000, 50);
  return { server, links, outcomes: await Promise.all(outcomes) };
}

/** Every member saw every message of the group, in its order, once. */
function agree({ server, links, outcomes }, { count }) {
  const truth = server.group.messages.map(({ seq, from, random }) => `${seq} ${from} ${random}`);
  if (count !== undefined) assert.equal(truth.length, count);
  assert.equal(new Set(server.group.messages.map(({ from, random }) => `${from} ${random}`)).size, truth.length);
  for (const link of links) {
    const shown = link.shown.map(({ seq, userId, random }) => `${seq} ${userId} ${random}`);
    assert.deepEqual(shown, truth.slice(-shown.length), `${link.userId} has another list`);
    assert.equal(shown.length, truth.length);
    assert.deepEqual(link.chat.messages(), link.shown.slice(-2000));
    // Own messages stand in the order in which they were written.
    const own = link.shown.filter((message) => message.own).map(({ text }) => Number(text.split(' ')[1]));
    assert.deepEqual(own, [...own].sort((a, b) => a - b));
  }
  for (const { words, error } of outcomes) assert.equal(error, undefined, `${words}: ${error}`);
}

for (const seed of [1, 2, 3, 4]) {
  test(`a storm of messages ends with one list for all (seed ${seed})`, async () => {
    const outcome = await storm(seed, { members: 4, each: 250 });
    agree(outcome, { count: 1000 });
    const { lost, doubled, turned, reconnects, resent } = outcome.server.weather.seen;
    assert.ok(lost > 20 && doubled > 20 && turned > 20 && reconnects > 5 && resent > 0, JSON.stringify(outcome.server.weather.seen));
  });
}

test('four thousand messages, more than are kept', async () => {
  agree(await storm(11, { members: 4, each: 1000, trouble: 0.3 }), { count: 4000 });
});

for (const seed of [21, 22]) {
  test(`a new group in the middle of it (seed ${seed})`, async () => {
    const outcome = await storm(seed, { members: 3, each: 200, restartWithNewEpoch: true });
    assert.ok(outcome.links.every((link) => link.resets === 1));
    agree(outcome, {});
    assert.ok(outcome.server.group.messages.length > 250);
  });
}

test('a server that keeps little: who was away goes on with what there is', async () => {
  const { server, links } = await storm(31, { members: 3, each: 200, kept: 40 });
  for (const link of links) {
    const seqs = link.shown.map(({ seq }) => seq);
    assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => a - b));
    assert.equal(seqs.at(-1), server.group.seq);
    assert.deepEqual(seqs.slice(-20), server.group.messages.slice(-20).map(({ seq }) => seq));
  }
});
