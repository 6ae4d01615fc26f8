// @ts-check
/**
 * Where the tiles of a call stand: pure numbers, no DOM. All tiles of a grid have one size, as large as it can be with
 * proportions between the lowest and the widest that suit a face; a shared screen or a pinned tile takes the stage, the rest stand beside it.
 */

/** @typedef {{left: number, top: number, width: number, height: number}} Box in CSS pixels */

export const GAP = 8;
const WIDEST = 16 / 9;
/** In a wide room; in an upright one, for many; for one or two, who may be as upright as a phone. */
const LOWEST_WIDE = 1.2;
const LOWEST_TALL = 3 / 4;
const LOWEST_FEW = 9 / 16;
/** Part of the room that the tiles beside a stage get. */
const STRIP = 0.22;
const STRIP_TALL = 0.28;

/**
 * @param {number} count of tiles
 * @param {number} width of the room
 * @param {number} height
 * @param {number} [stage] index of the tile on the stage, -1 for none
 * @returns {Box[]} in the order of the tiles; every box lies inside the room
 */
export function arrange(count, width, height, stage = -1) {
  const room = { left: 0, top: 0, width, height };
  if (count < 1 || width < 1 || height < 1) return [];
  if (stage < 0 || stage >= count || count === 1) return grid(count, room);
  const tall = height > width;
  const part = tall ? Math.max(96, height * STRIP_TALL) : Math.max(120, width * STRIP);
  const main = tall ? { ...room, height: height - part - GAP } : { ...room, width: width - part - GAP };
  const strip = tall
    ? { ...room, top: height - part, height: part }
    : { ...room, left: width - part, width: part };
  const beside = grid(count - 1, strip);
  return [...beside.slice(0, stage), main, ...beside.slice(stage)];
}

/**
 * @param {number} count
 * @param {Box} room
 * @returns {Box[]}
 */
function grid(count, room) {
  const tall = count <= 2 ? LOWEST_FEW : LOWEST_TALL;
  const lowest = room.height > room.width ? tall : LOWEST_WIDE;
  let best = { area: -1, columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const cell = { width: (room.width - GAP * (columns - 1)) / columns, height: (room.height - GAP * (rows - 1)) / rows };
    const width = Math.max(0, Math.min(cell.width, cell.height * WIDEST));
    const height = Math.max(0, Math.min(cell.height, width / lowest));
    // Fewer holes win when the sizes are about the same.
    const area = width * height * (count / (columns * rows)) ** 0.25;
    if (area > best.area) best = { area, columns, width, height };
  }
  const { columns, width, height } = best;
  const rows = Math.ceil(count / columns);
  const top = room.top + (room.height - rows * height - (rows - 1) * GAP) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = room.left + (room.width - inRow * width - (inRow - 1) * GAP) / 2;
    return { left: left + (index - row * columns) * (width + GAP), top: top + row * (height + GAP), width, height };
  });
}

/**
 * Whether a picture may be cut to fill its tile: a face in a picture of nearly the same shape survives that, a phone's
 * upright picture in a wide tile would lose its head.
 * @param {number} picture width divided by height
 * @param {number} tile
 */
export const mayFill = (picture, tile) => Math.max(picture / tile, tile / picture) < 1.45;
