// @ts-check
/** What the library says in the console: warnings and errors, unless TRTC.setLogLevel asks for more or less. */

const LEVELS = /** @type {const} */ (['trace', 'debug', 'info', 'warn', 'error']);
let least = 3;

/** @param {number} level 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 nothing */
export function setLogLevel(level) {
  least = level;
}

/** @param {number} level @param {unknown[]} words */
const say = (level, words) => {
  if (level >= least) console[LEVELS[level]]('trtc:', ...words);
};

export const log = {
  /** @param {unknown[]} words */
  debug: (...words) => say(1, words),
  /** @param {unknown[]} words */
  info: (...words) => say(2, words),
  /** @param {unknown[]} words */
  warn: (...words) => say(3, words),
  /** @param {unknown[]} words */
  error: (...words) => say(4, words),
};
