/**
 * What people did with the rooms of 2018. `phones` makes phones with a room library on them: `phones.rtc(user, kind)`,
 * `phones.live(user)`, `phones.webrtc(user)`. Each story ends with everybody's polls still alive, and with no trouble
 * that the phones noticed.
 */
const assert = require('node:assert');
const { nameOf, sleep, until } = require('./phones.js');

const WORDS = 'from the browser';
const AWKWARD = 'hello [微笑] <b>"5 > 3"</b> a }} b';
/** What somebody hears for whom there is no place: from its own component, and from the server. */
const REFUSED = [['enterRoom', 5001], ['show', -8]]; // prettier-ignore
const ASK_MS = 30000;
const QUIET_MS = 1500;

const states = (phones) => () => phones.map((phone) => phone.state()).join('\n');
const names = (phones) => phones.map(({ user }) => user);

/** The IM's library shows these escaped. */
const plain = (text) => text.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"');

/** How often a phone has asked its group for something new. */
const polled = ({ wx }) => wx.sent.filter((path) => path.endsWith('/get_msg')).length;

/** Wait until each of `phones` has heard of something. */
function hear(phones, name, detail) {
  const heard = (phone) => phone.heard(name).some((found) => detail === undefined || found === detail);
  return until(() => phones.every(heard), states(phones));
}

/** Wait until each of `phones` sees all others; `long`: so much that a recording says who it is. */
async function allSeeAll(phones, long = false) {
  const others = (phone) => names(phones.filter((other) => other !== phone));
  const see = (phone) => (long ? phone.hasSeen(...others(phone)) : phone.sees(...others(phone)));
  await until(() => phones.every(see), states(phones));
}

/** Everybody says something, and everybody hears all of it once, its own words too. */
async function allTalk(phones) {
  for (const phone of phones) await phone.text(`${phone.user}: ${AWKWARD}`);
  const expected = names(phones).map((user) => [user, `${user}: ${AWKWARD}`]).sort(); // prettier-ignore
  await until(() => phones.every(({ texts }) => texts.length >= expected.length), states(phones));
  for (const { user, texts } of phones) {
    const heard = texts.map(({ userID, textMsg, message }) => [userID, plain(textMsg || message)]);
    assert.deepStrictEqual(heard.sort(), expected, user);
    texts.length = 0;
  }
}

/** No poll has died, nobody was kicked, no request failed. */
async function allWell(phones) {
  await until(() => phones.every((phone) => phone.polls()), states(phones));
  for (const { user, wx, room } of phones) {
    assert.deepStrictEqual(wx.troubles, [], user);
    assert.deepStrictEqual([room.im.deaths, room.im.kicked], [[], false], user);
  }
}

/** Two people in a room that one makes and the other finds in the list; later in one of the same name. */
async function doubleRoom(phones) {
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => phones.rtc(name, 'double_room'));
  const both = [alice, bob];
  await Promise.all([...both, carol].map((phone) => phone.login()));
  alice.start({ roomInfo: 'consultation }}' });
  await hear([alice], 'entered');
  const { roomID, roomCreator, pushers } = (await bob.rooms()).find(({ roomInfo }) => roomInfo === 'consultation }}');
  assert.deepStrictEqual([roomCreator, pushers.length], ['alice', 1]);
  bob.start({ roomID });
  await allSeeAll(both, true);
  await allTalk(both);

  carol.start({ roomID });
  await until(() => carol.heard('error').length === REFUSED.length, states([carol]));
  assert.deepStrictEqual(carol.heard('error').sort(), REFUSED);
  await allWell(both);

  assert.strictEqual(await bob.stop(), 0);
  await hear([alice], 'quit', 'bob');
  await allTalk([alice]);
  // The page logs in once more, with the token that it still has.
  await bob.login();
  bob.start({ roomID });
  await allSeeAll(both);
  await allTalk(both);
  await allWell(both);

  // The room is ended. Nobody quits its group then, and the old poll goes on: quietly, and beside the next one.
  const before = both.map(polled);
  assert.strictEqual((await alice.ask('destroy_room', { roomID, userID: 'alice' })).code, 0);
  await hear(both, 'roomClosed');
  assert.ok(!(await bob.rooms()).some((room) => room.roomID === roomID));
  await sleep(QUIET_MS);
  both.forEach((phone, number) => assert.ok(polled(phone) <= before[number] + 2, `${phone.user} asks without end`));
  alice.start({ roomID });
  await until(() => alice.heard('entered').length === 2, states(both));
  bob.start({ roomID });
  await allSeeAll(both);
  await allTalk(both);
  await allWell(both);
  for (const phone of both) assert.strictEqual(await phone.stop(), 0);
}

/** Four people and a fifth who is refused; the one who made the room leaves, and it goes on. */
async function multiRoom(phones) {
  const four = ['ann', 'ben', 'cleo', 'dan'].map((name) => phones.rtc(name, 'multi_room'));
  const [ann, ...rest] = four;
  const eve = phones.rtc('eve', 'multi_room');
  await Promise.all([...four, eve].map((phone) => phone.login()));
  ann.start({ roomID: 'board', roomInfo: '{"name":{"of":"it"}}' });
  await hear([ann], 'entered');
  rest.forEach((phone) => phone.start({ roomID: 'board' }));
  await allSeeAll(four, true);
  eve.start({ roomID: 'board' });
  await until(() => eve.heard('error').length === REFUSED.length, states([eve]));
  assert.deepStrictEqual(eve.heard('error').sort(), REFUSED);
  await allTalk(four);
  await allWell(four);

  assert.strictEqual(await ann.stop(), 0);
  await hear(rest, 'quit', 'ann');
  await allTalk(rest);
  await allWell(rest);
  rest.forEach(({ room }) => assert.strictEqual(room.getRoomInfo().roomCreator, 'ann'));
  for (const phone of rest) assert.strictEqual(await phone.stop(), 0);
}

/** A host, two viewers, link-mic refused and granted, a guest who is thrown out, a host who leaves. */
async function liveRoom(phones) {
  const [host, viewer, guest] = ['host', 'viewer', 'guest'].map((name) => phones.live(name));
  const three = [host, viewer, guest];
  await Promise.all(three.map((phone) => phone.login()));
  host.present('lesson');
  await hear([host], 'created');
  const [roomID] = host.heard('created');
  [viewer, guest].forEach((phone) => phone.enter(roomID));
  await until(() => [viewer, guest].every((phone) => phone.hasSeen('host-mixed')), states(three));
  await allTalk(three);

  const [refused] = await Promise.all([viewer.link(ASK_MS), host.answers(false)]);
  assert.strictEqual(refused, -999);
  assert.strictEqual(await guest.link(300), -999); // nobody answers in time
  const { userID, userName } = await host.asks();
  assert.deepStrictEqual([userID, userName], ['guest', nameOf('guest')]);
  const [granted] = await Promise.all([guest.link(ASK_MS), host.answers(true)]);
  assert.strictEqual(granted, 0);
  await hear([guest], 'LinkOn');
  await until(() => guest.hasSeen('host') && host.hasSeen('guest'), states(three));
  await hear([viewer], 'change');
  await until(() => host.room.merges.length, states(three));
  await allTalk(three);

  host.kickOut('guest');
  await hear([guest], 'LinkOut');
  await hear([host], 'quit', 'guest');
  await until(() => guest.sees('host-mixed'), states(three));
  await until(() => host.room.merges.length >= 2, states(three));
  assert.ok(host.room.merges.every((code) => code === 0));
  await allTalk(three);
  await allWell(three);

  // The guest goes and does not know its room any more; only its group does.
  const watching = async () => (await host.ask('get_audiences', { roomID })).audienceCount;
  assert.strictEqual(await watching(), 2);
  await guest.stop();
  assert.strictEqual(await watching(), 1);
  assert.strictEqual(await host.stop(), 0);
  await hear([viewer], 'roomClosed');
  await viewer.stop();
  assert.ok(!(await viewer.rooms()).some((room) => room.roomID === roomID));
  assert.deepStrictEqual(three.flatMap(({ wx }) => wx.troubles), []); // prettier-ignore
}

// --- with a browser in the room, which the test in Python drives: `tell` says something to it

/** What a browser must be seen to do in each of these: come with picture and sound, say something, and go. */
async function browserComesAndGoes(watchers, tell, room) {
  tell({ room });
  await until(() => watchers.every((phone) => phone.hasSeen('chrome')), states(watchers), 40000);
  await until(() => watchers.every(({ texts }) => texts.length), states(watchers), 40000);
  for (const { texts } of watchers) {
    const { userID, textMsg, message } = texts[0];
    assert.deepStrictEqual([userID, textMsg || message], ['chrome', WORDS]);
  }
  await watchers[0].text('from the phone');
  tell({ seen: true });
  await until(() => watchers.every(({ players }) => !players.has('chrome')), states(watchers), 40000);
}

/** A room of many in which a browser is one of them. */
async function browserAmongMany(phones, tell) {
  const [gina, hugo] = ['gina', 'hugo'].map((name) => phones.rtc(name, 'multi_room'));
  const both = [gina, hugo];
  await Promise.all(both.map((phone) => phone.login()));
  gina.start({ roomInfo: 'with a browser' });
  await hear([gina], 'entered');
  const [roomID] = gina.heard('entered');
  hugo.start({ roomID });
  await allSeeAll(both);
  await browserComesAndGoes(both, tell, roomID);
  const { pushers } = await gina.ask('get_pushers', { roomID });
  assert.deepStrictEqual(pushers.map(({ userID }) => userID), names(both)); // prettier-ignore
  await allWell(both);
  for (const phone of both) assert.strictEqual(await phone.stop(), 0);
}

/** A room of two in which the other is a browser. */
async function browserInDoubleRoom(phones, tell) {
  const lena = phones.rtc('lena', 'double_room');
  await lena.login();
  lena.start({ roomInfo: 'with a browser' });
  await hear([lena], 'entered');
  await browserComesAndGoes([lena], tell, lena.heard('entered')[0]);
  await allWell([lena]);
  assert.strictEqual(await lena.stop(), 0);
}

/** A host on a phone, a viewer on another, and a browser that joins in. */
async function browserInLiveRoom(phones, tell) {
  const [ivan, jana] = ['ivan', 'jana'].map((name) => phones.live(name));
  await Promise.all([ivan.login(), jana.login()]);
  ivan.present('with a browser');
  await hear([ivan], 'created');
  const [roomID] = ivan.heard('created');
  jana.enter(roomID);
  await until(() => jana.sees('ivan-mixed'), states([jana]));
  await browserComesAndGoes([ivan], tell, roomID);
  await hear([jana], 'change');
  await until(() => ivan.room.merges.length >= 2, states([ivan])); // with the browser and without it
  assert.ok(ivan.room.merges.every((code) => code === 0));
  await allWell([ivan, jana]);
  assert.strictEqual(await ivan.stop(), 0);
  await hear([jana], 'roomClosed');
}

/** The mini program's room of browsers. */
async function browserInWebrtcRoom(phones, tell) {
  const kate = phones.webrtc('kate');
  await kate.login();
  await kate.start({ roomInfo: 'with a browser' });
  assert.ok((await kate.room.getRoomList(0, 20)).some(({ roomID }) => roomID === kate.roomID));
  await hear([kate], 'entered');
  await browserComesAndGoes([kate], tell, kate.roomID);
  assert.deepStrictEqual([kate.heard('error'), kate.wx.troubles], [[], []]);
  await kate.stop();
}

module.exports = {
  browserAmongMany,
  browserInDoubleRoom,
  browserInLiveRoom,
  browserInWebrtcRoom,
  doubleRoom,
  liveRoom,
  multiRoom,
};
