/**
 * The component against a running gateway: tests/e2e/test_miniprogram.py starts it, gives its address, tickets and a
 * file for each phone's camera in PHONES (JSON), and reads back what the phones have recorded.
 */
const fs = require('fs');
const net = require('net');
const { given: setting, stage, until } = require('./stage.js');
const { ffmpeg } = require('./tags.js');
const { real, settle } = require('./wx.js');

const given = setting();
const open = real();
const tags = ffmpeg({ files: given.files, folder: given.folder, retryMs: 300 });
const put = stage(tags);
const phones = [];

const ways = [];

afterEach(() => {
  phones.splice(0).forEach((phone) => phone.remove());
  ways.splice(0).forEach((way) => way.close());
});

/** A page with the component. Its pusher's context is made when it is drawn, before there is another phone. */
async function phone(user, room, properties) {
  const tickets = given.tickets[user];
  const made = put({
    serverDomain: given.server, template: '1v1', autoplay: true, userID: user, userName: user.toUpperCase(),
    roomID: room, userSig: tickets.userSig, privateMapKey: tickets.privateMapKey[room], ...properties,
  }); // prettier-ignore
  made.user = user;
  phones.push(made);
  await until(() => made.get('#rtcpusher'), 1000, 'not drawn');
  await settle();
  return made;
}

const playing = (made, user) => {
  const member = made.members.find(({ userID }) => userID === user);
  return member !== undefined && !member.loading;
};
const state = () => JSON.stringify(phones.map((made) => [made.user, made.members, made.errors(), made.texts()]));

/** In the room, logged in. */
async function inRoom(made) {
  made.room.start();
  await until(() => made.im('join_group_event').length === 1, 8000, state);
}

/** The files that a player has written: one for each attempt. */
const recorded = (name) => fs.readdirSync(given.folder).filter((file) => file.startsWith(name));

/** A TCP port in front of the gateway that can be cut. */
function proxy() {
  const pairs = new Set();
  let closed = false;
  const { hostname, port } = new URL(given.server);
  const listener = net.createServer((near) => {
    if (closed) {
      near.destroy();
      return;
    }
    const far = net.connect(Number(port), hostname);
    pairs.add(near).add(far);
    near.on('error', () => far.destroy()).on('close', () => far.destroy()).pipe(far);
    far.on('error', () => near.destroy()).on('close', () => near.destroy()).pipe(near);
  });
  const way = {
    url: '',
    cut() {
      closed = true;
      pairs.forEach((socket) => socket.destroy());
      pairs.clear();
    },
    mend: () => (closed = false),
    close() {
      way.cut();
      listener.close();
    },
  };
  ways.push(way);
  return new Promise((resolve) => {
    listener.listen(0, '127.0.0.1', () => {
      way.url = `http://127.0.0.1:${listener.address().port}`;
      resolve(way);
    });
  });
}

test('two phones see and hear each other, and chat', async () => {
  const alice = await phone('alice_phone', 5001);
  await inRoom(alice);
  const bob = await phone('bob_phone', 5001);
  await inRoom(bob);
  await until(() => playing(alice, 'bob_phone') && playing(bob, 'alice_phone'), 15000, state);
  expect(alice.members[0]).toMatchObject({ userName: 'BOB_PHONE', mode: 'RTC' });
  const sent = await new Promise((done, failed) =>
    alice.room.sendGroupCustomMsg({ data: 'hello', ext: 'TEXT', desc: '{"nickName":"A"}' }, done, failed));
  expect(sent.getSeq()).toBe(1);
  bob.room.sendGroupTextMsg('hi');
  await until(() => alice.texts().length === 2 && bob.texts().length === 2, 5000, state);
  expect([alice.texts(), bob.texts()]).toEqual([['hello', 'hi'], ['hello', 'hi']]);
  const c2c = await new Promise((done, failed) => alice.room.sendC2CTextMsg('bob_phone', 'psst', done, failed));
  expect(c2c.getSession().id()).toBe('bob_phone');
  await until(() => bob.im('msg_notify').length === 1, 5000, state);
  expect(bob.im('msg_notify')[0].detail[0].getFromAccount()).toBe('alice_phone');
  // Long enough for what the phones record to be judged.
  await new Promise((resolve) => setTimeout(resolve, 3000));
  bob.room.stop();
  await until(() => alice.members.length === 0, 3000, state);
  alice.room.stop();
  await until(() => tags.running.size === 0 && open.sockets.size === 0 && open.requests.size === 0, 4000, () =>
    `${tags.running.size} processes, ${open.sockets.size} sockets, ${open.requests.size} requests`);
  expect([alice.errors(), bob.errors()]).toEqual([[], []]);
  expect(recorded('alice_phone-player-bob_phone').length).toBe(1);
});

test('a lost network: nothing is lost, nothing comes twice, the members stay', async () => {
  const way = await proxy();
  const alice = await phone('alice_phone', 5002);
  const bob = await phone('bob_phone', 5002, { serverDomain: way.url });
  await inRoom(alice);
  await inRoom(bob);
  await until(() => playing(bob, 'alice_phone') && playing(alice, 'bob_phone'), 15000, state);
  alice.room.sendGroupTextMsg('before');
  await until(() => bob.texts().length === 1, 5000, state);
  const attempts = recorded('bob_phone-player-alice_phone');
  way.cut();
  bob.room.sendGroupTextMsg('from the tunnel');
  for (let number = 0; number < 5; number += 1) alice.room.sendGroupTextMsg(`missed ${number}`);
  await until(() => bob.im('connection_event').some(({ code }) => code === 9999), 6000, state);
  way.mend();
  await until(() => alice.texts().length === 7 && bob.texts().length === 7, 15000, state);
  expect(bob.texts()).toEqual(alice.texts());
  expect(new Set(bob.texts()).size).toBe(7);
  expect(bob.im('connection_event').map(({ code }) => code)).toEqual([0, 9999, 1]);
  expect([bob.im('login_event').length, bob.members.length, alice.members.length]).toEqual([1, 1, 1]);
  // Its player was not touched.
  expect(recorded('bob_phone-player-alice_phone')).toEqual(attempts);
  expect(bob.errors()).toEqual([]);
});

test('the same user elsewhere: kicked', async () => {
  const old = await phone('alice_phone', 5003);
  await inRoom(old);
  const newer = await phone('alice_phone', 5003);
  await inRoom(newer);
  await until(() => old.im('error').length === 1, 5000, state);
  expect(old.im('error')[0]).toMatchObject({ code: 'kicked', detail: 'replaced' });
  expect([old.errors(), newer.errors()]).toEqual([[-10], []]);
});

test('a bad ticket: -9 after four requests', async () => {
  const alice = await phone('alice_phone', 5004, { privateMapKey: 'nonsense' });
  alice.room.start();
  await until(() => alice.errors().length === 1, 12000, state);
  expect(alice.errors()).toEqual([-9]);
  expect(alice.events[0][1].detail).toContain('4001');
});
