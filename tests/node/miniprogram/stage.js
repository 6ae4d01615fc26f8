/** The component on a page, with stub tags, its events written down. */
const path = require('path');
const simulate = require('miniprogram-simulate');
const tags = require('./tags.js');

const ROOT = path.resolve(__dirname, '../../../static/miniprogram');
const COMPONENT = path.join(ROOT, 'components/webrtc-room/webrtc-room');

class Phone {
  constructor(id, properties) {
    this.events = [];
    this.rendered = simulate.render(id, properties);
    this.rendered.addEventListener('RoomEvent', (event) => this.events.push(['RoomEvent', event.detail]));
    this.rendered.addEventListener('IMEvent', (event) => this.events.push(['IMEvent', event.detail]));
    this.rendered.attach(document.body);
  }

  /** The component as a page gets it from selectComponent. */
  get room() {
    return this.rendered.instance;
  }

  get members() {
    return this.rendered.data.members;
  }

  get(selector) {
    return this.rendered.querySelector(selector);
  }

  count(selector) {
    return this.rendered.querySelectorAll(selector).length;
  }

  pusherSays(code, message = '') {
    this.get('#rtcpusher').instance.triggerEvent('statechange', { code, message });
  }

  playerSays(user, code) {
    this.get(`#player-${user}`).instance.triggerEvent('statechange', { code, message: '' });
  }

  /** Codes of RoomEvents so far. */
  errors() {
    return this.events.filter(([name]) => name === 'RoomEvent').map(([, { code }]) => code);
  }

  /** [code, detail] of IMEvents of one tag. */
  im(tag) {
    return this.events.filter(([name, event]) => name === 'IMEvent' && event.tag === tag).map(([, event]) => event);
  }

  /** Texts of group messages in the order in which a page shows them. */
  texts() {
    const shown = this.im('big_group_msg_notify').flatMap(({ detail }) => [...detail].reverse());
    return shown.map((message) =>
      message.getElems().map((element) => {
        const content = element.getContent();
        return content.getText ? content.getText() : content.getData();
      }).join(''),
    ); // prettier-ignore
  }

  remove() {
    this.rendered.detach();
  }
}

/** Load the component with these tags; returns a function that puts one on a page. */
function stage(made) {
  const usingComponents = tags.load(made);
  const id = simulate.load(COMPONENT, 'webrtc-room', { rootPath: ROOT, usingComponents });
  return (properties) => new Phone(id, properties);
}

/** Wait until `check()` is true. */
async function until(check, timeout, what) {
  const end = Date.now() + timeout;
  while (!check()) {
    if (Date.now() > end) throw new Error(`not within ${timeout} ms: ${typeof what === 'function' ? what() : what}`);
    await simulate.sleep(20);
  }
}

module.exports = { ROOT, stage, until };
