/** utils/liveroom.js: host, viewer, link-mic, the mixed picture, messages. */
const { handset } = require('./stage.js');
const { CHANGED, PUSH, ServiceWorld, answers, notice } = require('./service_world.js');

const NAMES = [
  'onPusherJoin', 'onPusherQuit', 'onPushersChange', 'onRoomClose', 'onRecvRoomTextMsg', 'onRecvRoomCustomMsg',
  'onSketchpadData', 'onRecvJoinPusherRequest', 'onKickOut', 'onRemoved',
]; // prettier-ignore
let heard;
const { liveroom } = handset();
let world;

beforeEach(() => {
  jest.useFakeTimers();
  heard = [];
  world = new ServiceWorld('live_room');
});

afterEach(async () => {
  liveroom.exitRoom({});
  liveroom.logout();
  await world.tick();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

const listen = () =>
  liveroom.setListener(Object.fromEntries(NAMES.map((name) => [name, (value) => heard.push([name, value])])));
/** What one listener has heard. */
const told = (name) => heard.filter(([one]) => one === name).map(([, value]) => value);
const users = (name) => told(name).map(({ pushers }) => pushers.map(({ userID }) => userID));
const linkmic = (data) => ({ cmd: 'linkmic', data: { roomID: 'r1', ...data } });
/** JSON of C2C messages so far. */
const whispered = () =>
  world.socket.frames('send').filter(({ to }) => to).map(({ to, body }) => [to, JSON.parse(body[0].MsgContent.Data)]);

async function host() {
  await world.login(liveroom);
  listen();
  const answer = answers(liveroom.createRoom, { roomInfo: 'Lesson', pushURL: PUSH });
  await world.tick();
  expect(answer).toEqual({ good: [{ roomID: 'r1' }], bad: [] });
}

async function viewer() {
  world.others = ['host'];
  await world.login(liveroom);
  listen();
  const answer = answers(liveroom.enterRoom, { roomID: 'r1' });
  await world.tick();
  expect(answer.bad).toEqual([]);
  return answer.good[0];
}

test('the names of the module of 2018, and quirk 35: both spellings', () => {
  expect(Object.keys(liveroom)).toEqual(expect.arrayContaining([
    'login', 'logout', 'getRoomList', 'getPushURL', 'createRoom', 'enterRoom', 'exitRoom', 'sendRoomTextMsg',
    'sendRoomCustomMsg', 'setListener', 'joinPusher', 'quitPusher', 'requestJoinPusher', 'acceptJoinPusher',
    'rejectJoinPusher', 'kickoutSubPusher', 'getPushers', 'sendC2CCustomMsg', 'setVideoRatio', 'getAccountInfo',
  ])); // prettier-ignore
  expect([liveroom.requestJionPusher, liveroom.linkJionPusher]).toEqual([liveroom.requestJoinPusher, liveroom.joinPusher]);
});

describe('host', () => {
  test('room, group, pusher; its exit ends the room, and it hears nothing of that', async () => {
    await host();
    expect(world.names.slice(1)).toEqual(['create_room', 'add_pusher', 'get_pushers']);
    expect(world.socket.last('join').groupID).toBe('r1');
    const left = answers(liveroom.exitRoom);
    // Quirk 23: the group is left first, and the room ends all the same.
    expect(world.socket.frames('quit')).toHaveLength(1);
    await world.receive(notice(5));
    expect(left.good).toEqual([{}]);
    expect(world.bodies('destroy_room')).toEqual([{ roomID: 'r1', userID: 'me' }]);
    expect(told('onRoomClose')).toEqual([]);
  });

  test.each([
    ['create_room', { code: 11, message: 'exists' }, 11],
    ['create_room', new Error('request:fail timeout'), -1],
    ['/im join', { code: 1203, name: 'no_such_room', message: 'no' }, -2],
    ['add_pusher', { code: 7, message: 'no' }, 7],
  ])('%s fails: the room is not left behind', async (name, answer, code) => {
    await world.login(liveroom);
    world.instead[name] = answer;
    if (code === 7) world.instead.login = { code: 7, message: 'no' };
    const made = answers(liveroom.createRoom, { roomInfo: 'Lesson', pushURL: PUSH });
    await world.tick();
    expect(made.bad.map(({ errCode }) => errCode)).toEqual([code]);
    expect(world.names.includes('destroy_room')).toBe(name !== 'create_room');
  });

  test('parameters', () => {
    for (const data of [{ roomInfo: 'x' }, { pushURL: PUSH }, undefined]) {
      expect(answers(liveroom.createRoom, data).bad[0].errCode).toBe(-9);
    }
  });

  test('each change of guests is merged: canvas, places, the host\'s own stream; quirks 21, 24, 25', async () => {
    await host();
    world.others = ['ann', 'bob'];
    await world.receive(CHANGED);
    const { userID, roomID, mergeParams } = world.bodies('merge_stream')[0];
    const { timestamp, interface: { interfaceName, para } } = JSON.parse(mergeParams);
    expect([userID, roomID, interfaceName]).toEqual(['me', 'r1', 'Mix_StreamV2']);
    expect(timestamp).toBe(Math.round(Date.now() / 1000));
    const guest = (stream, layer, y) => ({
      input_stream_id: stream,
      layout_params: { image_layer: layer, image_width: 120, image_height: 180, location_x: 240, location_y: y },
    });
    expect(para).toEqual({
      app_id: '1400000001', interface: 'mix_streamv2.start_mix_stream_advanced',
      mix_stream_session_id: '8888_me', output_stream_id: '8888_me',
      input_stream_list: [
        { input_stream_id: '8888_me', layout_params: { image_layer: 1 } }, guest('8888_ann', 2, 400), guest('8888_bob', 3, 220),
      ],
    }); // prettier-ignore
    expect(users('onPusherJoin')).toEqual([['ann', 'bob']]);
    liveroom.setVideoRatio(2);
    world.others = ['bob'];
    await world.receive(CHANGED);
    const [, second] = world.bodies('merge_stream').map((body) => JSON.parse(body.mergeParams).interface.para);
    expect(second.input_stream_list[1].layout_params).toMatchObject({ location_x: 360, location_y: 400 });
    expect(users('onPusherQuit')).toEqual([['ann']]);
    world.others = [];
    await world.receive(CHANGED);
    expect(JSON.parse(world.bodies('merge_stream')[2].mergeParams).interface.para.input_stream_list).toHaveLength(1);
  });

  test.each([[{ code: 0, result: { code: 5, message: 'busy' } }], [{ code: 10, message: 'no' }], [new Error('request:fail')]])(
    'a merge that failed is tried once more after 2 s (%p)', async (answer) => {
      await host();
      world.instead.merge_stream = answer;
      world.others = ['ann'];
      await world.receive(CHANGED);
      await world.tick(1999);
      expect(world.bodies('merge_stream')).toHaveLength(1);
      await world.tick(1);
      await world.tick(60000);
      expect(world.bodies('merge_stream')).toHaveLength(2);
    });

  test('quirk 26: an answer without result is no failure', async () => {
    await host();
    world.instead.merge_stream = { code: 0 };
    world.others = ['ann'];
    await world.receive(CHANGED);
    await world.tick(5000);
    expect(world.bodies('merge_stream')).toHaveLength(1);
  });

  test('a request of a viewer is heard by its true name, and answered', async () => {
    await host();
    await world.whisper('ann', linkmic({ type: 'request', userID: 'forged', userName: 'Ann', userAvatar: 'a.png' }));
    expect(told('onRecvJoinPusherRequest')).toEqual([{ userID: 'ann', userName: 'Ann', userAvatar: 'a.png' }]);
    const kicked = answers(liveroom.kickoutSubPusher, { userID: 'ann' });
    liveroom.acceptJoinPusher({ data: { userID: 'ann' } });
    liveroom.rejectJoinPusher({ data: { userID: 'bob', reason: 'full' } });
    await world.tick();
    expect(whispered()).toEqual([
      ['ann', { cmd: 'linkmic', data: { roomID: 'r1', type: 'kickout' } }],
      ['ann', { cmd: 'linkmic', data: { roomID: 'r1', type: 'response', result: 'accept', message: '', reason: '' } }],
      ['bob', { cmd: 'linkmic', data: { roomID: 'r1', type: 'response', result: 'reject', message: 'full', reason: 'full' } }],
    ]);
    expect(kicked.good).toEqual([{}]);
  });

  test('a request for another room, or from nobody that can be read, is none', async () => {
    await host();
    await world.whisper('ann', { cmd: 'linkmic', data: { type: 'request', roomID: 'r2' } });
    await world.whisper('ann', { cmd: 'linkmic' });
    await world.whisper('ann', 'nonsense');
    await world.whisper('', linkmic({ type: 'request' }));
    expect(told('onRecvJoinPusherRequest')).toEqual([]);
  });
});

describe('viewer', () => {
  test('group, pushers, audience; exit takes all back', async () => {
    const room = await viewer();
    expect(room).toMatchObject({ roomID: 'r1', roomCreator: 'host', mixedPlayURL: expect.stringContaining('.flv') });
    expect(room.pushers[0].userID).toBe('host');
    expect(world.names.slice(1)).toEqual(['get_pushers', 'add_audience']);
    expect(JSON.parse(world.bodies('add_audience')[0].userInfo)).toEqual({ userName: 'Me', userAvatar: 'me.png' });
    liveroom.exitRoom({});
    await world.tick();
    // Quirk 28: with the room's id.
    expect(world.bodies('delete_audience')).toEqual([{ roomID: 'r1', userID: 'me' }]);
    expect(world.names).not.toContain('delete_pusher');
  });

  test('a room that is not there', async () => {
    await world.login(liveroom);
    world.instead.get_pushers = { code: 1, message: 'gone' };
    const answer = answers(liveroom.enterRoom, { roomID: 'r1' });
    await world.tick();
    expect([answer.bad[0].errCode, world.socket.frames('quit').length]).toEqual([1, 1]);
    expect(answers(liveroom.enterRoom, {}).bad[0].errCode).toBe(-9);
  });

  test('who only watches asks for no lists, and hears that they have changed', async () => {
    await viewer();
    world.others = ['host', 'ann'];
    await world.receive(CHANGED);
    expect([told('onPushersChange').length, users('onPusherJoin')]).toEqual([1, []]);
    expect(world.names.filter((name) => name === 'get_pushers')).toHaveLength(1);
  });

  test('after a restart of the server it is in the list of viewers again', async () => {
    await viewer();
    world.socket.drop();
    await world.tick(300);
    expect(world.bodies('add_audience')).toHaveLength(2);
  });

  test('the end of the room, and a kick', async () => {
    await viewer();
    await world.receive(notice(5));
    expect(told('onRoomClose')).toEqual([{}]);
    await viewer();
    await world.receive(notice(4));
    expect(told('onRemoved')).toEqual([{ roomID: '', reason: 'kick' }]);
    const before = world.names.length;
    liveroom.exitRoom({});
    await world.tick(60000);
    expect(world.names.length).toBe(before);
  });
});

describe('link-mic', () => {
  async function asked(data) {
    await viewer();
    const answer = answers(liveroom.requestJoinPusher, data);
    await world.tick();
    return answer;
  }

  test('accepted, linked, ended: the room is not forgotten, quirk 28', async () => {
    const answer = await asked();
    expect(whispered()).toEqual([['host', {
      cmd: 'linkmic',
      data: { roomID: 'r1', type: 'request', userID: 'me', userName: 'Me', userAvatar: 'me.png', timestamp: expect.any(Number) },
    }]]); // prettier-ignore
    await world.whisper('host', linkmic({ type: 'response', result: 'accept', message: '' }));
    expect(answer.good).toEqual([{ errCode: 0, errMsg: '' }]);
    world.others = ['host', 'ann'];
    const joined = answers(liveroom.joinPusher, { roomID: 'r1', pushURL: PUSH });
    await world.tick();
    expect([joined.good, users('onPusherJoin')]).toEqual([[{ roomID: 'r1' }], [['host', 'ann']]]);
    await world.tick(3000);
    expect(world.bodies('pusher_heartbeat')).toHaveLength(1);
    expect(world.names).not.toContain('merge_stream');
    const quit = answers(liveroom.quitPusher);
    await world.tick(60000);
    expect([quit.good, world.bodies('pusher_heartbeat').length]).toEqual([[{}], 1]);
    liveroom.exitRoom({});
    await world.tick();
    expect(world.bodies('delete_audience')).toEqual([{ roomID: 'r1', userID: 'me' }]);
  });

  test('a guest that exits takes its stream and itself out of the lists', async () => {
    await viewer();
    liveroom.joinPusher({ data: { roomID: 'r1', pushURL: PUSH } });
    await world.tick();
    const left = answers(liveroom.exitRoom);
    await world.tick();
    expect(world.names.slice(-2)).toEqual(['delete_pusher', 'delete_audience']);
    expect(left.good).toEqual([{}]);
  });

  test.each([['reject', -999]])('refused (%s) is %d', async (result, code) => {
    const answer = await asked();
    await world.whisper('host', linkmic({ type: 'response', result, message: 'full' }));
    expect(answer.bad).toEqual([{ errCode: code, errMsg: 'full' }]);
    await world.tick(60000);
    expect([answer.good.length, answer.bad.length]).toEqual([0, 1]);
  });

  test.each([[undefined, 30000], [{ timeout: 5000 }, 5000]])('no answer (%p): -999 after %d ms', async (data, pause) => {
    const answer = await asked(data);
    await world.tick(pause - 1);
    expect(answer.bad).toEqual([]);
    await world.tick(1);
    expect(answer.bad.map(({ errCode }) => errCode)).toEqual([-999]);
    await world.whisper('host', linkmic({ type: 'response', result: 'accept' }));
    expect(answer.good).toEqual([]);
  });

  test('a host that cannot be reached', async () => {
    world.instead['/im send'] = { code: 1205, name: 'no_such_member', message: 'not there' };
    expect((await asked()).bad.map(({ errCode }) => errCode)).toEqual([-1]);
  });

  test('nobody but the host accepts or removes', async () => {
    const answer = await asked();
    await world.whisper('mallory', linkmic({ type: 'response', result: 'accept' }));
    await world.whisper('mallory', linkmic({ type: 'kickout' }));
    expect([answer.good, told('onKickOut')]).toEqual([[], []]);
    await world.whisper('host', linkmic({ type: 'kickout' }));
    expect(told('onKickOut')).toEqual([{ roomID: 'r1' }]);
  });

  test('a guest that the room has dropped for good hears itself go', async () => {
    await viewer();
    liveroom.joinPusher({ data: { roomID: 'r1', pushURL: PUSH } });
    await world.tick();
    world.inside = false;
    world.instead.add_pusher = { code: 5001, message: 'full' };
    await world.receive(CHANGED);
    expect(users('onPusherQuit')).toEqual([['me']]);
    const before = world.bodies('pusher_heartbeat').length;
    await world.tick(30000);
    expect(world.bodies('pusher_heartbeat').length).toBe(before);
  });

  test('parameters', async () => {
    expect(answers(liveroom.joinPusher, { roomID: 'r1', pushURL: PUSH }).bad[0].errCode).toBe(-9);
    await viewer();
    expect(answers(liveroom.joinPusher, { roomID: 'r2', pushURL: PUSH }).bad[0].errCode).toBe(-9);
    expect(answers(liveroom.joinPusher, { roomID: 'r1' }).bad[0].errCode).toBe(-9);
    liveroom.exitRoom({});
    expect(answers(liveroom.requestJoinPusher).bad[0].errCode).toBe(-999);
    expect(answers(liveroom.getPushers).bad[0].errCode).toBe(-999);
  });
});

describe('messages', () => {
  test('texts, commands and whiteboards each have their listener', async () => {
    await viewer();
    const who = { nickName: 'Bob', headPic: 'b.png' };
    await world.say('bob', [[JSON.stringify({ cmd: 'CustomTextMsg', data: who })], 'hi'], 1);
    await world.say('bob', [[JSON.stringify({ cmd: 'CustomCmdMsg', data: { ...who, cmd: 'like' } })], '3'], 2);
    await world.say('ann', [['{"board":1}', 'TXWhiteBoardExt']], 3);
    await world.say('me', [['{"board":2}', 'TXWhiteBoardExt']], 4);
    const common = { roomID: 'r1', userID: 'bob', userName: 'Bob', userAvatar: 'b.png', time: expect.any(String) };
    expect(told('onRecvRoomTextMsg')).toEqual([{ ...common, message: 'hi' }]);
    expect(told('onRecvRoomCustomMsg')).toEqual([{ ...common, message: '3', cmd: 'like' }]);
    expect(told('onSketchpadData')).toEqual(['{"board":1}']);
  });

  test('sending: to the room by command, to one user, the host by default', async () => {
    await viewer();
    const sent = [
      answers(liveroom.sendRoomCustomMsg, { cmd: 'like', msg: '3' }),
      answers(liveroom.sendRoomTextMsg, { msg: 'hi' }),
    ];
    liveroom.sendC2CCustomMsg({ cmd: 'sketchpad', msg: '{"type":"request"}' });
    liveroom.sendC2CCustomMsg({ data: { cmd: 'sketchpad', msg: 'x', toUserID: 'ann' } });
    await world.tick();
    sent.forEach(({ good }) => expect(good).toHaveLength(1));
    const { body } = world.socket.frames('send')[0];
    expect(JSON.parse(body[0].MsgContent.Data)).toEqual({ cmd: 'CustomCmdMsg', data: { nickName: 'Me', headPic: 'me.png', cmd: 'like' } });
    expect(body[1].MsgContent.Text).toBe('3');
    const me = { userID: 'me', userName: 'Me', userAvatar: 'me.png' };
    expect(whispered()).toEqual([
      ['host', { cmd: 'sketchpad', data: { ...me, msg: '{"type":"request"}' } }],
      ['ann', { cmd: 'sketchpad', data: { ...me, msg: 'x' } }],
    ]);
    expect(answers(liveroom.sendRoomCustomMsg, { msg: 'x' }).bad[0].errCode).toBe(-9);
  });
});
