// @ts-check
/** What the page remembers of its visitor, in this browser only. Storage that is full or forbidden is no trouble. */

const PREFIX = 'gateway.';

/**
 * @param {string} name
 * @returns {string | null} null: never chosen, or forbidden to look
 */
export function recall(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // A private window: the choice holds for this visit.
  }
}
