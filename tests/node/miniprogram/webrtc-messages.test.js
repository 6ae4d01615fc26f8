/** `<webrtc-room>` against made-up answers: messages in, messages out. */
const { entry, userlist, webrtcRoom } = require('./webrtc_world.js');

const scene = webrtcRoom();

describe('messages', () => {
  test('come in order, the newest first in each event, with the shapes of the old library', async () => {
    const made = await scene.enter({});
    scene.world.socket.receive({ cmd: 'message', epoch: 7, messages: [entry(1, 'bob', 'one <b>'), entry(2, 'phone', 'two')] });
    const [{ code, detail }] = made.im('big_group_msg_notify');
    expect(code).toBe(0);
    expect(detail.map((message) => message.getSeq())).toEqual([2, 1]);
    const [own, other] = detail;
    expect([own.getIsSend(), other.getIsSend()]).toEqual([true, false]);
    expect([other.getFromAccount(), other.getFromAccountNick()]).toEqual(['bob', 'BOB']);
    expect([other.getSession().type(), other.getSession().id(), other.getType()]).toEqual(['GROUP', '1001', 'GROUP']);
    expect(other.getTime()).toBe(1546300800);
    expect(other.getElems()[0].getContent().getText()).toBe('one &lt;b&gt;');
    expect(other.toHtml()).toBe('one &lt;b&gt;');
    expect(made.texts()).toEqual(['one &lt;b&gt;', 'two']);
  });

  test('one stay tells login and join once, and the state of the connection', async () => {
    const made = await scene.enter({});
    expect(made.im('login_event')[0]).toMatchObject({ code: 0, detail: { ErrorInfo: 'login success' } });
    expect(made.im('join_group_event')[0]).toMatchObject({ code: 0, detail: { JoinedStatus: 'JoinedSuccess' } });
    scene.world.socket.drop();
    await scene.tick(300);
    scene.login();
    await scene.tick();
    expect(made.im('connection_event').map(({ code }) => code)).toEqual([0]);
    scene.world.socket.drop();
    await scene.tick(300);
    scene.world.socket.drop();
    await scene.tick(3000);
    scene.world.socket.open();
    scene.login();
    expect(made.im('connection_event').map(({ code, detail }) => [code, detail.ErrorCode])).toEqual([
      [0, 0], [9999, 9999], [1, 1],
    ]); // prettier-ignore
    expect([made.im('login_event').length, made.im('join_group_event').length]).toEqual([1, 1]);
  });

  test('system notices and changed groups are errors by their code', async () => {
    const made = await scene.enter({});
    scene.world.socket.receive({ cmd: 'message', epoch: 7, messages: [
      entry(1, '@TIM#SYSTEM', '', { Event: 5, MsgBody: { ReportType: 255, UserDefinedField: '{}' } }),
      entry(2, 'admin', '', { Event: 4, MsgBody: { OpType: 6, Operator_Account: 'admin' } }),
      entry(3, 'bob', 'hi'),
    ] }); // prettier-ignore
    const notice = { ReportType: 5, GroupId: '1001', UserDefinedField: '' };
    scene.world.socket.receive({ cmd: 'event', tag: 'error', code: 'group_system_notifys', detail: notice });
    expect(made.im('error').map(({ code, detail }) => [code, detail])).toEqual([
      ['group_system_notifys', 255], ['group_info_change_notify', 0], ['group_system_notifys', 5],
    ]); // prettier-ignore
    const shown = made.im('big_group_msg_notify').flatMap(({ detail }) => detail);
    expect(shown.map((message) => [message.getSeq(), message.getSubType()])).toEqual([[2, 2], [3, 0]]);
  });

  test('what a moderator mutes and gives back is an event of the room', async () => {
    const made = await scene.enter({});
    const muted = { audio: true, video: false, words: false, by: 'alice' };
    scene.world.socket.receive({ cmd: 'muted', ...muted });
    scene.world.socket.receive({ cmd: 'muted', ...muted, audio: false });
    expect(made.told('muted').map(({ code, detail }) => [code, detail])).toEqual([[0, muted], [0, { ...muted, audio: false }]]); // prettier-ignore
    expect(made.errors()).toEqual([]);
  });

  test('a tip is a message of subtype 2', async () => {
    const made = await scene.enter({});
    const detail = { OpType: 1, Operator_Account: 'bob', List_Account: ['bob'] };
    scene.world.socket.receive({ cmd: 'tip', groupID: '1001', time: 1546300800123, detail });
    const [message] = made.im('big_group_msg_notify')[0].detail;
    expect([message.getSubType(), message.getTime(), message.getElems()[0].getContent().getOpUserId()]).toEqual([2, 1546300800, 'bob']);
  });

  test('C2C comes as msg_notify', async () => {
    const made = await scene.enter({});
    scene.world.socket.receive({ cmd: 'c2c', messages: [entry(1, 'bob', 'psst', { To_Account: 'phone' })] });
    const [{ detail }] = made.im('msg_notify');
    expect([detail[0].getSession().type(), detail[0].getSession().id()]).toEqual(['C2C', 'bob']);
  });

  test('sending: what goes out, and the message that comes back', async () => {
    const made = await scene.enter({});
    const done = jest.fn();
    const failed = jest.fn();
    made.room.sendGroupTextMsg('hello', done, failed);
    expect(scene.world.socket.last('send')).toMatchObject({ body: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'hello' } }] });
    expect(scene.world.socket.last('send')).not.toHaveProperty('to');
    scene.world.socket.answer('send', { seq: 17, time: 1546300800123 });
    expect(done.mock.calls[0][0].getSeq()).toBe(17);
    expect([done.mock.calls[0][0].getIsSend(), done.mock.calls[0][0].getTime()]).toEqual([true, 1546300800]);
    made.room.sendC2CCustomMsg('bob', { data: 'd', ext: 'e', desc: 'f' }, done, failed);
    expect(scene.world.socket.last('send')).toMatchObject({
      to: 'bob', body: [{ MsgType: 'TIMCustomElem', MsgContent: { Data: 'd', Desc: 'f', Ext: 'e' } }],
    }); // prettier-ignore
    scene.world.socket.answer('send', { seq: 1, time: 1 });
    expect(done.mock.calls[1][0].getSession().type()).toBe('C2C');
    made.room.sendC2CTextMsg('bob', 'x');
    made.room.sendGroupCustomMsg({ data: 'x' });
    // One at a time: that keeps their order.
    expect(scene.world.socket.frames('send')).toHaveLength(3);
    scene.world.socket.answer('send', { seq: 2, time: 1 });
    expect(scene.world.socket.frames('send')).toHaveLength(4);
    expect(failed).not.toHaveBeenCalled();
  });

  test('sending fails with -1 to -4', async () => {
    const made = await scene.enter({});
    const codes = [];
    const failed = (code, error) => codes.push([code, error]);
    const never = () => codes.push('sent');
    made.room.sendC2CTextMsg('', 'x', never, failed);
    made.room.sendGroupTextMsg('', never, failed);
    made.room.sendGroupCustomMsg({}, never, failed);
    made.room.sendGroupTextMsg('x'.repeat(8899), never, failed);
    made.room.sendGroupTextMsg('字'.repeat(2967), never, failed);
    made.room.sendC2CTextMsg('bob', '😀'.repeat(3001), never, failed);
    expect(codes.map(([code]) => code)).toEqual([-1, -2, -2, -3, -3, -3]);
    expect(scene.world.socket.frames('send')).toEqual([]);
    made.room.sendGroupTextMsg('字'.repeat(2966), never, failed);
    const { id } = scene.world.socket.last('send');
    scene.world.socket.receive({ re: id, code: 1210, name: 'too_many', message: 'slower', retryAfterMs: 50 });
    expect(codes[6]).toEqual([-4, {
      ActionStatus: 'FAIL', ErrorCode: 1210, ErrorInfo: 'slower', SrcErrorInfo: 'slower', retryAfterMs: 50,
    }]); // prettier-ignore
    made.room.stop();
    made.room.sendGroupTextMsg('x', never, failed);
    expect(codes[7][0]).toBe(-4);
    expect(codes[7][1].ErrorCode).toBe(-4);
  });

  test('a page that switched them off neither gets nor sends any', async () => {
    const made = await scene.enter({ enableIM: false }, 'bob');
    scene.world.socket.receive({ cmd: 'message', epoch: 7, messages: [entry(1, 'bob', 'hi')] });
    const failed = jest.fn();
    made.room.sendGroupTextMsg('x', () => {}, failed);
    expect(failed.mock.calls[0][0]).toBe(-4);
    expect(made.events.filter(([name]) => name === 'IMEvent')).toEqual([]);
    scene.world.socket.receive({ cmd: 'userlist', userlist: userlist('bob', 'carol') });
    await scene.tick();
    expect(made.members).toHaveLength(2);
  });
});
