// @ts-check
/** Text of strangers as nodes: lines stay lines, addresses of the web become links, everything else stays text. */

import { make } from './dom.js';

const ADDRESS = /https?:\/\/[^\s<>"'“”‘’，。；！？）】》]+/gi;
/** What ends a sentence is seldom part of an address. */
const TAIL = /[.,;:!?)\]}]+$/;

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function linesOf(text) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = match[0].replace(TAIL, '');
    const link = linkOf(address);
    if (!link) continue;
    parts.push(text.slice(end, match.index), link);
    end = match.index + address.length;
  }
  parts.push(text.slice(end));
  return parts;
}

/** @param {string} address @returns {HTMLAnchorElement | null} */
function linkOf(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (!['http:', 'https:'].includes(url.protocol)) return null;
  const link = make('a', '', address);
  link.href = url.href;
  link.target = '_blank';
  link.rel = 'noopener noreferrer';
  return link;
}
