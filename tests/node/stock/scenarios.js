/**
 * What people did with the rooms of 2018. `phones` makes phones with a room library on them: `phones.rtc(user, kind)`,
 * `phones.live(user)`, `phones.webrtc(user)`. Each story ends with everybody's polls still alive, and with no trouble that the phones noticed.
 */
const assert = require('node:assert');
const { sleep, until } = require('./phones.js');

const RECORD_MS = 2600;
const WORDS = 'from the browser';
/** What somebody hears for whom there is no place: from its own component, and from the server. */
const REFUSED = [['enterRoom', 5001], ['show', -8]];
const AWKWARD = 'hello [微笑] <b>"5 > 3"</b> a }} b';

/** Wait until each of `phones` sees all others, and then for as long as the recordings need. */
async function allSeeAll(phones) {
  const state = () => phones.map(({ user, events, players }) => [user, events, [...players.values()].map(({ codes }) => codes)]);
  const others = (phone) => phones.filter((other) => other !== phone).map(({ user }) => user);
  await until(() => phones.every((phone) => phone.sees(...others(phone))), () => JSON.stringify(state())); // prettier-ignore
  await sleep(RECORD_MS);
}

/** Everybody says something and everybody hears it, the sender too, once. */
async function allTalk(phones, words = AWKWARD) {
  for (const phone of phones) await phone.text(`${phone.user}: ${words}`);
  const expected = phones.map(({ user }) => `${user}: ${words}`);
  const texts = (phone) => phone.texts.map((text) => plain(text.textMsg || text.message));
  const all = () => phones.every((phone) => texts(phone).length >= expected.length);
  await until(all, () => JSON.stringify(phones.map(texts)));
  for (const phone of phones) {
    assert.deepStrictEqual(texts(phone).sort(), [...expected].sort());
    assert.deepStrictEqual([...new Set(phone.texts.map(({ userID }) => userID))].sort(), phones.map(({ user }) => user).sort());
    phone.texts.length = 0;
  } // prettier-ignore
}

/** The IM's library shows these escaped. */
const plain = (text) => text.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"');

/** How often a phone has asked its group for something new. */
const polled = ({ wx }) => wx.sent.filter((path) => path.endsWith('/get_msg')).length;

/** No poll has died, nobody was kicked, no request failed. */
async function allWell(phones) {
  await until(() => phones.every((phone) => phone.polls()), 'the polls are under way');
  for (const phone of phones) {
    assert.deepStrictEqual(phone.wx.troubles, [], phone.user);
    assert.deepStrictEqual((phone.room.im && phone.room.im.deaths) || [], [], phone.user);
    assert.ok(!(phone.room.im && phone.room.im.kicked), `${phone.user} was kicked`);
  }
}

/** Two people: one makes the room, the other finds it in the list; the second goes, then the first. */
async function doubleRoom(phones) {
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => phones.rtc(name, 'double_room'));
  await Promise.all([alice, bob, carol].map((phone) => phone.login()));
  alice.start({ roomInfo: 'consultation }}' });
  await until(() => alice.heard('entered').length, () => JSON.stringify(alice.events));
  const listed = (await bob.rooms()).find(({ roomInfo }) => roomInfo === 'consultation }}');
  assert.deepStrictEqual([listed.roomCreator, listed.pushers.length], ['alice', 1]);
  bob.start({ roomID: listed.roomID });
  await allSeeAll([alice, bob]);
  await allTalk([alice, bob]);
  carol.start({ roomID: listed.roomID });
  await until(() => carol.heard('error').length >= 2, 'the third is refused');
  assert.deepStrictEqual(carol.heard('error').sort(), REFUSED);
  await allWell([alice, bob]);
  assert.strictEqual(await bob.stop(), 0);
  await until(() => alice.heard('quit').includes('bob'), 'the one hears that the other has gone');
  await allTalk([alice]);
  // The same two again, in the same room; the page logs in once more, with the token that it still has.
  await bob.login();
  bob.start({ roomID: listed.roomID });
  await until(() => alice.sees('bob') && bob.sees('alice'), 'they meet again');
  await allTalk([alice, bob]);
  await allWell([alice, bob]);
  // The room is ended. Nobody quits its group then, and the old poll goes on: quietly, and beside the next one.
  const [id, before] = [listed.roomID, [alice, bob].map(polled)];
  assert.strictEqual((await alice.ask('destroy_room', { roomID: id, userID: 'alice' })).code, 0);
  await until(() => [alice, bob].every((phone) => phone.heard('roomClosed').length), 'both hear of the end');
  assert.deepStrictEqual((await bob.rooms()).filter(({ roomID }) => roomID === id), []);
  await sleep(1500);
  [alice, bob].forEach((phone, number) => assert.ok(polled(phone) <= before[number] + 2, `${phone.user} spins`));
  alice.start({ roomID: id });
  await until(() => alice.heard('entered').length === 2, () => JSON.stringify(alice.events));
  bob.start({ roomID: id });
  await until(() => alice.sees('bob') && bob.sees('alice'), 'they meet in a new room of that name');
  await allTalk([alice, bob]);
  await allWell([alice, bob]);
  assert.strictEqual(await bob.stop(), 0);
  assert.strictEqual(await alice.stop(), 0);
}

/** Four people and a fifth who is refused; the one who made the room leaves, and it goes on. */
async function multiRoom(phones) {
  const names = ['ann', 'ben', 'cleo', 'dan'];
  const four = names.map((name) => phones.rtc(name, 'multi_room'));
  const eve = phones.rtc('eve', 'multi_room');
  await Promise.all([...four, eve].map((phone) => phone.login()));
  four[0].start({ roomID: 'board', roomInfo: '{"name":{"of":"it"}}' });
  await until(() => four[0].heard('entered').length, () => JSON.stringify(four[0].events));
  four.slice(1).forEach((phone) => phone.start({ roomID: 'board' }));
  await allSeeAll(four);
  eve.start({ roomID: 'board' });
  await until(() => eve.heard('error').length >= 2, () => JSON.stringify(eve.events));
  assert.deepStrictEqual(eve.heard('error').sort(), REFUSED);
  await allTalk(four);
  await allWell(four);
  assert.strictEqual(await four[0].stop(), 0);
  const rest = four.slice(1);
  await until(() => rest.every((phone) => phone.heard('quit').includes('ann')), 'they hear that the creator has left');
  await allTalk(rest);
  await allWell(rest);
  assert.deepStrictEqual(rest.map((phone) => phone.room.getRoomInfo().roomCreator), ['ann', 'ann', 'ann']);
  for (const phone of rest) assert.strictEqual(await phone.stop(), 0);
}

/** A host, two viewers, link-mic refused and granted, a guest who is thrown out, a host who leaves. */
async function liveRoom(phones) {
  const [host, viewer, guest] = ['host', 'viewer', 'guest'].map((name) => phones.live(name));
  await Promise.all([host, viewer, guest].map((phone) => phone.login()));
  host.present('lesson');
  await until(() => host.heard('created').length, () => JSON.stringify(host.events));
  const [roomID] = host.heard('created');
  [viewer, guest].forEach((phone) => phone.enter(roomID));
  await until(() => [viewer, guest].every((phone) => phone.sees('host-mixed')), () => JSON.stringify([viewer.events, guest.events]));
  await sleep(RECORD_MS);
  await allTalk([host, viewer, guest]);

  const [refused] = await Promise.all([viewer.link(), host.answers(false)]);
  assert.strictEqual(refused, -999);
  assert.strictEqual(await guest.link(300), -999); // nobody answers in time
  const asked = await host.asks();
  assert.deepStrictEqual([asked.userID, asked.userName], ['guest', "guest's phone"]);
  const [granted] = await Promise.all([guest.link(), host.answers(true)]);
  assert.strictEqual(granted, 0);
  await until(() => guest.heard('LinkOn').length && guest.sees('host') && host.sees('guest'), () =>
    JSON.stringify([host.events, guest.events])); // prettier-ignore
  await sleep(RECORD_MS);
  await until(() => viewer.heard('change').length, 'the viewer hears of the change too');
  if (host.room.merges) await until(() => host.room.merges.length, 'the host asks for one picture');
  await allTalk([host, viewer, guest]);

  host.kickOut('guest');
  await until(() => host.heard('kicked').length && guest.heard('LinkOut').length, 'the guest is thrown out');
  await until(() => host.heard('quit').includes('guest') && guest.sees('host-mixed'), 'all is as it was');
  if (host.room.merges) assert.ok(host.room.merges.every((code) => code === 0));
  await sleep(RECORD_MS);
  await allTalk([host, viewer, guest]);
  await allWell([host, viewer, guest]);

  // The guest goes and does not know its room any more; only its group does.
  const viewers = async () => (await host.ask('get_audiences', { roomID })).audienceCount;
  assert.strictEqual(await viewers(), 2);
  await guest.stop();
  assert.strictEqual(await viewers(), 1);
  assert.strictEqual(await host.stop(), 0);
  await until(() => viewer.heard('roomClosed').length, 'the viewer hears of the end');
  await viewer.stop();
  assert.deepStrictEqual((await viewer.rooms()).filter((room) => room.roomID === roomID), []);
  assert.deepStrictEqual([host, viewer, guest].flatMap(({ wx }) => wx.troubles), []);
}

// --- with a browser in the room, which the test in Python drives: `tell` says something to it

/** What a browser must be seen to do in each of these: come with picture and sound, say something, and go. */
async function browserComesAndGoes(watchers, tell, room) {
  tell({ room });
  const states = () => JSON.stringify(watchers.map(({ events, players }) => [events, [...players.values()]]));
  await until(() => watchers.every((phone) => phone.sees('chrome')), states, 40000);
  await sleep(RECORD_MS);
  await until(() => watchers.every(({ texts }) => texts.length), 'the words of the browser', 30000);
  for (const { texts } of watchers) assert.deepStrictEqual([texts[0].userID, texts[0].textMsg || texts[0].message], ['chrome', WORDS]);
  await watchers[0].text('from the phone');
  tell({ seen: true });
  await until(() => watchers.every(({ players }) => !players.has('chrome')), states, 40000);
} // prettier-ignore

/** A room of many in which a browser is one of them. */
async function browserAmongMany(phones, tell) {
  const [gina, hugo] = ['gina', 'hugo'].map((name) => phones.rtc(name, 'multi_room'));
  await Promise.all([gina.login(), hugo.login()]);
  gina.start({ roomInfo: 'with a browser' });
  await until(() => gina.heard('entered').length, () => JSON.stringify(gina.events));
  const roomID = gina.heard('entered')[0];
  hugo.start({ roomID });
  await until(() => gina.sees('hugo') && hugo.sees('gina'), 'the phones see each other');
  await browserComesAndGoes([gina, hugo], tell, roomID);
  const { pushers } = await gina.ask('get_pushers', { roomID });
  assert.deepStrictEqual(pushers.map(({ userID }) => userID), ['gina', 'hugo']); // prettier-ignore
  await allWell([gina, hugo]);
  for (const phone of [gina, hugo]) assert.strictEqual(await phone.stop(), 0);
}

/** A room of two in which the other is a browser. */
async function browserInDoubleRoom(phones, tell) {
  const lena = phones.rtc('lena', 'double_room');
  await lena.login();
  lena.start({ roomInfo: 'with a browser' });
  await until(() => lena.heard('entered').length, () => JSON.stringify(lena.events));
  await browserComesAndGoes([lena], tell, lena.heard('entered')[0]);
  await allWell([lena]);
  assert.strictEqual(await lena.stop(), 0);
}

/** A host on a phone, a viewer on another, and a browser that joins in. */
async function browserInLiveRoom(phones, tell) {
  const [ivan, jana] = ['ivan', 'jana'].map((name) => phones.live(name));
  await Promise.all([ivan.login(), jana.login()]);
  ivan.present('with a browser');
  await until(() => ivan.heard('created').length, () => JSON.stringify(ivan.events));
  const [roomID] = ivan.heard('created');
  jana.enter(roomID);
  await until(() => jana.sees('ivan-mixed'), () => JSON.stringify(jana.events));
  await browserComesAndGoes([ivan], tell, roomID);
  await until(() => jana.heard('change').length, 'the viewer hears of the change');
  await until(() => ivan.room.merges.length >= 2, 'the host asks for one picture, with the browser and without it');
  assert.ok(ivan.room.merges.every((code) => code === 0));
  await allWell([ivan, jana]);
  assert.strictEqual(await ivan.stop(), 0);
  await until(() => jana.heard('roomClosed').length, 'the viewer hears of the end');
}

/** The mini program's room of browsers. */
async function browserInWebrtcRoom(phones, tell) {
  const kate = phones.webrtc('kate');
  await kate.login();
  await kate.start({ roomInfo: 'with a browser' });
  const listed = (await kate.room.getRoomList(0, 20)).map(({ roomID }) => roomID);
  assert.ok(listed.includes(kate.roomID));
  await until(() => kate.heard('entered').length, () => JSON.stringify(kate.events));
  await browserComesAndGoes([kate], tell, kate.roomID);
  assert.deepStrictEqual([kate.heard('error'), kate.wx.troubles], [[], []]);
  await kate.stop();
}

module.exports = { browserAmongMany, browserInDoubleRoom, browserInLiveRoom, browserInWebrtcRoom, doubleRoom, liveRoom, multiRoom };
