// @ts-check
/**
 * SEI messages in H.264 pictures as the browser hands them over (Annex B: units after start codes). Pure; read and
 * written by the worker. ITU-T H.264, 7.3.2.3 and Annex B.
 */

const SEI = 6;
/** Units that may stand before the first slice: parameter sets, SEI, delimiter. */
const BEFORE_SLICE = new Set([6, 7, 8, 9]);

/**
 * @param {number} type payload type, 0..254
 * @param {Uint8Array} payload
 * @returns {Uint8Array} a unit with its start code
 */
export function seiUnit(type, payload) {
  /** @type {number[]} */
  const body = [type];
  let size = payload.length;
  for (; size >= 255; size -= 255) body.push(255);
  body.push(size, ...payload, 0x80);
  const unit = [0, 0, 0, 1, SEI];
  let zeros = 0;
  for (const byte of body) {
    if (zeros >= 2 && byte <= 3) {
      unit.push(3); // a start code must not appear inside
      zeros = 0;
    }
    unit.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return Uint8Array.from(unit);
}

/**
 * Where the units begin: positions of the start codes, and of the first byte after each.
 * @param {Uint8Array} data
 */
function* units(data) {
  let at = -1;
  for (let i = 0; i + 2 < data.length; i += 1) {
    if (data[i] !== 0 || data[i + 1] !== 0 || data[i + 2] !== 1) continue;
    const code = i > 0 && data[i - 1] === 0 ? i - 1 : i;
    at = i + 3;
    yield { code, at, type: data[at] & 31 };
    i += 2;
  }
}

/**
 * Put units before the first slice of a picture.
 * @param {Uint8Array} data
 * @param {Uint8Array[]} inserts
 * @returns {Uint8Array | null} null if there is no slice that could be recognised
 */
export function insert(data, inserts) {
  for (const { code, type } of units(data)) {
    if (BEFORE_SLICE.has(type)) continue;
    if (type !== 1 && type !== 5) return null;
    const all = [data.subarray(0, code), ...inserts, data.subarray(code)];
    const result = new Uint8Array(all.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of all) {
      result.set(part, at);
      at += part.length;
    }
    return result;
  }
  return null;
}

/**
 * The SEI messages of a picture, of these payload types.
 * @param {Uint8Array} data
 * @param {Set<number>} types
 * @returns {{type: number, payload: Uint8Array}[]}
 */
export function messages(data, types) {
  const found = [...units(data)];
  const result = [];
  for (const [index, { at, type }] of found.entries()) {
    if (type === 1 || type === 5) break;
    if (type === SEI) result.push(...read(unescape(data.subarray(at + 1, found[index + 1]?.code ?? data.length)), types));
  }
  return result;
}

/**
 * @param {Uint8Array} body
 * @param {Set<number>} types
 */
function read(body, types) {
  const result = [];
  let at = 0;
  while (at < body.length && body[at] !== 0x80) {
    const numbers = [0, 0]; // payload type, size
    for (const which of [0, 1]) {
      while (body[at] === 255) numbers[which] += body[at++];
      if (at >= body.length) return result;
      numbers[which] += body[at++];
    }
    const [type, size] = numbers;
    if (at + size > body.length) return result;
    if (types.has(type)) result.push({ type, payload: body.slice(at, at + size) });
    at += size;
  }
  return result;
}

/** @param {Uint8Array} data without the bytes that keep start codes out */
function unescape(data) {
  const result = [];
  let zeros = 0;
  for (const byte of data) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    result.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return Uint8Array.from(result);
}
