// @ts-check
/**
 * The browser's autoplay rule: sound that it holds back plays after any gesture in the page, and people are told so, by
 * the application (AUTOPLAY_FAILED) or, if it does not listen, by a small dialog.
 */

const GESTURES = ['click', 'touchend', 'keydown'];

export class Autoplay {
  #resume;
  #armed = false;
  /** @type {HTMLElement | null} */
  #dialog = null;
  #go = async () => {
    if (await this.#resume()) this.disarm();
  };

  /** @param {() => Promise<boolean>} resume tries all that is held back; true if nothing is any more */
  constructor(resume) {
    this.#resume = resume;
  }

  /** @param {boolean} ask with a dialog */
  blocked(ask) {
    if (!this.#armed) for (const name of GESTURES) document.addEventListener(name, this.#go, true);
    this.#armed = true;
    if (ask && !this.#dialog) this.#dialog = show(this.#go);
  }

  disarm() {
    this.#armed = false;
    for (const name of GESTURES) document.removeEventListener(name, this.#go, true);
    this.#dialog?.remove();
    this.#dialog = null;
  }
}

/** @param {() => void} resume */
function show(resume) {
  const chinese = navigator.language.startsWith('zh');
  const dialog = document.createElement('div');
  dialog.setAttribute('role', 'alertdialog');
  dialog.setAttribute('aria-label', chinese ? '播放声音' : 'Play sound');
  Object.assign(dialog.style, {
    position: 'fixed', inset: 'auto 0 2rem', margin: 'auto', width: 'fit-content', maxWidth: '90vw', zIndex: '1500',
    padding: '1rem 1.5rem', borderRadius: '0.75rem', background: '#222', color: '#fff', font: '1rem sans-serif',
    boxShadow: '0 4px 24px #0008', textAlign: 'center',
  });
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = chinese ? '播放' : 'Play';
  Object.assign(button.style, { marginInlineStart: '1rem', padding: '0.4rem 1.2rem', font: 'inherit' });
  button.addEventListener('click', resume);
  dialog.append(chinese ? '浏览器暂停了声音。' : 'The browser holds back the sound.', button);
  document.body.append(dialog);
  return dialog;
}
