/**
 * One phone in a room with a browser, which tests/e2e/test_miniprogram.py drives meanwhile: they see, hear and write to
 * each other until the browser says goodbye.
 */
const { given: setting, stage, until } = require('./stage.js');
const { ffmpeg } = require('./tags.js');
const { real } = require('./wx.js');

const given = setting();
const open = real();
const tags = ffmpeg({ files: given.files, folder: given.folder, retryMs: 300 });
const put = stage(tags);
const USER = 'alice_phone';
const ROOM = 5005;

test('a phone and a browser', async () => {
  const { userSig, privateMapKey } = given.tickets[USER];
  const made = put({
    serverDomain: given.server, template: '1v3', autoplay: true, userID: USER, userName: 'Alice',
    roomID: ROOM, userSig, privateMapKey: privateMapKey[ROOM],
  }); // prettier-ignore
  const state = () => JSON.stringify([made.members, made.errors(), made.texts()]);
  await until(() => made.get('#rtcpusher'), 1000, 'not drawn');
  made.room.start();
  await until(() => made.members.length === 1 && !made.members[0].loading, 20000, state);
  expect(made.members[0]).toMatchObject({ userID: 'chrome', userName: 'Chrome' });
  await until(() => made.texts().includes('from the browser'), 20000, state);
  const sent = await new Promise((done, failed) =>
    made.room.sendGroupCustomMsg({ data: 'from the phone', ext: 'TEXT', desc: '{"nickName":"Al"}' }, done, failed));
  expect(sent.getSeq()).toBe(2);
  await until(() => made.im('msg_notify').length === 1, 20000, state);
  expect(made.im('msg_notify')[0].detail[0].getElems()[0].getContent().getText()).toBe('only you');
  await until(() => made.texts().includes('goodbye'), 20000, state);
  expect(made.texts()).toEqual(['from the browser', 'from the phone', 'goodbye']);
  made.room.stop();
  await until(() => tags.running.size + open.sockets.size + open.requests.size === 0, 4000, 'something still runs');
  expect(made.errors()).toEqual([]);
}, 60000);
