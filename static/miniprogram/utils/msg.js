/**
 * Messages as pages of the IM web library know them: what arrives is an entry of the wire (`From_Account`, `MsgSeq`,
 * `MsgBody` …), what a page gets is a `Msg` with `getElems()`, `getSession()`, `getFromAccountNick()` and the like.
 * Names and meanings of the methods are those of that library, so that pages written for it go on working.
 */

const SESSION_TYPE = { C2C: 'C2C', GROUP: 'GROUP' };
const ELEMENT = {
  TEXT: 'TIMTextElem',
  CUSTOM: 'TIMCustomElem',
  FACE: 'TIMFaceElem',
  GROUP_TIP: 'TIMGroupTipElem',
};
const GROUP_MSG_SUB_TYPE = { COMMON: 0, LOVEMSG: 1, TIP: 2, REDPACKET: 3 };
const C2C_MSG_SUB_TYPE = { COMMON: 0 };

/** Events of a group entry: a message, a tip (two numbers are in use), a system notice. */
const EVENT = { MESSAGE: 3, TIP: 4, SYSTEM: 5, TIP_TOO: 6 };

/**
 * @typedef {{ MsgType: string, MsgContent: Record<string, any> }} BodyElement
 * @typedef {Record<string, any>} Entry one message as it comes over /im
 */

/** @param {unknown} value */
const text = (value) => (value === undefined || value === null ? '' : String(value));

/** What the old library did to texts that came in, because pages put them into rich text. @param {string} raw */
const escape = (raw) => raw.replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');

class Text {
  /** @param {Record<string, any>} content */
  constructor(content) {
    this._raw = text(content.Text);
  }

  /** With `<`, `>` and `"` escaped, as the old library gave it. */
  getText() {
    return escape(this._raw);
  }

  /** The text as it was written (not in the old library): for a `<text>` node, which shows no markup. */
  getRawText() {
    return this._raw;
  }

  toHtml() {
    return escape(this._raw);
  }
}

class Custom {
  /** @param {Record<string, any>} content */
  constructor(content) {
    this._content = content;
  }

  getData() {
    return text(this._content.Data);
  }

  getDesc() {
    return text(this._content.Desc);
  }

  getExt() {
    return text(this._content.Ext);
  }

  toHtml() {
    return escape(this.getData());
  }
}

class Face {
  /** @param {Record<string, any>} content */
  constructor(content) {
    this._content = content;
  }

  getIndex() {
    return Number(this._content.Index) || 0;
  }

  getData() {
    return text(this._content.Data);
  }

  toHtml() {
    return escape(this.getData());
  }
}

class GroupTip {
  /** @param {Record<string, any>} content */
  constructor(content) {
    this._content = content;
  }

  /** 1 joined, 2 left, 3 removed, 4 and 5 made or no longer administrator, 6 group changed, 7 member changed. */
  getOpType() {
    return Number(this._content.OpType) || 0;
  }

  getOpUserId() {
    return text(this._content.Operator_Account);
  }

  /** @returns {string[]} */
  getUserIdList() {
    return Array.isArray(this._content.List_Account) ? this._content.List_Account.map(text) : [];
  }

  getMemberNum() {
    return Number(this._content.MemberNum) || 0;
  }

  toHtml() {
    return '';
  }
}

/** Pictures, sounds, files, places: handed through as they came. */
class Other {
  /** @param {Record<string, any>} content */
  constructor(content) {
    this.content = content;
  }

  toHtml() {
    return '';
  }
}

/** @type {Record<string, new (content: Record<string, any>) => any>} */
const CONTENTS = {
  [ELEMENT.TEXT]: Text,
  [ELEMENT.CUSTOM]: Custom,
  [ELEMENT.FACE]: Face,
  [ELEMENT.GROUP_TIP]: GroupTip,
};

class Elem {
  /**
   * @param {string} type
   * @param {Record<string, any>} content
   */
  constructor(type, content) {
    this._type = type;
    const Content = CONTENTS[type] || Other;
    /** @type {any} */
    this._content = new Content(content || {});
  }

  getType() {
    return this._type;
  }

  /** @returns {any} a content object with the getters of its type */
  getContent() {
    return this._content;
  }

  toHtml() {
    return this._content.toHtml();
  }
}

class Session {
  /**
   * @param {string} type `C2C` or `GROUP`
   * @param {string} id the other user, or the group
   * @param {string} name
   */
  constructor(type, id, name) {
    this._type = type;
    this._id = id;
    this._name = name;
  }

  type() {
    return this._type;
  }

  id() {
    return this._id;
  }

  name() {
    return this._name;
  }
}

class Msg {
  /**
   * @param {{ session: Session, from: string, nick?: string, isSend: boolean, seq: number, time: number,
   *   random: number, subType?: number, body: BodyElement[] }} fields `time` in unix seconds
   */
  constructor(fields) {
    this._fields = fields;
    this._elems = fields.body.map((element) => new Elem(text(element.MsgType), element.MsgContent));
  }

  getSession() {
    return this._fields.session;
  }

  /** The kind of session: `C2C` or `GROUP`. */
  getType() {
    return this._fields.session.type();
  }

  /** 0 ordinary, 1 "love", 2 tip, 3 red packet. */
  getSubType() {
    return this._fields.subType || 0;
  }

  getFromAccount() {
    return this._fields.from;
  }

  /** The nickname if one came with the message, else the account. */
  getFromAccountNick() {
    return this._fields.nick || this._fields.from;
  }

  /** Whether we have sent it ourselves: a group gives senders their own messages back. */
  getIsSend() {
    return this._fields.isSend;
  }

  getSeq() {
    return this._fields.seq;
  }

  getTime() {
    return this._fields.time;
  }

  getRandom() {
    return this._fields.random;
  }

  getElems() {
    return this._elems;
  }

  toHtml() {
    return this._elems.map((element) => element.toHtml()).join('');
  }
}

/** @param {Entry} entry */
const body = (entry) => (Array.isArray(entry.MsgBody) ? entry.MsgBody : []);

/**
 * @param {Entry} entry a group message, or a tip
 * @param {string} self our own user id
 * @returns {Msg | null} null for what has nothing to show: a place holder, no sender, no content
 */
function groupMsg(entry, self) {
  const tip = entry.Event === EVENT.TIP || entry.Event === EVENT.TIP_TOO;
  const elements = tip ? [{ MsgType: ELEMENT.GROUP_TIP, MsgContent: entry.MsgBody || {} }] : body(entry);
  if (entry.IsPlaceMsg || !entry.From_Account || !elements.length) return null;
  const group = entry.GroupInfo || {};
  const id = text(entry.ToGroupId);
  const priority = /** @type {'COMMON'} */ (text(entry.MsgPriority));
  return new Msg({
    session: new Session(SESSION_TYPE.GROUP, id, text(group.GroupName) || id),
    from: text(entry.From_Account),
    nick: text(group.From_AccountNick),
    isSend: text(entry.From_Account) === self,
    seq: Number(entry.MsgSeq) || 0,
    time: Number(entry.MsgTimeStamp) || 0,
    random: Number(entry.MsgRandom) || 0,
    subType: tip ? GROUP_MSG_SUB_TYPE.TIP : GROUP_MSG_SUB_TYPE[priority] || 0,
    body: elements,
  });
}

/**
 * @param {Entry} entry a message from one user to another
 * @param {string} self our own user id
 * @returns {Msg | null}
 */
function c2cMsg(entry, self) {
  if (!entry.From_Account || !body(entry).length) return null;
  const from = text(entry.From_Account);
  const other = from === self ? text(entry.To_Account) : from;
  return new Msg({
    session: new Session(SESSION_TYPE.C2C, other, other),
    from,
    nick: text(entry.From_AccountNick),
    isSend: from === self,
    seq: Number(entry.MsgSeq) || 0,
    time: Number(entry.MsgTimeStamp) || 0,
    random: Number(entry.MsgRandom) || 0,
    body: body(entry),
  });
}

/**
 * The size that the limits of the service are about: UTF-8 of what people write, not of the envelope.
 * @param {BodyElement[]} elements
 */
function bodySize(elements) {
  return elements.reduce((sum, { MsgType, MsgContent }) => {
    const content = MsgContent || {};
    if (MsgType === ELEMENT.TEXT) return sum + utf8Size(text(content.Text));
    if (MsgType === ELEMENT.CUSTOM) {
      return sum + utf8Size(text(content.Data) + text(content.Desc) + text(content.Ext));
    }
    return sum + utf8Size(JSON.stringify(content));
  }, 0);
}

/** @param {string} string */
function utf8Size(string) {
  let size = 0;
  for (const letter of string) {
    const code = /** @type {number} */ (letter.codePointAt(0));
    size += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return size;
}

module.exports = {
  C2C_MSG_SUB_TYPE,
  ELEMENT,
  EVENT,
  Elem,
  GROUP_MSG_SUB_TYPE,
  Msg,
  SESSION_TYPE,
  Session,
  bodySize,
  c2cMsg,
  groupMsg,
};
