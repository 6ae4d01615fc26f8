// @ts-check
/**
 * The length of a WebM file, which browsers leave out (or say is 0) since they write while it is not known: players then
 * show none and cannot jump. A hole for it is left in the header as it is written, and filled when the recording ends.
 * Pure.
 *
 * EBML (RFC 8794): elements of an id, a size and a body. Matroska (RFC 9559): Segment ▸ Info ▸ Duration.
 */

const SEGMENT = 0x18538067;
const INFO = 0x1549a966;
const TIMESTAMP_SCALE = 0x2ad7b1;
const CLUSTER = 0x1f43b675;
/** Elements that say where others stand: a header with something in these must not grow. */
const PLACES = new Set([0x114d9b74, 0x1c53bb6b]);
const DURATION = [0x44, 0x89, 0x88];
const DURATION_ID = 0x4489;
const VOID = [0xec, 0x89];
/** Bytes of the Duration element: two of id, one of size, a double. */
export const HOLE = 11;

/**
 * @typedef {{
 *   id: number, at: number, size: number, sizeAt: number, sizeLength: number, body: number, unknown: boolean,
 * }} Element `sizeAt`, `sizeLength`: where its size stands; `body`: where its content begins; `unknown`: its size is not
 *   given
 */

/**
 * Leave a hole in the first piece of a WebM file.
 * @param {Uint8Array} head from the first byte of the file on
 * @returns {{bytes: Uint8Array, at: number, unitMs: number} | null} the piece with the hole, where it stands in the
 *   file, and how many ms a unit of time has; null: this header is not of the expected form, and stays as it is
 */
export function leaveHole(head) {
  const { info, grows } = findInfo(head);
  if (!info) return null;
  const end = info.body + info.size;
  const grown = info.size + HOLE;
  if (end > head.length) return null;
  const unitMs = scaleOf(head, info) / 1e6;
  const empty = childOf(head, info, DURATION_ID);
  if (empty) return empty.body + empty.size - empty.at === HOLE ? { bytes: head, at: empty.at, unitMs } : null;
  if (!grows || grown >= 2 ** (7 * info.sizeLength) - 1) return null;
  const bytes = new Uint8Array(head.length + HOLE);
  bytes.set(head.subarray(0, end));
  bytes.set(VOID, end);
  bytes.set(head.subarray(end), end + HOLE);
  writeSize(bytes, info, grown);
  return { bytes, at: end, unitMs };
}

/**
 * @param {number} ms
 * @param {number} unitMs as `leaveHole` gave it
 * @returns {Uint8Array} what fills the hole
 */
export function durationElement(ms, unitMs) {
  const bytes = new Uint8Array(HOLE);
  bytes.set(DURATION);
  new DataView(bytes.buffer).setFloat64(DURATION.length, ms / unitMs);
  return bytes;
}

/** @param {Uint8Array} head @returns {{info: Element | null, grows: boolean}} `grows`: what stands behind it may move */
function findInfo(head) {
  let at = 0;
  let grows = true;
  while (at < head.length) {
    const element = read(head, at);
    if (!element || element.id === CLUSTER) break;
    if (PLACES.has(element.id) && element.size) grows = false;
    if (element.id === INFO) return { info: element.unknown ? null : element, grows };
    if (element.id === SEGMENT) at = element.body; // into it
    else if (element.unknown) break;
    else at = element.body + element.size;
  }
  return { info: null, grows };
}

/** @param {Uint8Array} head @param {Element} info @returns {number} ns of a unit, 1,000,000 if it is not said */
function scaleOf(head, info) {
  const scale = childOf(head, info, TIMESTAMP_SCALE);
  if (!scale || scale.size > 6) return 1e6;
  let value = 0;
  for (let i = 0; i < scale.size; i++) value = value * 256 + head[scale.body + i];
  return value || 1e6;
}

/** @param {Uint8Array} head @param {Element} parent @param {number} id @returns {Element | null} */
function childOf(head, parent, id) {
  const end = parent.body + parent.size;
  let at = parent.body;
  while (at < end) {
    const element = read(head, at);
    if (!element || element.unknown || element.body + element.size > end) return null;
    if (element.id === id) return element;
    at = element.body + element.size;
  }
  return null;
}

/** @param {Uint8Array} bytes @param {number} at @returns {Element | null} null: it does not stand here whole */
function read(bytes, at) {
  const idLength = lengthOf(bytes[at], 4);
  const sizeAt = at + idLength;
  const sizeLength = lengthOf(bytes[sizeAt], 8);
  if (!idLength || !sizeLength || sizeAt + sizeLength > bytes.length) return null;
  let id = 0;
  for (let i = at; i < sizeAt; i++) id = id * 256 + bytes[i];
  let size = bytes[sizeAt] & (2 ** (8 - sizeLength) - 1);
  for (let i = 1; i < sizeLength; i++) size = size * 256 + bytes[sizeAt + i];
  return { id, at, size, sizeAt, sizeLength, body: sizeAt + sizeLength, unknown: size >= 2 ** (7 * sizeLength) - 1 };
}

/** @param {number | undefined} first byte of a number whose length stands in its leading zeros @param {number} most */
function lengthOf(first, most) {
  if (!first) return 0;
  const length = Math.clz32(first) - 23;
  return length <= most ? length : 0;
}

/** @param {Uint8Array} bytes @param {Element} element @param {number} size */
function writeSize(bytes, { sizeAt, sizeLength }, size) {
  let rest = size;
  for (let i = sizeLength - 1; i >= 0; i--) {
    bytes[sizeAt + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes[sizeAt] |= 2 ** (8 - sizeLength);
}
