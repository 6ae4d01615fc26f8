// @ts-check
/** The page's words in two languages: which one is spoken, and saying something in it. */

import { EXE_EN } from './exe/en.js';
import { EXE_ZH } from './exe/zh.js';
import { EN } from './page/en.js';
import { ZH } from './page/zh.js';
import { recall, remember } from './page/choices.js';

/** @typedef {'en' | 'zh-CN'} Language */

/** @type {Record<Language, Record<string, string>>} the same keys in both; a test compares them */
export const WORDS = { en: { ...EN, ...EXE_EN }, 'zh-CN': { ...ZH, ...EXE_ZH } };

/** @type {Language} */
let spoken = recall('language') === 'zh-CN' || recall('language') === 'en'
  ? /** @type {Language} */ (recall('language'))
  : navigator.language.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en';

/** @returns {Language} */
export const language = () => spoken;

/** @param {Language} wanted from now on, and at the next visit */
export function speak(wanted) {
  spoken = wanted;
  remember('language', wanted);
}

/**
 * @param {string} key anything else is said as it is
 * @param {...unknown} values for {0}, {1}, …
 */
export function say(key, ...values) {
  const words = Object.hasOwn(WORDS[spoken], key) ? WORDS[spoken][key] : key;
  return words.replace(/\{(\d)\}/g, (_, index) => String(values[Number(index)] ?? ''));
}
