/**
 * What is said in the rooms of RoomService, in the forms that its clients of 2018 write and read. Pure.
 *
 * To a room: two elements, a custom one with JSON, then the text. Old receivers join all elements and cut at the first
 * `}}`: so the JSON ends in `}}` and has no other (a brace in a name is written as its escape). To one user: a custom
 * element that is one JSON text. Browsers write plain text. Whatever cannot be read says nothing; it never throws.
 */

const { ELEMENT, EVENT } = require('./msg.js');

const TEXT = 'CustomTextMsg';
const COMMAND = 'CustomCmdMsg';
/** Ext of a whiteboard's data, and of a text of the webrtc demo. */
const EXT = { BOARD: 'TXWhiteBoardExt', TEXT: 'TEXT' };
const OPERATION = { JOIN: 1, QUIT: 2 };

/**
 * @typedef {import('./msg.js').Entry} Entry
 * @typedef {import('./msg.js').BodyElement} BodyElement
 * @typedef {{ kind: 'text' | 'command' | 'board' | 'tip', userID: string, userName: string, userAvatar: string,
 *   cmd: string, text: string, time: string }} Said `text` of a board is its data; a tip has neither user nor time
 */

/** @param {unknown} value */
const text = (value) => (value === undefined || value === null ? '' : String(value));

/** @param {unknown} value @returns {Record<string, any> | null} the object that a JSON text means */
function parse(value) {
  try {
    const object = JSON.parse(text(value));
    return object && typeof object === 'object' && !Array.isArray(object) ? object : null;
  } catch (error) {
    return null;
  }
}

/** @param {string} data @returns {BodyElement} */
const custom = (data) => ({ MsgType: ELEMENT.CUSTOM, MsgContent: { Data: data, Desc: '', Ext: '' } });

/** @param {string} cmd @param {Record<string, string>} data @param {string} words @returns {BodyElement[]} */
function twoParts(cmd, data, words) {
  const json = JSON.stringify({ cmd, data });
  const head = `${json.slice(0, -2).replace(/}/g, '\\u007d')}}}`;
  return [custom(head), { MsgType: ELEMENT.TEXT, MsgContent: { Text: words } }];
}

/** @typedef {{ userName: string, userAvatar: string }} Speaker */

/** @param {Speaker} speaker @param {string} words */
const textBody = ({ userName, userAvatar }, words) => twoParts(TEXT, { nickName: userName, headPic: userAvatar }, words);

/** @param {Speaker} speaker @param {string} cmd @param {string} words */
const commandBody = ({ userName, userAvatar }, cmd, words) =>
  twoParts(COMMAND, { nickName: userName, headPic: userAvatar, cmd }, words);

/** @param {string} cmd @param {Record<string, any>} data @returns {BodyElement[]} for one user */
const directBody = (cmd, data) => [custom(JSON.stringify({ cmd, data }))];

/** @param {Entry} entry @returns {{ type: string, content: Record<string, any> }[]} */
const elements = (entry) =>
  (Array.isArray(entry.MsgBody) ? entry.MsgBody : []).map((/** @type {any} */ element) => ({
    type: text(element && element.MsgType),
    content: (element && element.MsgContent) || {},
  }));

/** @param {number} seconds unix time @returns {string} HH:MM:SS here, as old pages show it */
function clock(seconds) {
  const date = seconds > 0 ? new Date(seconds * 1000) : new Date();
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => `0${part}`.slice(-2)).join(':');
}

/** @param {Entry} entry a message of the room, or a tip @returns {Said | null} */
function readGroup(entry) {
  if (entry.Event === EVENT.TIP || entry.Event === EVENT.TIP_TOO) return readTip(entry.MsgBody || {});
  const parts = elements(entry);
  const userID = text(entry.From_Account);
  if (!parts.length || !userID) return null;
  const nick = text((entry.GroupInfo || {}).From_AccountNick) || userID;
  /** @type {Said} */
  const said = {
    kind: 'text', userID, userName: nick, userAvatar: '', cmd: '', text: '', time: clock(Number(entry.MsgTimeStamp)),
  }; // prettier-ignore
  const [{ type, content }] = parts;
  if (type !== ELEMENT.CUSTOM) return Object.assign(said, { text: words(parts) });
  if (text(content.Ext) === EXT.BOARD) return Object.assign(said, { kind: 'board', text: text(content.Data) });
  if (text(content.Ext) === EXT.TEXT) {
    const desc = parse(content.Desc);
    return Object.assign(said, { text: text(content.Data), userName: text(desc && desc.nickName) || nick });
  }
  return readCustom(said, text(content.Data), words(parts.slice(1)));
}

/** @param {{ type: string, content: Record<string, any> }[]} parts the texts among them, joined */
const words = (parts) =>
  parts
    .map(({ type, content }) => (type === ELEMENT.TEXT ? text(content.Text) : type === ELEMENT.FACE ? text(content.Data) : ''))
    .join('');

/** @param {Said} said @param {string} head JSON @param {string} rest @returns {Said | null} */
function readCustom(said, head, rest) {
  const object = parse(head);
  const data = object && object.data && typeof object.data === 'object' ? object.data : null;
  if (!object || !data) return null;
  const who = {
    userName: text(data.nickName || data.userName) || said.userName,
    userAvatar: text(data.headPic || data.userAvatar || data.headpic),
  };
  if (object.cmd === TEXT) return Object.assign(said, who, { text: rest });
  if (object.cmd !== COMMAND) return null;
  return Object.assign(said, who, { kind: 'command', cmd: text(data.cmd), text: rest || text(data.msg) });
}

/** @param {Record<string, any>} body @returns {Said | null} */
function readTip(body) {
  const users = Array.isArray(body.List_Account) && body.List_Account.length ? body.List_Account : [body.Operator_Account];
  const names = users.map(text).filter((name) => name !== '').join(',');
  const said = body.OpType === OPERATION.JOIN ? '进入房间' : body.OpType === OPERATION.QUIT ? '离开房间' : '';
  if (!said || !names) return null;
  return { kind: 'tip', userID: '', userName: '', userAvatar: '', cmd: '', text: `${names}${said}`, time: '' };
}

/** @param {Entry} entry a message to us alone @returns {{ from: string, cmd: string, data: Record<string, any> } | null} */
function readDirect(entry) {
  const joined = elements(entry)
    .map(({ content }) => text(content.Data) || text(content.Text))
    .join('');
  const object = parse(joined);
  const from = text(entry.From_Account);
  if (!object || !from) return null;
  return { from, cmd: text(object.cmd), data: object.data && typeof object.data === 'object' ? object.data : {} };
}

module.exports = { commandBody, directBody, parse, readDirect, readGroup, textBody };
