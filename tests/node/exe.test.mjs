// What /exe was opened with: every form, both spellings, and whatever else people write into an address.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEmpty, readWish, shownAddress } from '../../static/exe/parameters.js';

const HOST = 'gw.example.com';
const read = (query, fragment = '', object = null) => readWish(query, fragment, object, HOST);
const keys = (words) => words.map(({ key }) => key);
const START = {
  userdata: { userID: 'teacher', userName: '雷锋', sdkAppID: '1400000001', accType: 25943, userSig: 'eJ*-_sig' },
  roomdata: {
    serverDomain: 'https://gw.example.com/', roomAction: 'createRoom', roomID: 'room_123123', roomName: '雷锋的房间',
    roomTitle: 'LiveRoom', roomLogo: '', type: 'LiveRoom', template: '1v3',
  },
  custom: { userList: true, IMList: false, whiteboard: true, screenShare: false, mixRecord: false, screenRecord: 3, cloudRecordUrl: 'rtmp://push.example.com/live/s?k=v' },
};

test('the object of startEXE, handed over and as params', () => {
  for (const wish of [read('', '', START), read(`?params=${encodeURIComponent(JSON.stringify(START))}`), read('', `#params=${encodeURIComponent(JSON.stringify(START))}`)]) {
    assert.equal(wish.type, 'LiveRoom');
    assert.deepEqual(wish.kinds, ['live_room']);
    assert.deepEqual([wish.action, wish.room, wish.name, wish.title], ['createRoom', 'room_123123', '雷锋的房间', 'LiveRoom']);
    assert.deepEqual([wish.user, wish.nick, wish.userSig, wish.sdkAppId], ['teacher', '雷锋', 'eJ*-_sig', '1400000001']);
    assert.deepEqual(wish.hidden, ['chat', 'share']);
    assert.equal(wish.record, true);
    assert.equal(wish.pushTo, 'rtmp://push.example.com/live/s?k=v&record=mp4&record_interval=7200');
    assert.deepEqual([wish.notes, wish.wrong], [[], []]);
  }
});

test('the flat JSON of EXEStarter.js, its texts encoded once more', () => {
  const json = {
    type: 'RTCRoom', action: 'enterRoom', serverDomain: encodeURIComponent('https://gw.example.com/weapp/double_room/'), template: '1v1',
    userList: true, IMList: true, whiteboard: true, screenShare: true, sdkAppID: 1400000001, accountType: '1', userID: 'pc', userSig: encodeURIComponent('eJ*+/='),
    userName: encodeURIComponent('王 五'), roomID: 'r1', roomInfo: encodeURIComponent('客服'), title: encodeURIComponent('在线客服'), logo: '', port: 48887,
    singleton: true, mixRecord: true, screenRecord: 1, recordUrl: encodeURIComponent('rtmp://h/a/s?record=hls'),
  };
  const wish = read(`?json=${encodeURIComponent(JSON.stringify(json))}`);
  assert.deepEqual(wish.kinds, ['double_room', 'multi_room']);
  assert.deepEqual([wish.action, wish.room, wish.name, wish.title], ['enterRoom', 'r1', '客服', '在线客服']);
  assert.deepEqual([wish.user, wish.nick, wish.userSig], ['pc', '王 五', 'eJ*+/=']);
  assert.equal(wish.pushTo, 'rtmp://h/a/s?record=hls', 'it says something of recording already');
  assert.equal(wish.record, false);
  assert.deepEqual(keys(wish.notes), ['exeNoMix']);
});

test('single parameters in both spellings, the fragment before the query', () => {
  for (const names of [['userID', 'roomID', 'sdkAppID'], ['userid', 'roomid', 'sdkappid'], ['userId', 'roomId', 'sdkAppId']]) {
    const wish = read(`?${names[0]}=wrong&${names[1]}=1001&${names[2]}=5`, `#${names[0]}=alice&template=1V3&roomAction=createRoom`);
    assert.deepEqual([wish.user, wish.room, wish.sdkAppId], ['alice', '1001', '5']);
    assert.deepEqual(wish.kinds, ['multi_room', 'double_room']);
  }
});

test('who enters a live room watches, unless it is said otherwise', () => {
  const enter = '?type=LiveRoom&roomAction=enterRoom&roomID=r&userID=u';
  assert.equal(read(enter).role, 'audience');
  assert.equal(read(`${enter}&role=guest`).role, 'anchor');
  assert.equal(read(enter.replace('enter', 'create')).role, 'anchor');
  assert.equal(read(enter.replace('Live', 'RTC')).role, 'anchor');
});

test('what cannot be, and what this page does not do', () => {
  assert.deepEqual(keys(read('?userID=a%20b&roomID=r').wrong), ['exeBadUser']);
  assert.deepEqual(keys(read(`?userID=u&roomID=${'r'.repeat(65)}`).wrong), ['exeBadRoom']);
  assert.deepEqual(keys(read('?userID=u&roomID=%E6%88%BF').wrong), ['exeBadRoom']);
  assert.deepEqual(keys(read('?userID=u&roomAction=enterRoom').wrong), ['exeNoRoom']);
  assert.deepEqual(keys(read('?serverDomain=https://room.qcloud.com/&template=1v4&screenRecord=1').notes), ['exeFour', 'exeForeign', 'exeNoTarget']);
  assert.deepEqual(read('?serverDomain=//gw.example.com/roomservice/').notes, []);
  assert.deepEqual(read('?screenRecord=7&cloudRecordUrl=rtmp://h/a/s').pushTo, '');
});

test('a logo is a picture of the web or of this server, and no program', () => {
  assert.equal(read('?roomLogo=https://cdn.example.com/logo.png').logo, 'https://cdn.example.com/logo.png');
  assert.equal(read('?roomLogo=/logo.png').logo, '/logo.png');
  for (const bad of ['javascript:alert(1)', 'data:text/html,x', 'http://cdn.example.com/logo.png', 'https://']) {
    assert.equal(read(`?roomLogo=${encodeURIComponent(bad)}`).logo, '');
  }
});

test('the address keeps no ticket of a query', () => {
  const query = '?type=LiveRoom&userID=u&userSig=secret&privateMapKey=secret&cloudRecordUrl=rtmp://secret&params=%7B%22userSig%22%3A%22secret%22%7D';
  const shown = shownAddress(query, '#roomID=r&usersig=secret');
  assert.equal(shown, '#type=LiveRoom&userID=u&roomID=r');
  assert.equal(shownAddress('', '#userSig=stays&roomID=r'), '#userSig=stays&roomID=r', 'a fragment is sent to nobody');
  assert.equal(shownAddress('?userSig=secret', ''), '');
});

test('nothing at all, and nonsense', () => {
  assert.equal(isEmpty('', ''), true);
  assert.equal(isEmpty('?', '#'), true);
  assert.equal(isEmpty('?userID=u', ''), false);
  for (const value of ['null', '[]', '{', '"x"', '5', '{"userdata":null,"roomdata":[1],"custom":"x"}', '{"roomdata":{"roomID":{"a":1}}}', '{"__proto__":{"x":1}}']) {
    const wish = read(`?params=${encodeURIComponent(value)}&json=${encodeURIComponent(value)}`);
    assert.deepEqual([wish.room, wish.user, wish.userSig, wish.action], ['', '', '', '']);
  }
  assert.equal(read('?json=%7B%22userName%22%3A%22%25E0%25A4%22%7D').nick, '%E0%A4', 'what cannot be decoded stays as it is');
});
