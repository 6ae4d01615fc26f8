/** A login for the sample: who we are, from the gateway (or a business server), and then RoomService. */

const config = require('../config.js');
const liveroom = require('./liveroom.js');
const rtcroom = require('./rtcroom.js');

const REQUEST_MS = 10000;

/** @typedef {'double_room' | 'multi_room' | 'live_room'} Kind */

/**
 * The gateway gives guests a userSig; in production a server of yours does, to users whom it knows.
 * @param {{ type: Kind, userID?: string, success?: (login: { userID: string, userName: string }) => void,
 *   fail?: (failure: { errCode: number, errMsg: string }) => void }} options
 */
function getLoginInfo({ type, userID = '', success = () => {}, fail = () => {} }) {
  wx.request({
    url: `${config.serverUrl}/weapp/utils/get_login_info`,
    data: Object.assign({ userIDPrefix: 'weixin' }, userID ? { userID } : {}),
    method: 'GET',
    timeout: REQUEST_MS,
    header: { 'content-type': 'application/json' },
    success: ({ statusCode, data }) => {
      const answer = /** @type {Record<string, any>} */ (data);
      if (!answer || answer.code !== 0) {
        const { code = statusCode, message = `HTTP ${statusCode}` } = answer || {};
        fail({ errCode: code, errMsg: `${message}[${code}]` });
        return;
      }
      const serverDomain = `${config.roomServiceUrl}/weapp/${type}/`;
      const library = type === 'live_room' ? liveroom : rtcroom;
      library.login({ data: Object.assign({}, answer, { serverDomain, userName: answer.userID }), success, fail });
    },
    fail: ({ errMsg }) => fail({ errCode: -1, errMsg }),
  });
}

module.exports = { getLoginInfo };
