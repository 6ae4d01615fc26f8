// Link-mic of /exe: whose word counts, for how long, and what each side is afterwards.
import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { LinkMic, WAIT_MS } from '../../static/exe/linkmic.js';

const ENTERED_AT = 1_546_300_800_000;
const tick = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
});

class World {
  static EVENT = { C2C_MESSAGE: 'c2c' };

  /** @param {object} [room] */
  constructor(room = {}) {
    this.room = {
      kind: 'live_room', creator: 'teacher', userId: 'teacher', role: 'anchor', strRoomId: 'r', members: [], enteredAt: ENTERED_AT, ...room,
    };
    /** @type {any[]} */
    this.sent = [];
    /** @type {string[]} */
    this.told = [];
    /** @type {string[]} */
    this.asked = [];
    /** @type {boolean[]} */
    this.linked = [];
    this.mic = new LinkMic(/** @type {any} */ (this), {
      changed: () => undefined,
      asked: ({ userId }) => this.asked.push(userId),
      linked: async (on) => void this.linked.push(on),
      told: (key) => this.told.push(key),
    });
    this.mic.entered();
  }

  on(_event, listener) {
    this.listener = listener;
  }

  getRoom() {
    return this.room;
  }

  async sendGroupMessage(body, { to }) {
    if (this.away) throw new Error('away');
    this.sent.push({ to, ...JSON.parse(body[0].MsgContent.Data).data });
  }

  async switchRole(role) {
    if (this.full) throw Object.assign(new Error('full'), { reason: 'room_full' });
    this.room.role = role;
  }

  hear(userId, data, time = ENTERED_AT + 5000) {
    const body = [{ MsgType: 'TIMCustomElem', MsgContent: { Data: JSON.stringify({ cmd: 'linkmic', data: { roomID: 'r', ...data } }) } }];
    this.listener({ message: { userId, nick: '', time, body } });
  }
}

const watching = () => new World({ userId: 'pupil', role: 'audience' });

test('a presenter is asked once by each, and its answer goes to whom the server named', async () => {
  const world = new World();
  world.hear('pupil', { type: 'request', userID: 'somebody else', userName: 'Pupil' });
  world.hear('pupil', { type: 'request', userName: 'Pupil' });
  assert.deepEqual([world.asked, world.mic.asking.map(({ name }) => name)], [['pupil'], ['Pupil']]);
  await world.mic.answer('pupil', true);
  assert.deepEqual(world.sent, [{ to: 'pupil', type: 'response', result: 'accept', message: '', roomID: 'r' }]);
  assert.deepEqual(world.mic.asking, []);
});

test('what is not for this room, or not in time, or no message at all, asks nothing', () => {
  const world = new World();
  world.hear('pupil', { type: 'request', roomID: 'elsewhere' });
  world.hear('pupil', { type: 'request' }, ENTERED_AT - WAIT_MS - 1);
  world.listener({ message: { userId: 'pupil', nick: '', time: ENTERED_AT, body: [{ MsgContent: { Text: '{"cmd":"linkmic"' } }] } });
  assert.deepEqual(world.asked, []);
  world.hear('pupil', { type: 'request' }, ENTERED_AT - 1000);
  assert.deepEqual(world.asked, ['pupil'], 'the presenter was away for a moment');
});

test('a viewer asks, and only the presenter lets it in and sends it back', async () => {
  const world = watching();
  world.hear('teacher', { type: 'response', result: 'accept' });
  await tick();
  assert.equal(world.mic.part, 'watching', 'nobody is put on the air who has not asked');
  await world.mic.ask('Pu{p}il');
  assert.deepEqual([world.sent[0].to, world.sent[0].userName, world.mic.part], ['teacher', 'Pupil', 'asking']);
  world.hear('mallory', { type: 'response', result: 'accept' });
  await tick();
  assert.equal(world.mic.part, 'asking');
  world.hear('teacher', { type: 'response', result: 'accept' });
  await tick();
  assert.deepEqual([world.mic.part, world.room.role, world.linked], ['linked', 'anchor', [true]]);
  world.hear('mallory', { type: 'kickout' });
  await tick();
  assert.equal(world.mic.part, 'linked');
  world.hear('teacher', { type: 'kickout' });
  await tick();
  assert.deepEqual([world.mic.part, world.room.role, world.linked], ['watching', 'audience', [true, false]]);
  assert.deepEqual(world.told, ['linkAccepted', 'linkEnded']);
});

test('no, a full room, and a presenter who cannot be told, in words', async () => {
  const refused = watching();
  await refused.mic.ask('');
  refused.hear('teacher', { type: 'response', result: 'reject' });
  const full = watching();
  full.full = true;
  await full.mic.ask('');
  full.hear('teacher', { type: 'response', result: 'accept' });
  const away = watching();
  away.away = true;
  await away.mic.ask('');
  await tick();
  assert.deepEqual([refused.told, full.told, away.told], [['linkRejected'], ['linkFull'], ['linkPresenterAway']]);
  assert.deepEqual([refused, full, away].map(({ mic }) => mic.part), ['watching', 'watching', 'watching']);
});

test('a request without an answer ends after a while, on both sides', async () => {
  const viewer = watching();
  await viewer.mic.ask('');
  const presenter = new World();
  presenter.hear('pupil', { type: 'request' });
  mock.timers.tick(WAIT_MS - 1);
  assert.deepEqual([viewer.mic.part, presenter.mic.asking.length], ['asking', 1]);
  mock.timers.tick(200);
  assert.deepEqual([viewer.mic.part, viewer.told, presenter.mic.asking], ['watching', ['linkNoAnswer'], []]);
});
