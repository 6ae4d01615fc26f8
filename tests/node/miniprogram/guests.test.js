/** The sample mini program against a running gateway that admits guests: no ticket but those that it gives itself. */
const { given: setting, desk, pages, until } = require('./stage.js');
const { ffmpeg } = require('./tags.js');
const { real } = require('./wx.js');

const given = setting();
const open = real();
const { alice_phone: teacher, bob_phone: pupil } = given.files;
const tags = ffmpeg({ files: { teacher, pupil }, folder: given.folder, retryMs: 300 });
const shown = [];

/** A phone with the sample on it, which knows this gateway. */
function phone(...names) {
  const app = pages(tags, ...names);
  Object.assign(app.config, { server: given.server, serverUrl: given.server, roomServiceUrl: given.server });
  app.webrtcroom.serverDomain = `${given.server}/webrtc/weapp/webrtc_room`;
  return app;
}

function put(page, query, user) {
  const made = page(query);
  shown.push(made);
  for (const id of ['#rtcroom', '#liveroom']) if (made.querySelector(id)) made.querySelector(id).instance.user_ = user;
  return made;
}

const component = (page, id) => page.querySelector(id).instance;
const plays = (page, id) => component(page, id).data.members.some(({ loading }) => !loading);
const ended = () => until(() => tags.running.size + open.requests.size === 0, 8000, 'something still runs');

afterEach(() => shown.splice(0).forEach((page) => page.detach()));

test('a lesson with browsers: one makes a room, the other finds it in the list', async () => {
  const { went } = desk();
  const app = phone('list', 'room');
  const made = put(app.room, { roomID: '', roomName: 'A lesson', userID: 'teacher' });
  await until(() => made.data.roomID && component(made, '#webrtcroom').data.pushURL, 8000, () => JSON.stringify(made.data));
  const list = put(app.list, { kind: 'webrtc_room', userID: 'pupil' });
  const lesson = () => list.data.rooms.find(({ title }) => title === 'A lesson');
  await until(lesson, 5000, 'not listed');
  list.instance.enter({ currentTarget: { dataset: { id: lesson().roomID, title: lesson().title } } });
  expect(went[0]).toContain(`roomID=${made.data.roomID}`);
  const other = put(app.room, { roomID: String(made.data.roomID), roomName: 'A lesson', userID: 'pupil' });
  await until(() => other.data.roomID && component(other, '#webrtcroom').data.pushURL, 8000, () => JSON.stringify(other.data));
  other.instance.onSay({ detail: { text: 'here I am' } });
  await until(() => made.data.lines.length === 1 && other.data.lines.length === 1, 5000, 'no chat');
  expect(made.data.lines[0]).toMatchObject({ from: 'pupil', text: 'here I am', own: false });
  await until(() => plays(made, '#webrtcroom'), 10000, 'no picture');
  expect([made.data.trouble, other.data.trouble]).toEqual(['', '']);
  [made, other].forEach((page) => page.instance.onUnload());
  await ended();
  await until(() => open.sockets.size === 0, 4000, 'a socket is open');
});

test.each([
  ['multi_room', 'call', '#rtcroom'],
  ['live_room', 'live', '#liveroom'],
])('%s: one makes a room, the other finds it in the list', async (kind, name, id) => {
  const { went } = desk();
  const [first, second] = [phone(name), phone('list', name)];
  const made = put(first[name], { kind, roomID: '', roomName: 'A talk', userID: 'teacher', role: 'presenter' }, 'teacher');
  const list = put(second.list, { kind, userID: 'pupil' });
  const talk = () => list.data.rooms.find(({ title }) => title === 'A talk');
  await until(() => {
    if (!talk()) list.instance.refresh();
    return talk();
  }, 15000, () => JSON.stringify([made.data.trouble, list.data]));
  list.instance.enter({ currentTarget: { dataset: { id: talk().roomID, title: talk().title } } });
  expect(went[0]).toContain(`roomID=${talk().roomID}`);
  const other = put(second[name], { kind, roomID: talk().roomID, roomName: 'A talk', userID: 'pupil', role: 'audience' }, 'pupil');
  await until(() => plays(other, id), 15000, () => JSON.stringify([made.data, other.data]));
  other.instance.onSay({ detail: { text: 'here I am' } });
  const said = () => made.data.lines.filter(({ from }) => from !== '');
  await until(() => said().length === 1, 5000, 'no chat');
  expect(said()[0]).toMatchObject({ from: 'pupil', text: 'here I am', own: false });
  expect([made.data.trouble, other.data.trouble]).toEqual(['', '']);
  [made, other].forEach((page) => page.instance.onUnload());
  await ended();
  [first, second].forEach(({ session }) => session.logout());
  await until(() => open.sockets.size === 0, 4000, 'a socket is open');
});
