/** Messages as pages get them: kinds of elements, what is left out, sizes. */
const path = require('path');
const { ROOT } = require('./stage.js');
const { bodySize, c2cMsg, groupMsg } = require(path.join(ROOT, 'utils/im.js'));

const entry = (more) => ({
  Event: 3, From_Account: 'bob', ToGroupId: '5', MsgSeq: 9, MsgRandom: 8, MsgTimeStamp: 7, MsgBody: [], ...more,
}); // prettier-ignore
const element = (MsgType, MsgContent) => ({ MsgType, MsgContent });

test('each kind of element has the getters of its type', () => {
  const message = groupMsg(entry({ MsgBody: [
    element('TIMTextElem', { Text: '"<i>"' }),
    element('TIMCustomElem', { Data: 'd', Desc: 'e' }),
    element('TIMFaceElem', { Index: 3, Data: ':)' }),
    element('TIMImageElem', { UUID: 'u', ImageInfoArray: [] }),
  ] }), 'me'); // prettier-ignore
  const contents = message.getElems().map((elem) => elem.getContent());
  expect(message.getElems().map((elem) => elem.getType())).toEqual([
    'TIMTextElem', 'TIMCustomElem', 'TIMFaceElem', 'TIMImageElem',
  ]); // prettier-ignore
  expect([contents[0].getText(), contents[0].getRawText()]).toEqual(['&quot;&lt;i&gt;&quot;', '"<i>"']);
  expect([contents[1].getData(), contents[1].getDesc(), contents[1].getExt()]).toEqual(['d', 'e', '']);
  expect([contents[2].getIndex(), contents[2].getData()]).toEqual([3, ':)']);
  expect(contents[3].content).toEqual({ UUID: 'u', ImageInfoArray: [] });
  expect(message.toHtml()).toBe('&quot;&lt;i&gt;&quot;d:)');
  expect([message.getSeq(), message.getRandom(), message.getTime(), message.getSubType()]).toEqual([9, 8, 7, 0]);
});

test('a tip is a message of subtype 2', () => {
  const tip = { OpType: 1, Operator_Account: 'bob', List_Account: ['bob', 'al'], MemberNum: 2 };
  const message = groupMsg(entry({ Event: 6, MsgBody: tip }), 'me');
  const content = message.getElems()[0].getContent();
  expect([message.getSubType(), content.getOpType(), content.getOpUserId()]).toEqual([2, 1, 'bob']);
  expect([content.getUserIdList(), content.getMemberNum(), message.toHtml()]).toEqual([['bob', 'al'], 2, '']);
});

test.each([['LOVEMSG', 1], ['REDPACKET', 3], ['COMMON', 0], [undefined, 0]])('priority %s is subtype %d', (name, type) => {
  const body = [element('TIMTextElem', { Text: 'x' })];
  expect(groupMsg(entry({ MsgPriority: name, MsgBody: body }), 'me').getSubType()).toBe(type);
});

test('place holders, and messages without sender or content, are left out', () => {
  const body = [element('TIMTextElem', { Text: 'x' })];
  expect(groupMsg(entry({ IsPlaceMsg: 1, MsgBody: body }), 'me')).toBeNull();
  expect(groupMsg(entry({ From_Account: '', MsgBody: body }), 'me')).toBeNull();
  expect(groupMsg(entry({ MsgBody: undefined }), 'me')).toBeNull();
  expect(c2cMsg(entry({ MsgBody: [] }), 'me')).toBeNull();
});

test('the session of a C2C message is the other one, whoever wrote it', () => {
  const body = [element('TIMTextElem', { Text: 'x' })];
  const mine = c2cMsg({ From_Account: 'me', To_Account: 'bob', MsgBody: body }, 'me');
  const theirs = c2cMsg({ From_Account: 'bob', To_Account: 'me', MsgBody: body }, 'me');
  expect([mine.getSession().id(), theirs.getSession().id()]).toEqual(['bob', 'bob']);
  expect([mine.getIsSend(), theirs.getIsSend()]).toEqual([true, false]);
});

test('sizes are those of UTF-8', () => {
  const words = 'aé字😀';
  expect(bodySize([element('TIMTextElem', { Text: words })])).toBe(Buffer.byteLength(words));
  expect(bodySize([element('TIMCustomElem', { Data: words, Ext: 'e' })])).toBe(Buffer.byteLength(words) + 1);
  expect(bodySize([element('TIMFaceElem', { Index: 1 })])).toBe('{"Index":1}'.length);
});
