/** `<webrtc-room>` against made-up answers: templates and places, members and their players. */
const { PUSH, userlist, webrtcRoom } = require('./webrtc_world.js');

const scene = webrtcRoom();

test.each([
  ['1v1', 1, ['room-1v1', 'room-place-1']],
  ['bigsmall', 1, ['room-bigsmall', 'room-place-1']],
  ['1v3', 3, ['room-1v3', 'room-place-3']],
  ['1u3d', 3, ['room-1u3d', 'room-place-3']],
  ['1l3r', 3, ['room-1l3r', 'room-place-3']],
  ['grid', 3, ['room-grid', 'room-place-3']],
  ['float', 3, ['room-float', 'room-place-3']],
  ['', 3, ['room-1v3']],
  ['unknown', 3, ['room-1v3']],
])('template %p shows %d others and says -8 beyond', async (template, most, classes) => {
  const users = ['a1', 'b1', 'c1', 'd1'];
  const made = await scene.enter({ template }, ...users.slice(0, most));
  expect(made.count('#rtcpusher')).toBe(1);
  expect(made.count('.room-player')).toBe(most);
  classes.forEach((name) => expect(made.count(`.${name}`)).toBe(1));
  expect(made.errors()).toEqual([]);
  scene.world.socket.receive({ cmd: 'userlist', userlist: userlist(...users.slice(0, most + 1)) });
  scene.world.socket.receive({ cmd: 'userlist', userlist: userlist(...users.slice(0, most + 1)) });
  await scene.tick();
  expect(made.count('.room-player')).toBe(most);
  expect(made.errors()).toEqual([-8]);
  // Who waited outside comes in when a place is free; nobody else is touched.
  scene.calls.length = 0;
  scene.world.socket.receive({ cmd: 'userlist', userlist: userlist(...users.slice(1, most + 1)) });
  await scene.tick();
  expect(made.members.map(({ userID }) => userID)).toEqual(users.slice(1, most + 1));
  const added = users[most];
  expect(scene.calls).toEqual([
    ['player-a1', 'stop', 'rtmp://gw/live/a1'], [`player-${added}`, 'play', `rtmp://gw/live/${added}`],
  ]); // prettier-ignore
});

test('the presenter has the large place', async () => {
  const made = await scene.enter({ template: '1u3d', roomCreator: 'bob' }, 'alice', 'bob');
  expect(made.members.map(({ userID, place }) => [userID, place])).toEqual([['alice', 2], ['bob', 0]]);
  expect(made.rendered.data.place).toBe(1);
  scene.world.socket.receive({ cmd: 'userlist', userlist: userlist('alice') });
  await scene.tick();
  expect(made.rendered.data.place).toBe(0);
});

test('another template in mid-call: the new tags push and play again', async () => {
  const made = await scene.enter({ template: '1v3' }, 'alice', 'bob');
  scene.calls.length = 0;
  made.rendered.setData({ template: '1v1' });
  await scene.tick();
  expect(made.count('.room-1v1')).toBe(1);
  expect(made.members.map(({ userID }) => userID)).toEqual(['alice']);
  expect(made.errors()).toEqual([-8]);
  expect(scene.calls).toContainEqual(['pusher', 'start', PUSH]);
  expect(scene.calls.filter(([who, name]) => who === 'player-alice' && name === 'play')).toHaveLength(1);
  expect(scene.calls).toContainEqual(['player-bob', 'stop', 'rtmp://gw/live/bob']);
});

test('the sound and the picture of one member', async () => {
  const made = await scene.enter({}, 'bob', 'carol');
  scene.calls.length = 0;
  made.room.enableAudio(false, 'bob');
  expect([made.get('#player-bob').data.muted, made.get('#player-carol').data.muted]).toEqual([true, false]);
  made.room.enableVideo(false, 'bob');
  expect(made.get('#player-bob').dom.getAttribute('style')).toContain('none');
  made.room.enableVideo(true, 'bob');
  expect(made.get('#player-bob').dom.getAttribute('style') || '').not.toContain('none');
  await scene.tick();
  expect(scene.calls).toEqual([]);
});

test('without autoplay a member plays when it is tapped', async () => {
  const made = await scene.enter({ autoplay: false }, 'bob');
  expect(scene.calls.filter(([who]) => who === 'player-bob')).toEqual([]);
  expect(made.count('.room-wanted')).toBe(1);
  made.get('.room-wanted').dispatchEvent('tap');
  await scene.tick();
  expect(made.count('.room-wanted')).toBe(0);
  expect(scene.calls.filter(([who]) => who === 'player-bob').map(([, name]) => name)).toEqual(['stop', 'play']);
});

test('another URL of a member: stop, then play', async () => {
  const made = await scene.enter({}, 'bob');
  scene.calls.length = 0;
  scene.world.socket.receive({ cmd: 'userlist', userlist: [{ userid: 'bob', playurl: 'rtmp://gw/live/new' }] });
  await scene.tick();
  expect(scene.calls).toEqual([['player-bob', 'stop', 'rtmp://gw/live/new'], ['player-bob', 'play', 'rtmp://gw/live/new']]);
  expect(made.count('.room-player')).toBe(1);
});

describe('a player', () => {
  test('shows the picture after -2302 in mode RTC', async () => {
    const made = await scene.enter({}, 'bob');
    expect(made.members[0].loading).toBe(true);
    [-2302, 2001, 2002, 2003, 2004].forEach((code) => made.playerSays('bob', code));
    await scene.tick();
    expect(made.members[0]).toMatchObject({ loading: false, mode: 'RTC' });
    made.playerSays('bob', 2007);
    expect(made.members[0].loading).toBe(true);
    made.playerSays('bob', 2004);
    expect(made.members[0].loading).toBe(false);
  });

  test('falls back to mode live after 5 s without a picture', async () => {
    const made = await scene.enter({}, 'bob');
    await scene.tick(3000);
    made.playerSays('bob', -2302);
    scene.calls.length = 0;
    await scene.tick(4999);
    expect(made.members[0].mode).toBe('RTC');
    await scene.tick(1);
    expect(made.get('#player-bob').data).toMatchObject({ mode: 'live', minCache: 0.2, maxCache: 0.8 });
    expect(scene.calls.map(([, name]) => name)).toEqual(['stop', 'play']);
  });

  test('falls back at once when -2302 is followed by -2301', async () => {
    const made = await scene.enter({}, 'bob');
    scene.calls.length = 0;
    [-2302, -2301].forEach((code) => made.playerSays('bob', code));
    await scene.tick();
    expect(made.members[0].mode).toBe('live');
    expect(scene.calls.map(([, name]) => name)).toEqual(['stop', 'play']);
  });

  test.each([-2301, 2006])('that was lost (%d) is started again while its member is listed', async (code) => {
    const made = await scene.enter({}, 'bob');
    made.playerSays('bob', 2004);
    for (const pause of [500, 1000, 2000, 4000, 8000, 8000]) {
      scene.calls.length = 0;
      made.playerSays('bob', 2103);
      made.playerSays('bob', code);
      expect(made.members[0]).toMatchObject({ userID: 'bob', loading: true, mode: 'RTC' });
      await scene.tick(pause - 1);
      expect(scene.calls).toEqual([]);
      await scene.tick(1);
      expect(scene.calls.map(([, name]) => name)).toEqual(['stop', 'play']);
    }
    made.playerSays('bob', -2301);
    scene.world.socket.receive({ cmd: 'userlist', userlist: [] });
    await scene.tick();
    scene.calls.length = 0;
    await scene.tick(60000);
    expect(scene.calls).toEqual([]);
    expect(made.errors()).toEqual([]);
  });
});
