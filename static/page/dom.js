// @ts-check
/** Small steps on the DOM that every part of the page takes. Texts only ever become text, never markup. */

import { say } from '../words.js';

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/** @param {string} id @returns {HTMLButtonElement} */
export const button = (id) => /** @type {HTMLButtonElement} */ (byId(id));

/** @param {string} id @returns {HTMLDialogElement} */
export const dialog = (id) => /** @type {HTMLDialogElement} */ (byId(id));

/** @param {ParentNode} root @param {string} selector @returns {HTMLElement} */
export function find(root, selector) {
  const element = /** @type {HTMLElement | null} */ (root.querySelector(selector));
  if (!element) throw new Error(`the page has no ${selector}`);
  return element;
}

/** @param {string} id of a template @returns {DocumentFragment} */
export function copyOf(id) {
  const template = /** @type {HTMLTemplateElement} */ (byId(id));
  const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  translate(copy);
  return copy;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [name] its class
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, name = '', text = '') {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  return element;
}

/**
 * Write words that follow a change of the language.
 * @param {HTMLElement} element
 * @param {string} key
 * @param {...unknown} values
 */
export function write(element, key, ...values) {
  element.dataset.text = key;
  element.dataset.values = JSON.stringify(values);
  const text = say(key, ...values);
  if (element.textContent !== text) element.textContent = text;
}

/**
 * The same for the name of a button that shows a picture only.
 * @param {HTMLElement} element
 * @param {string} key
 * @param {string} [shortcut] said in the title
 */
export function entitle(element, key, shortcut = '') {
  element.dataset.title = key;
  if (shortcut) element.dataset.shortcut = shortcut;
  const mark = element.dataset.shortcut ? ` (${element.dataset.shortcut})` : '';
  element.title = say(key) + mark;
  element.setAttribute('aria-label', say(key));
}

/** @param {ParentNode} root say everything in it in the language of now */
export function translate(root) {
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-text]'))) {
    element.textContent = say(element.dataset.text ?? '', ...JSON.parse(element.dataset.values ?? '[]'));
  }
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-label]'))) {
    element.setAttribute('aria-label', say(element.dataset.label ?? ''));
  }
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-title]'))) {
    entitle(element, element.dataset.title ?? '');
  }
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-placeholder]'))) {
    element.setAttribute('placeholder', say(element.dataset.placeholder ?? ''));
  }
}

/** @param {string} text to people who listen to the page instead of looking at it */
export function announce(text) {
  const place = byId('announce');
  place.append(make('span', '', `${text} `));
  while (place.childElementCount > 5) place.firstElementChild?.remove();
}

/** Dialogs close by their cross, by Escape and by a click beside them; the browser keeps the focus inside. */
export function armDialogs() {
  for (const each of document.querySelectorAll('dialog')) {
    find(each, '.close').addEventListener('click', () => each.close());
    each.addEventListener('click', (event) => event.target === each && each.close());
  }
}

/**
 * Show that something is under way, and let nobody start it twice. The buttons keep the focus, as `disabled` would not.
 * @param {HTMLElement[]} buttons
 * @param {() => Promise<unknown>} work
 */
export async function busy(buttons, work) {
  if (buttons.some((each) => each.ariaBusy === 'true')) return;
  for (const each of buttons) each.ariaBusy = each.ariaDisabled = 'true';
  try {
    await work();
  } finally {
    for (const each of buttons) {
      each.removeAttribute('aria-busy');
      each.removeAttribute('aria-disabled');
    }
  }
}
