/**
 * `<rtc-room>` and `<live-room>` against a running gateway: tests/e2e/test_miniprogram.py starts it, says in PHONES
 * (JSON) where it is and what each phone's camera shows, reads back what the phones have recorded, and starts the
 * gateway anew when a test asks for that.
 */
const fs = require('fs');
const path = require('path');
const { given: setting, handset, until } = require('./stage.js');
const { LiveRoom } = require('../stock/liveroom.js');
const { Wx } = require('../stock/wx.js');
const { ffmpeg } = require('./tags.js');
const { real } = require('./wx.js');

const given = setting();
const open = real();
// As patient as a phone: a restart of the server must not outlast it.
const tags = ffmpeg({ files: given.files, folder: given.folder, retryMs: 3000 });
const phones = [];
const old = [];

afterEach(() => {
  for (const phone of phones.splice(0)) {
    phone.made.remove();
    phone.library.logout();
  }
  old.splice(0).forEach(({ wx: network }) => network.close());
});

const state = () =>
  JSON.stringify(phones.map(({ user, made }) => [user, made.members, made.told(), made.rendered.data.pushURL]));
const call = (method, data) => new Promise((success, fail) => method({ data, success, fail }));

/** A phone of its own, logged in, with the component on its page. */
async function phone(component, kind, user, properties) {
  const handy = handset(tags, component);
  const library = handy[component === 'rtc-room' ? 'rtcroom' : 'liveroom'];
  const { userSig } = given.tickets[user];
  await call(library.login, {
    serverDomain: `${given.server}/roomservice/weapp/${kind}/`, userID: user, userSig, sdkAppID: given.sdkAppID,
    accType: '0', userName: user.toUpperCase(),
  }); // prettier-ignore
  const made = handy.put(properties);
  made.room.user_ = user;
  const one = { user, library, made, room: made.room, session: handy.session };
  phones.push(one);
  return one;
}

/** A phone with the library of 2018, which asks RoomService and polls the old IM. */
async function oldPhone(user) {
  const phone = new LiveRoom(new Wx({ user, file: given.files[user], folder: given.folder }), given.server);
  old.push(phone);
  const { userSig } = given.tickets[user];
  const account = { userID: user, userName: 'Old', userSig, sdkAppID: given.sdkAppID, accType: '0' };
  await call((options) => phone.login(options), { ...account, serverDomain: `${given.server}/weapp/live_room/` });
  phone.texts = [];
  phone.setListener({ onRecvRoomTextMsg: ({ userID, message }) => phone.texts.push([userID, message]) });
  return phone;
}

const playing = ({ made }, ...users) =>
  made.members.length === users.length &&
  users.every((user) => made.members.some(({ userID, loading }) => userID === user && !loading));
const roomOf = ({ library }) => library.getRoomInfo().roomID;
/** The operator throws somebody out. */
const kick = (room, user) =>
  new Promise((success, fail) =>
    wx.request({
      url: `${given.server}/api/v1/rooms/${room}/users/${user}?text=1`, method: 'DELETE',
      header: { Authorization: `Bearer ${given.adminToken}` },
      success: ({ statusCode, data }) => (statusCode === 200 ? success(data) : fail(new Error(JSON.stringify(data)))), fail,
    })); // prettier-ignore
/** What people have said; what the system says of comers and goers has no user. */
const texts = ({ made }) =>
  made.told('recvTextMsg')
    .map(({ detail }) => (typeof detail === 'string' ? JSON.parse(detail) : detail))
    .filter(({ userID }) => userID !== '')
    .map(({ textMsg, message }) => textMsg || message); // prettier-ignore
const all = async (check, what = state) => until(check, 20000, what);
const nothingRuns = () =>
  until(() => tags.running.size + open.requests.size === 0, 8000, () => `${tags.running.size} processes, ${open.requests.size} requests`);

test('double_room: one makes it, the other finds it in the list; a third finds no place; a restart of the server', async () => {
  const alice = await phone('rtc-room', 'double_room', 'alice_phone', { template: '1v1', roomInfo: 'A call' });
  alice.room.start();
  await all(() => alice.library.getRoomInfo().mixedPlayURL !== '');
  const bob = await phone('rtc-room', 'double_room', 'bob_phone', { template: '1v1' });
  const { rooms } = await call(bob.library.getRoomList, { index: 0, cnt: 20 });
  const found = rooms.find(({ roomInfo }) => roomInfo === 'A call');
  expect(found).toMatchObject({ roomID: roomOf(alice), roomCreator: 'alice_phone' });
  bob.made.rendered.setData({ roomID: found.roomID });
  bob.room.start();
  await all(() => playing(alice, 'bob_phone') && playing(bob, 'alice_phone'));
  alice.room.sendTextMsg('hello }} there');
  await all(() => texts(bob).length === 1 && texts(alice).length === 1);
  expect([texts(alice), texts(bob)]).toEqual([['hello }} there'], ['hello }} there']]);

  const carol = await phone('rtc-room', 'double_room', 'carol_phone', { template: '1v1', roomID: found.roomID });
  carol.room.start();
  await all(() => carol.made.errors().length === 2);
  expect(carol.made.errors()).toEqual([-8, -3]);
  expect(carol.made.told('error')[1].detail).toContain('5001');

  // The tokens are void afterwards, the lines and streams are broken, the room is kept.
  fs.writeFileSync(path.join(given.folder, 'restart'), '');
  await all(() => fs.existsSync(path.join(given.folder, 'restarted')));
  await all(() => playing(alice, 'bob_phone') && playing(bob, 'alice_phone'));
  bob.room.sendTextMsg('still here');
  await all(() => texts(alice).length === 2);
  const { pushers } = await call(alice.library.getPushers, { roomID: found.roomID });
  expect(pushers.map(({ userID }) => userID)).toEqual(['bob_phone']);

  bob.room.stop();
  await all(() => alice.made.members.length === 0);
  alice.room.stop();
  await nothingRuns();
  expect([alice.made.errors(), bob.made.errors()]).toEqual([[], []]);
}, 60000);

test('multi_room: three see each other, one goes and comes again, one is thrown out', async () => {
  const users = ['alice_phone', 'bob_phone', 'carol_phone'];
  const members = [];
  for (const user of users) {
    members.push(await phone('rtc-room', 'multi_room', user, { template: '1v3', roomID: 'lesson-1', roomInfo: 'Lesson' }));
  }
  members.forEach(({ room }) => room.start());
  const complete = () => members.every((one) => playing(one, ...users.filter((user) => user !== one.user)));
  await all(complete);
  members[2].room.stop();
  await all(() => playing(members[0], 'bob_phone') && playing(members[1], 'alice_phone'));
  members[2].room.start();
  await all(complete);
  await kick('lesson-1', 'bob_phone');
  await all(() => members[1].made.errors().length === 1);
  await all(() => playing(members[0], 'carol_phone') && playing(members[2], 'alice_phone'));
  expect(members[1].made.told('error')).toEqual([{ tag: 'error', code: -10, detail: 'kick' }]);
  expect([members[1].made.members, members[1].made.rendered.data.pushURL]).toEqual([[], '']);
  members.forEach(({ room }) => room.stop());
  await nothingRuns();
  expect([members[0], members[2]].flatMap(({ made }) => made.errors())).toEqual([]);
}, 60000);

test('live_room: presenter, audience, a guest linked and removed, a viewer thrown out, the end', async () => {
  const host = await phone('live-room', 'live_room', 'host_phone', { role: 'presenter', roomname: 'On air' });
  host.room.start();
  await all(() => host.made.told('created').length === 1);
  const { rooms } = await call(host.library.getRoomList, { index: 0, cnt: 20 });
  const { roomID } = rooms.find(({ roomInfo }) => roomInfo === 'On air');
  const guest = await phone('live-room', 'live_room', 'guest_phone', { roomid: roomID });
  const viewer = await phone('live-room', 'live_room', 'viewer_phone', { roomid: roomID });
  [guest, viewer].forEach(({ room }) => room.start());
  await all(() => playing(guest, 'host_phone') && playing(viewer, 'host_phone'));
  expect(guest.made.members[0]).toMatchObject({ mode: 'live', accelerateURL: expect.stringMatching(/^http.*\.flv\?/) });

  // Refused, then accepted.
  guest.room.requestJionPusher();
  await all(() => host.made.told('joinPusher').length === 1);
  const asked = host.made.told('joinPusher')[0].detail;
  expect(asked).toEqual({ userID: 'guest_phone', userName: 'GUEST_PHONE', userAvatar: '' });
  host.room.respondJoinReq(false, asked);
  await all(() => guest.made.errors().length === 1);
  expect(guest.made.errors()).toEqual([-9004]);
  guest.room.requestJoinPusher();
  await all(() => host.made.told('joinPusher').length === 2);
  host.room.respondJoinReq(true, asked);
  await all(() => guest.made.told('LinkOn').length === 1 && playing(host, 'guest_phone') && playing(guest, 'host_phone'));
  expect(guest.made.members[0]).toMatchObject({ mode: 'RTC', accelerateURL: expect.stringMatching(/^rtmp:/) });
  expect(viewer.made.members).toHaveLength(1);
  // One of the audience has a phone of 2018: both sides read each other, and it asks like anybody.
  const viewerOf2018 = await oldPhone('old_phone');
  await call((options) => viewerOf2018.enterRoom(options), { roomID });
  viewer.room.sendTextMsg('from the audience');
  await all(() => viewerOf2018.texts.some(([user]) => user === 'viewer_phone'));
  viewerOf2018.sendRoomTextMsg({ data: { msg: 'from an old phone' } });
  await all(() => [host, guest, viewer].every((one) => texts(one).length === 2));
  expect(viewerOf2018.texts.filter(([user]) => user === 'viewer_phone')).toEqual([['viewer_phone', 'from the audience']]);
  const refused = call((options) => viewerOf2018.requestJoinPusher(options), {}).catch(({ errCode }) => errCode);
  await all(() => host.made.told('joinPusher').length === 3);
  expect(host.made.told('joinPusher')[2].detail).toMatchObject({ userID: 'old_phone', userName: 'Old' });
  host.room.respondJoinReq(false, host.made.told('joinPusher')[2].detail);
  expect(await refused).toBe(-999);
  // Long enough for what the phones record to be judged.
  await new Promise((resolve) => setTimeout(resolve, 3000));

  host.made.get('.room-close').dispatchEvent('tap');
  await all(() => guest.made.told('LinkOut').length === 1 && playing(guest, 'host_phone') && host.made.members.length === 0);
  expect(guest.made.members[0].mode).toBe('live');
  await kick(roomID, 'viewer_phone');
  await all(() => viewer.made.errors().length === 1);
  host.room.stop();
  await all(() => guest.made.told('roomClosed').length === 1);
  expect(guest.made.told('roomClosed')[0].code).toBe(-9006);
  await nothingRuns();
  expect([host.made.errors(), guest.made.errors(), viewer.made.errors()]).toEqual([[], [-9004], [-9007]]);
  expect(viewer.made.told('roomClosed')).toEqual([]);
}, 60000);
