/**
 * The component's side of the messages: what a page asks to be sent, checked and sent; what comes, made into the
 * `IMEvent`s that pages know. A page that has switched messages off (`enableIM`) neither gets nor sends any.
 */

const { ELEMENT, EVENT, Msg, SESSION_TYPE, STATUS, Session, bodySize, c2cMsg, groupMsg } = require('../../utils/im.js');

/**
 * @typedef {import('../../utils/im.js').Im} Im
 * @typedef {import('../../utils/msg.js').Entry} Entry
 * @typedef {import('../../utils/msg.js').BodyElement} BodyElement
 * @typedef {{ data?: string, desc?: string, ext?: string }} Custom
 * @typedef {(message: Msg) => void} Sent
 * @typedef {(code: number, error: any) => void} Failed
 * @typedef {(tag: string, code: number | string, detail: any) => void} Fire
 */

const TAG = {
  LOGIN: 'login_event',
  JOIN: 'join_group_event',
  CONNECTION: 'connection_event',
  GROUP: 'big_group_msg_notify',
  C2C: 'msg_notify',
  ERROR: 'error',
};
const CODE = { SYSTEM: 'group_system_notifys', GROUP_INFO: 'group_info_change_notify', KICKED: 'kicked' };
const FAIL = { NO_RECEIVER: -1, EMPTY: -2, TOO_LONG: -3, SERVER: -4 };
const LONGEST = { GROUP: 8898, C2C: 12000 };
const GROUP_CHANGED = 6;
const STATUS_WORDS = { [STATUS.ON]: 'connected', [STATUS.RECONNECT]: 'connected again', [STATUS.OFF]: 'connection lost' };

/** The error object of the old library. @param {number} code @param {string} info */
const failure = (code, info) => ({ ActionStatus: 'FAIL', ErrorCode: code, ErrorInfo: info, SrcErrorInfo: info });

class ImHandler {
  /** @param {Fire} fire raises an IMEvent */
  constructor(fire) {
    this._fire = fire;
    /** @type {Im | null} */ this._im = null;
    this._user = '';
    this._room = '';
    this._nick = '';
    /** @type {Set<string>} what is told once a stay, however often the line logs in */
    this._told = new Set();
  }

  /** @param {Im} im @param {{ userID: string, userName: string, roomID: string | number }} who */
  start(im, who) {
    this._im = im;
    this._user = who.userID;
    this._nick = who.userName || who.userID;
    this._room = String(who.roomID);
    this._told.clear();
  }

  stop() {
    this._im = null;
  }

  // --- what the line says

  /** @param {string} tag @param {number | string} code @param {any} detail */
  event(tag, code, detail) {
    if (!this._im) return;
    if (tag === TAG.LOGIN || tag === TAG.JOIN) {
      if (this._told.has(tag)) return;
      this._told.add(tag);
    }
    // Of a notice the old component gave its kind and nothing more.
    const notice = tag === TAG.ERROR && code === CODE.SYSTEM && detail && typeof detail === 'object';
    this._fire(tag, code, notice ? Number(detail.ReportType) || 0 : detail);
  }

  /** @param {{ code: number, message: string }} refusal */
  refused(refusal) {
    const tag = this._told.has(TAG.LOGIN) ? TAG.CONNECTION : TAG.LOGIN;
    if (this._im) this._fire(tag, refusal.code, failure(refusal.code, refusal.message));
  }

  /** @param {number} status */
  status(status) {
    const detail = { ActionStatus: 'OK', ErrorCode: status, ErrorInfo: STATUS_WORDS[status] || '' };
    if (this._im) this._fire(TAG.CONNECTION, status, detail);
  }

  /** @param {string} reason */
  kicked(reason) {
    if (this._im) this._fire(TAG.ERROR, CODE.KICKED, reason);
  }

  /**
   * The group's messages. Pages walk the array from its end, as the old library's order was newest first.
   * @param {Entry[]} entries oldest first
   */
  messages(entries) {
    if (!this._im) return;
    /** @type {Msg[]} */
    let shown = [];
    const flush = () => {
      if (shown.length) this._fire(TAG.GROUP, 0, shown.reverse());
      shown = [];
    };
    for (const entry of entries) {
      const content = entry.MsgBody || {};
      if (entry.Event === EVENT.SYSTEM) {
        flush();
        this._fire(TAG.ERROR, CODE.SYSTEM, Number(content.ReportType) || 0);
        continue;
      }
      const message = groupMsg(entry, this._user);
      if (message) shown.push(message);
      if ((entry.Event === EVENT.TIP || entry.Event === EVENT.TIP_TOO) && content.OpType === GROUP_CHANGED) {
        flush();
        this._fire(TAG.ERROR, CODE.GROUP_INFO, 0);
      }
    }
    flush();
  }

  /** @param {Entry[]} entries */
  c2c(entries) {
    const messages = entries.map((entry) => c2cMsg(entry, this._user)).filter((message) => message !== null);
    if (this._im && messages.length) this._fire(TAG.C2C, 0, messages);
  }

  // --- what the page sends

  /** @param {string} text @param {string | null} to null: the room @param {Sent} [succ] @param {Failed} [fail] */
  sendText(text, to, succ, fail) {
    const value = text === undefined || text === null ? '' : String(text);
    this._send([{ MsgType: ELEMENT.TEXT, MsgContent: { Text: value } }], value === '', to, succ, fail);
  }

  /** @param {Custom} custom @param {string | null} to null: the room @param {Sent} [succ] @param {Failed} [fail] */
  sendCustom(custom, to, succ, fail) {
    const { data, desc, ext } = custom || {};
    const content = { Data: String(data || ''), Desc: String(desc || ''), Ext: String(ext || '') };
    const empty = !content.Data && !content.Desc && !content.Ext;
    this._send([{ MsgType: ELEMENT.CUSTOM, MsgContent: content }], empty, to, succ, fail);
  }

  /**
   * @param {BodyElement[]} body
   * @param {boolean} empty
   * @param {string | null} to
   * @param {Sent} [succ]
   * @param {Failed} [fail]
   */
  _send(body, empty, to, succ = () => {}, fail = () => {}) {
    const longest = to === null ? LONGEST.GROUP : LONGEST.C2C;
    if (to !== null && !to) {
      fail(FAIL.NO_RECEIVER, 'no receiver');
    } else if (empty) {
      fail(FAIL.EMPTY, 'the message is empty');
    } else if (bodySize(body) > longest) {
      fail(FAIL.TOO_LONG, `the message has more than ${longest} bytes`);
    } else if (!this._im) {
      fail(FAIL.SERVER, failure(-4, 'not logged in'));
    } else {
      this._im.send(body, to || '', (error, sent) => {
        if (error) {
          fail(FAIL.SERVER, Object.assign(failure(error.code, error.message), { retryAfterMs: error.retryAfterMs }));
          return;
        }
        const type = to === null ? SESSION_TYPE.GROUP : SESSION_TYPE.C2C;
        const id = to === null ? this._room : to;
        succ(
          new Msg({
            session: new Session(type, id, id),
            from: this._user,
            nick: this._nick,
            isSend: true,
            seq: sent.seq,
            time: Math.floor(sent.time / 1000),
            random: sent.random,
            body,
          }),
        );
      });
    }
  }
}

module.exports = { ImHandler };
