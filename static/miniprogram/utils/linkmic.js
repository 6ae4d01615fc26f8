/**
 * Link-mic: a viewer asks the host of a live room to be seen and heard too. Messages to one user, in the form of 2018.
 * What the host alone may say is believed from the host alone.
 */

const { ERROR, answers, safely } = require('./roomclient.js');

const CMD = 'linkmic';
const ANSWER_MS = 30000;

/**
 * @typedef {import('./roomclient.js').Options} Options
 * @typedef {import('./roomclient.js').Failure} Failure
 * @typedef {{
 *   request: (guest: { userID: string, userName: string, userAvatar: string }) => void,
 *   kickout: () => void,
 * }} Heard
 */

class LinkMic {
  /** @param {import('./roomclient.js').RoomClient} client @param {Heard} heard */
  constructor(client, heard) {
    this._client = client;
    this._heard = heard;
    /** @type {((failure: Failure | null) => void) | null} */ this._pending = null;
    /** @type {any} */ this._timer = null;
  }

  /** Ask the host. @param {Options} options data: timeout in ms */
  request(options) {
    const { succeed, fail } = answers(options);
    const { timeout = ANSWER_MS } = (options && options.data) || {};
    const { account, room } = this._client;
    this.cancel();
    if (!room.roomCreator) {
      fail({ errCode: ERROR.IM, errMsg: 'in no room with a host' });
      return;
    }
    /** @param {Failure | null} failure */
    const pending = (failure) => (failure ? fail(failure) : succeed({ errCode: 0, errMsg: '' }));
    this._pending = pending;
    this._timer = setTimeout(() => this._settle({ errCode: ERROR.IM, errMsg: 'the host does not answer' }), timeout);
    const { userID, userName, userAvatar } = account;
    this._say(room.roomCreator, { type: 'request', userID, userName, userAvatar, timestamp: Date.now() }, {
      fail: (failure) => {
        if (pending === this._pending) this._settle(failure);
      },
    });
  }

  /** Nobody waits for an answer any more. */
  cancel() {
    clearTimeout(this._timer);
    this._pending = null;
  }

  /** @param {Options} options data: userID */
  accept(options) {
    const { userID } = (options && options.data) || {};
    this._say(String(userID), { type: 'response', result: 'accept', message: '', reason: '' }, options);
  }

  /** @param {Options} options data: userID, reason */
  reject(options) {
    const { userID, reason = '' } = (options && options.data) || {};
    this._say(String(userID), { type: 'response', result: 'reject', message: reason, reason }, options);
  }

  /** @param {Options} options data: userID */
  kickout(options) {
    const { userID } = (options && options.data) || {};
    this._say(String(userID), { type: 'kickout' }, options);
  }

  /** @param {string} from @param {Record<string, any>} data */
  hear(from, data) {
    const { room, account, stay } = this._client;
    if (!stay || (data.roomID && String(data.roomID) !== room.roomID)) return;
    const byHost = from === room.roomCreator;
    if (data.type === 'request' && room.roomCreator === account.userID) {
      const text = (/** @type {unknown} */ value) => (typeof value === 'string' ? value : '');
      safely(this._heard.request, { userID: from, userName: text(data.userName) || from, userAvatar: text(data.userAvatar) });
    } else if (data.type === 'response' && byHost && this._pending) {
      const why = String(data.reason || data.message || 'the host has refused');
      this._settle(data.result === 'accept' ? null : { errCode: ERROR.IM, errMsg: why });
    } else if (data.type === 'kickout' && byHost) {
      this._heard.kickout();
    }
  }

  /** @param {string} to @param {Record<string, any>} data @param {Options} [options] */
  _say(to, data, options) {
    this._client.ask(to, CMD, Object.assign({ roomID: this._client.room.roomID }, data), options);
  }

  /** @param {Failure | null} failure */
  _settle(failure) {
    const pending = this._pending;
    this.cancel();
    if (pending) pending(failure);
  }
}

module.exports = { CMD, LinkMic };
