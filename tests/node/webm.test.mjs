// The length of a WebM file, put into a hole in its header: headers as browsers write them, and others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOLE, durationElement, leaveHole } from '../../static/sdk/recorder/webm.js';

const hex = (text) => Uint8Array.from(text.replace(/\s/g, '').match(/../g) ?? [], (pair) => parseInt(pair, 16));
const EBML = '1a45dfa3 9f 4286810142f7810142f2810442f381084282847765626d42878104428581 02';
const SEGMENT = '18538067 01ffffffffffffff';
const INFO = '1549a966 99 2ad7b183 0f4240 4d80864368726f6d65 5741864368726f6d65';
const REST = '1654ae6b 82 ec80 1f43b675 01ffffffffffffff e78100';

const header = (info = INFO) => hex(EBML + SEGMENT + info + REST);

test('the hole stands at the end of Info, and nothing else changes', () => {
  const head = header();
  const { bytes, at, unitMs } = leaveHole(head);
  assert.equal(unitMs, 1);
  assert.equal(bytes.length, head.length + HOLE);
  const info = hex(EBML + SEGMENT).length;
  assert.equal(bytes[info + 4], 0x80 | (0x19 + HOLE), 'Info has grown');
  assert.equal(at, info + 5 + 0x19);
  assert.deepEqual([...bytes.subarray(at, at + 2)], [0xec, 0x89], 'an element that players skip');
  assert.deepEqual(bytes.subarray(at + HOLE), head.subarray(at));
  assert.deepEqual(bytes.subarray(0, info + 4), head.subarray(0, info + 4));
});

test('the duration fills the hole exactly', () => {
  const element = durationElement(65_432, 1);
  assert.equal(element.length, HOLE);
  assert.deepEqual([...element.subarray(0, 3)], [0x44, 0x89, 0x88]);
  assert.equal(new DataView(element.buffer).getFloat64(3), 65_432);
  assert.equal(new DataView(durationElement(1000, 0.1).buffer).getFloat64(3), 10_000);
});

test('another unit of time, a size of eight bytes', () => {
  const long = '1549a966 0100000000000007 2ad7b183 0186a0';
  const { bytes, unitMs } = leaveHole(header(long));
  assert.equal(unitMs, 0.1);
  assert.equal(bytes[hex(EBML + SEGMENT).length + 11], 7 + HOLE);
});

test('a length of 0 that is there already is the hole, wherever it stands', () => {
  const zero = '4489 88 0000000000000000';
  const places = '114d9b74 0100000000000000'; // of no element: Firefox
  const head = hex(EBML + SEGMENT + places + '1549a966 0100000000000014 2ad7b183 0f4240' + zero + '4d8080' + REST);
  const { bytes, at, unitMs } = leaveHole(head);
  assert.deepEqual([bytes, unitMs], [head, 1]);
  assert.deepEqual(bytes.subarray(at, at + HOLE), hex(zero));
  const known = hex(EBML + SEGMENT + '114d9b74 81 00 1549a966 8b' + zero + REST);
  assert.equal(leaveHole(known).bytes, known, 'nothing moves');
  assert.equal(leaveHole(hex(EBML + SEGMENT + '1549a966 87 4489 84 00000000' + REST)), null, 'no room for a double');
});

test('headers of another form stay as they are', () => {
  assert.equal(leaveHole(new Uint8Array()), null);
  assert.equal(leaveHole(hex('00000018667479706d703432')), null, 'MP4');
  assert.equal(leaveHole(hex(EBML + SEGMENT)), null, 'no Info yet');
  assert.equal(leaveHole(hex(EBML + SEGMENT + '114d9b74 81 00' + INFO + REST)), null, 'positions that would be wrong');
  assert.equal(leaveHole(hex(EBML + SEGMENT + '1f43b675 01ffffffffffffff' + INFO)), null, 'Info behind the media');
  assert.equal(leaveHole(header().subarray(0, hex(EBML + SEGMENT).length + 10)), null, 'Info is cut off');
  assert.equal(leaveHole(header(`1549a966 fa ${'ec80'.repeat(61)}`)), null, 'its size has no room to grow');
});

test('any bytes: null or a header with a hole', () => {
  let seed = 7;
  const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);
  for (let round = 0; round < 3000; round++) {
    const head = header().slice(0, next() % (header().length + 1));
    for (let change = 0; change < next() % 4; change++) head[next() % Math.max(1, head.length)] = next() & 0xff;
    const found = leaveHole(head);
    if (!found) continue;
    assert.ok(found.bytes === head || found.bytes.length === head.length + HOLE);
    assert.ok(found.at + HOLE <= found.bytes.length);
  }
});
