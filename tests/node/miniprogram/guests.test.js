/** The sample mini program against a running gateway that admits guests: no ticket but those that it gives itself. */
const path = require('path');
const { given: setting, ROOT, desk, pages, until } = require('./stage.js');
const { ffmpeg } = require('./tags.js');
const { real } = require('./wx.js');

const given = setting();
const open = real();
const { alice_phone: teacher, bob_phone: pupil } = given.files;
const tags = ffmpeg({ files: { teacher, pupil }, folder: given.folder, retryMs: 300 });
const shown = [];
const load = pages(tags);
const index = load('index');
const room = load('room');
const webrtcroom = require(path.join(ROOT, 'utils/webrtcroom.js'));

function put(page, query) {
  shown.push(page(query));
  return shown[shown.length - 1];
}

afterEach(() => shown.forEach((page) => page.detach()));

test('the sample as guests: one makes a room, the other finds it in the list', async () => {
  require(path.join(ROOT, 'config.js')).server = given.server;
  webrtcroom.serverDomain = `${given.server}/webrtc/weapp/webrtc_room`;
  const { went } = desk();
  const made = put(room, { roomID: '', roomName: 'A lesson', userID: 'teacher' });
  const component = (page) => page.querySelector('#webrtcroom').instance;
  await until(() => made.data.roomID && component(made).data.pushURL, 8000, () => JSON.stringify(made.data));
  const list = put(index);
  const lesson = () => list.data.rooms.find(({ roomInfo }) => roomInfo === 'A lesson');
  await until(lesson, 5000, 'not listed');
  list.instance.enter({ currentTarget: { dataset: { id: lesson().roomID, title: lesson().roomInfo } } });
  expect(went[0]).toContain(`roomID=${made.data.roomID}`);
  const other = put(room, { roomID: String(made.data.roomID), roomName: 'A lesson', userID: 'pupil' });
  await until(() => other.data.roomID && component(other).data.pushURL, 8000, () => JSON.stringify(other.data));
  other.instance.onDraft({ detail: { value: 'here I am' } });
  other.instance.say();
  await until(() => made.data.lines.length === 1 && other.data.lines.length === 1, 5000, 'no chat');
  expect(made.data.lines[0]).toMatchObject({ from: 'pupil', text: 'here I am', own: false });
  await until(() => component(made).data.members.some(({ loading }) => !loading), 10000, 'no picture');
  expect([made.data.trouble, other.data.trouble]).toEqual(['', '']);
  [made, other].forEach((page) => page.instance.onUnload());
  await until(() => tags.running.size + open.sockets.size + open.requests.size === 0, 4000, 'something still runs');
});
