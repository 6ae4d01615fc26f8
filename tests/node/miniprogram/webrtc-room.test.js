/** `<webrtc-room>` against made-up answers: the way in and out, its tags, its error codes. */
const { PUSH, listed, userlist, webrtcRoom } = require('./webrtc_world.js');

const scene = webrtcRoom();

test('properties have the defaults of the stock component', () => {
  const { data } = scene.put({}).rendered;
  expect(data).toMatchObject({
    roomID: 0, roomName: '', userID: '', userName: '', userSig: '', sdkAppID: 0, privateMapKey: '', template: '',
    beauty: 5, whiteness: 5, aspect: '3:4', minBitrate: 200, maxBitrate: 400, muted: false, debug: false,
    enableIM: true, roomCreator: '', useCloud: true, autoplay: false, enableCamera: true, pureAudioPushMod: 0,
    recordId: null, waitingImg: '', loadingImg: '', smallViewLeft: '1vw', smallViewTop: '1vw',
  }); // prettier-ignore
});

test('start asks for the addresses, pushes, plays, and logs in', async () => {
  const made = await scene.enter({ template: '1v3' }, 'alice', 'bob');
  expect(scene.world.posts[0]).toEqual({
    name: 'get_push_url',
    url: 'https://gw.example/webrtc/weapp/webrtc_room/get_push_url',
    data: { userID: 'phone', roomID: '1001', userSig: 'sig', privateMapKey: 'key', nickName: 'Phone' },
  });
  expect(scene.world.socket.url).toBe('wss://gw.example/im');
  expect(scene.world.socket.sent[0]).toMatchObject({
    cmd: 'login', sdkAppID: 1400000001, userID: 'phone', userSig: 'sig', roomID: 1001, privateMapKey: 'key',
  }); // prettier-ignore
  expect(made.get('#rtcpusher').data).toMatchObject({ url: PUSH, mode: 'RTC', aspect: '3:4', audioQuality: 'high' });
  expect(made.get('#player-alice').data).toMatchObject({
    src: 'rtmp://gw/live/alice', mode: 'RTC', autoplay: true, minCache: 0.1, maxCache: 0.3,
  }); // prettier-ignore
  expect(scene.calls).toContainEqual(['pusher', 'start', PUSH]);
  expect(made.members.map(({ userID, userName }) => [userID, userName])).toEqual([['alice', 'ALICE'], ['bob', 'BOB']]);
  expect(made.errors()).toEqual([]);
});

test('a member without the right to send pushes nothing', async () => {
  const made = scene.phone();
  scene.world.answer = () => ({ code: 0, pushURL: '', members: listed('bob') });
  made.room.start();
  await scene.tick();
  expect(scene.calls.filter(([who]) => who === 'pusher')).toEqual([]);
  expect(made.count('.room-player')).toBe(1);
});

test.each([
  [-1301, -4, true],
  [-1302, -5, true],
  [-1307, -6, true],
  [1019, -10, true],
  [5000, 5000, true],
])('pusher state %d is error %d and ends the stay', async (code, error) => {
  const made = await scene.enter({}, 'bob');
  made.pusherSays(code);
  await scene.tick();
  expect(made.errors()).toEqual([error]);
  expect(made.events[made.events.length - 1][1]).toMatchObject({ tag: 'error', code: error });
  expect(made.members).toEqual([]);
  expect(scene.world.socket.frames('logout')).toHaveLength(1);
  expect(scene.calls).toContainEqual(['pusher', 'stop', PUSH]);
  expect(jest.getTimerCount()).toBe(0);
});

test.each([1001, 1002, 1003, 1005, 1006, 1007, 1008, 1018, 1101, 1102, 1103, 3001, 3002, 3003, 3004, 3005, -1303])(
  'pusher state %d changes nothing', async (code) => {
    const made = await scene.enter({}, 'bob');
    made.pusherSays(code);
    await scene.tick();
    expect(made.errors()).toEqual([]);
    expect(made.members).toHaveLength(1);
  });

test('1020 is a list of members, 1021 enters again', async () => {
  const made = await scene.enter({});
  made.pusherSays(1020, JSON.stringify({ userlist: userlist('carol') }));
  await scene.tick();
  expect(made.members.map(({ userID }) => userID)).toEqual(['carol']);
  const warned = jest.spyOn(console, 'warn').mockImplementation(() => {});
  made.pusherSays(1020, 'no JSON');
  expect(warned).toHaveBeenCalledTimes(1);
  warned.mockRestore();
  made.pusherSays(1021);
  await scene.tick();
  expect(scene.world.posts.filter(({ name }) => name === 'get_push_url')).toHaveLength(2);
  expect(made.errors()).toEqual([]);
});

test.each([10001, 10002])('no permission (%d) is -7', async (errCode) => {
  const made = await scene.enter({});
  made.get('#rtcpusher').instance.triggerEvent('error', { errCode, errMsg: 'no' });
  expect(made.errors()).toEqual([-7]);
});

test('no address: asked again after 2 s, -9 after the fourth failure', async () => {
  const made = scene.phone();
  const answers = [new Error('no network'), { code: 4001, message: 'no' }, '<html>', { code: 5001, message: 'full' }];
  scene.world.answer = () => answers.shift();
  made.room.start();
  for (let failures = 1; failures <= 3; failures += 1) {
    await scene.tick();
    expect([scene.world.posts.length, made.errors()]).toEqual([failures, []]);
    await scene.tick(1999);
    expect(scene.world.posts.length).toBe(failures);
    await scene.tick(1);
  }
  expect([scene.world.posts.length, made.errors()]).toEqual([4, [-9]]);
  expect(made.events[0][1].detail).toContain('full');
  await scene.tick(60000);
  expect([scene.world.posts.length, scene.world.sockets.length]).toEqual([4, 0]);
  // A page may try again.
  scene.world.answer = () => ({ code: 0, pushURL: PUSH, members: [] });
  made.room.start();
  await scene.tick();
  expect(scene.world.sockets.length).toBe(1);
});

test.each([[null], ['<html>'], [[]], [{}], [{ code: '0' }], [{ RspBody: {} }]])(
  'quirk 39: an answer that cannot be read (%p) is no address, and nothing throws', async (answer) => {
    const made = scene.phone();
    scene.world.answer = () => answer;
    made.room.start();
    for (let failures = 0; failures <= 3; failures += 1) await scene.tick(2000);
    expect([made.errors(), scene.world.sockets.length]).toEqual([[-9], 0]);
  });

test.each([['userID', ''], ['userSig', ''], ['roomID', 0]])('without %s there is no start', async (name, value) => {
  const made = scene.phone({ [name]: value });
  made.room.start();
  await scene.tick();
  expect([made.errors(), scene.world.posts]).toEqual([[-9], []]);
});

test('kicked: the page hears it, the stay is over', async () => {
  const made = await scene.enter({}, 'bob');
  scene.world.socket.receive({ cmd: 'kicked', reason: 'kick' });
  await scene.tick(60000);
  expect(made.im('error')).toEqual([{ tag: 'error', code: 'kicked', detail: 'kick' }]);
  expect(made.errors()).toEqual([-10]);
  expect([made.members, scene.world.sockets.length, jest.getTimerCount()]).toEqual([[], 1, 0]);
  expect(scene.world.posts.map(({ name }) => name)).not.toContain('quit_room');
});

test('a login that is refused is -10, and its reason an event', async () => {
  const made = scene.phone();
  made.room.start();
  await scene.tick();
  scene.world.socket.open();
  scene.world.socket.receive({ re: scene.world.socket.sent[0].id, code: 9, name: 'bad_ticket', message: 'expired' });
  await scene.tick(60000);
  expect(made.errors()).toEqual([-10]);
  expect(made.im('login_event')).toEqual([{
    tag: 'login_event', code: 9,
    detail: { ActionStatus: 'FAIL', ErrorCode: 9, ErrorInfo: 'expired', SrcErrorInfo: 'expired' },
  }]); // prettier-ignore
  expect(scene.world.sockets.length).toBe(1);
});

test('stop leaves nothing: no socket, no timer, no player, no request', async () => {
  const made = await scene.enter({}, 'bob');
  made.room.stop();
  await scene.tick();
  expect(scene.world.socket.frames('logout')).toHaveLength(1);
  expect([scene.world.socket.closed, jest.getTimerCount(), scene.world.network]).toEqual([true, 0, null]);
  expect(scene.calls.slice(-2)).toEqual([['player-bob', 'stop', 'rtmp://gw/live/bob'], ['pusher', 'stop', PUSH]]);
  expect([made.members, made.rendered.data.pushURL]).toEqual([[], '']);
  made.room.stop();
  await scene.tick(60000);
  expect(scene.world.sockets.length).toBe(1);
});

test('stop while the addresses are asked for: no later answer starts anything', async () => {
  const made = scene.phone();
  scene.world.answer = () => undefined;
  made.room.start();
  await scene.tick();
  made.room.stop();
  await scene.tick(60000);
  expect(made.errors()).toEqual([]);
  expect(scene.world.posts.map(({ name }) => name)).toEqual(['get_push_url', 'quit_room']);
  expect([scene.world.sockets.length, jest.getTimerCount()]).toEqual([0, 0]);
});

test('stop while the line is down leaves by a request', async () => {
  const made = await scene.enter({});
  scene.world.socket.drop();
  made.room.stop();
  await scene.tick(60000);
  expect(scene.world.posts[scene.world.posts.length - 1].name).toBe('quit_room');
  expect(scene.world.sockets.length).toBe(1);
});

test('a page that goes takes the room with it', async () => {
  const made = await scene.enter({}, 'bob');
  made.remove();
  await scene.tick();
  expect([scene.world.socket.frames('logout').length, jest.getTimerCount()]).toEqual([1, 0]);
});

test('pause, resume, switchCamera, camera and microphone', async () => {
  const made = await scene.enter({}, 'bob');
  scene.calls.length = 0;
  made.room.pause();
  made.room.resume();
  expect(scene.calls.map(([who, name]) => `${who} ${name}`)).toEqual([
    'pusher pause', 'player-bob pause', 'pusher resume', 'player-bob resume',
  ]); // prettier-ignore
  expect(scene.world.socket.frames('ping')).toHaveLength(1);
  scene.calls.length = 0;
  made.room.switchCamera();
  made.room.enableVideo(false);
  await scene.tick();
  // enable-camera is no living attribute: set, stop, start.
  expect(scene.calls.map(([, name]) => name)).toEqual(['switchCamera', 'stop', 'start']);
  expect(made.get('#rtcpusher').data.enableCamera).toBe(false);
  made.room.enableAudio(false);
  expect(made.get('#rtcpusher').data.muted).toBe(true);
  made.room.enableAudio(true, 'phone');
  expect(made.get('#rtcpusher').data.muted).toBe(false);
});
