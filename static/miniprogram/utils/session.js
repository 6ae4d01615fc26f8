/**
 * One user's login with the rooms of RoomService: a token for its calls, and a line to `/im` for what is said and told.
 * There is one of it, since a newer login of a user ends the older; rtcroom.js and liveroom.js share it.
 *
 * A token is void after a restart of the server (code 7): then the login is done again and the call once more. A line
 * that breaks comes back by itself.
 */

const { Im } = require('./im.js');

const REQUEST_MS = 10000;
/** The first login of the line; later ones take as long as they take. */
const LOGIN_MS = 10000;
const BAD_TOKEN = 7;
const ERROR = { PARAMETERS: -9, IM: -999, NETWORK: -1, GROUP: -2 };

/**
 * @typedef {{ errCode: number, errMsg: string }} Failure
 * @typedef {{ userID: string, userName: string, userAvatar: string, userSig: string, sdkAppID: string | number,
 *   accountType: string, accountMode: number, token: string }} Account
 * @typedef {import('./msg.js').Entry} Entry
 * @typedef {{
 *   message: (entry: Entry) => void,
 *   direct: (entry: Entry) => void,
 *   notice: (detail: Record<string, any>) => void,
 *   back: () => void,
 *   parted: (reason: string) => void,
 *   kicked: (reason: string) => void,
 * }} Listener `back`: in the group again after a break; `parted`: not in it any more; `kicked`: the line has ended
 */

/** @returns {Account} */
const nobody = () => ({
  userID: '', userName: '', userAvatar: '', userSig: '', sdkAppID: '', accountType: '', accountMode: 0, token: '',
}); // prettier-ignore

/** @param {string} address */
const origin = (address) => address.split('/').slice(0, 3).join('/');

class Session {
  constructor() {
    this.account = nobody();
    this._base = '';
    /** @type {Listener | null} */ this._listener = null;
    /** @type {InstanceType<typeof Im> | null} */ this._im = null;
    this._lineOf = '';
    /** @type {((failure: Failure | null) => void)[]} */ this._arriving = [];
    /** @type {any} */ this._arrivalTimer = null;
    /** @type {((failure: Failure | null) => void)[]} */ this._renewing = [];
  }

  /**
   * @param {string} base address of the calls of one kind of room, with a slash at its end
   * @param {Omit<Account, 'token' | 'accountMode'>} given
   * @param {Listener} listener hears everything from now on
   * @param {(failure: Failure | null) => void} done
   */
  login(base, given, listener, done) {
    const account = Object.assign(nobody(), given);
    this._askToken(base, account, (failure, answer) => {
      if (failure) {
        done(failure);
        return;
      }
      account.token = String(answer.token);
      account.userID = String(answer.userID || account.userID);
      this.account = account;
      this._base = base;
      this._listener = listener;
      this._openLine(done);
    });
  }

  /** The token is given back, the line ends. */
  logout() {
    if (this._base) this._post(this._base, 'logout', {}, this.account, () => {});
    this._closeLine();
    this.account = nobody();
    this._base = '';
    this._listener = null;
  }

  /**
   * One call of RoomService, once more after a new login if the token is void.
   * @param {string} base @param {string} name @param {Record<string, any>} body
   * @param {(failure: Failure | null, answer: Record<string, any>) => void} done
   */
  call(base, name, body, done) {
    if (!this._base) {
      done({ errCode: ERROR.PARAMETERS, errMsg: 'not logged in' }, {});
      return;
    }
    const { account } = this;
    this._post(base, name, body, account, (failure, answer) => {
      if (!failure || failure.errCode !== BAD_TOKEN || account !== this.account) {
        done(failure, answer);
        return;
      }
      this._renew(account, (refused) => {
        if (refused || account !== this.account) done(refused || failure, {});
        else this._post(base, name, body, account, done);
      });
    });
  }

  // --- the group and the messages

  /** @param {string} id @param {Listener} listener who hears it @param {(failure: Failure | null) => void} done */
  join(id, listener, done) {
    if (!this._im) {
      done({ errCode: ERROR.GROUP, errMsg: 'not logged in' });
      return;
    }
    this._listener = listener;
    this._im.join(id, (error) => done(error ? { errCode: ERROR.GROUP, errMsg: `${error.message}[${error.code}]` } : null));
  }

  quit() {
    if (this._im) this._im.quit();
  }

  /** The phone woke up: is the line still there? */
  check() {
    if (this._im) this._im.check();
  }

  /**
   * @param {import('./msg.js').BodyElement[]} body
   * @param {string} to '' for the group
   * @param {(failure: Failure | null) => void} done
   */
  say(body, to, done) {
    if (!this._im) {
      done({ errCode: ERROR.NETWORK, errMsg: 'not logged in' });
      return;
    }
    this._im.send(body, to, (error) =>
      done(error ? { errCode: ERROR.NETWORK, errMsg: `${error.message}[${error.name}]` } : null),
    );
  }

  // --- requests

  /** @param {string} base @param {Account} account @param {(failure: Failure | null, answer: Record<string, any>) => void} done */
  _askToken(base, account, done) {
    const { accountType, sdkAppID, userSig } = account;
    this._post(base, 'login', {}, account, done, { accountType, sdkAppID: String(sdkAppID), userSig });
  }

  /** @param {Account} account @param {(failure: Failure | null) => void} done */
  _renew(account, done) {
    this._renewing.push(done);
    if (this._renewing.length > 1) return;
    this._askToken(this._base, account, (failure, answer) => {
      if (!failure) account.token = String(answer.token);
      this._renewing.splice(0).forEach((waiting) => waiting(failure));
    });
  }

  /**
   * @param {string} base @param {string} name @param {Record<string, any>} body @param {Account} account
   * @param {(failure: Failure | null, answer: Record<string, any>) => void} done
   * @param {Record<string, string>} [ticket] of a login
   */
  _post(base, name, body, account, done, ticket) {
    const query = Object.assign({ userID: account.userID }, ticket || { token: account.token });
    const text = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
    wx.request({
      url: `${base}${name}?${text.join('&')}`,
      method: 'POST',
      timeout: REQUEST_MS,
      header: { 'content-type': 'application/json' },
      data: body,
      success: ({ statusCode, data }) => {
        const answer = /** @type {Record<string, any>} */ (data);
        if (!answer || typeof answer !== 'object' || typeof answer.code !== 'number') {
          done({ errCode: ERROR.NETWORK, errMsg: `HTTP ${statusCode}` }, {});
        } else if (answer.code !== 0) {
          done({ errCode: answer.code, errMsg: `${answer.message}[${answer.code}]` }, answer);
        } else {
          done(null, answer);
        }
      },
      fail: ({ errMsg }) => done({ errCode: ERROR.NETWORK, errMsg }, {}),
    });
  }

  // --- the line

  /** @param {(failure: Failure | null) => void} done */
  _openLine(done) {
    const { userID, sdkAppID } = this.account;
    const lineOf = [origin(this._base), userID, sdkAppID].join(' ');
    if (this._im && lineOf === this._lineOf && this._im.open) {
      done(null);
      return;
    }
    if (!this._im || lineOf !== this._lineOf || this._im.over) {
      this._closeLine();
      this._lineOf = lineOf;
      this._im = this._newLine();
      this._im.start();
    }
    this._arriving.push(done);
    clearTimeout(this._arrivalTimer);
    this._arrivalTimer = setTimeout(() => this._failLine('no connection for messages'), LOGIN_MS);
  }

  _newLine() {
    const greeting = () => {
      const { userID, userSig, sdkAppID } = this.account;
      // Old clients take the nick of a message for the user's id; its name stands in the message.
      return { sdkAppID, userID, userSig, nickName: userID };
    };
    /** @param {(listener: Listener) => void} tell */
    const tell = (tell) => {
      if (this._listener) tell(this._listener);
    };
    return new Im(origin(this._base), greeting, {
      login: () => this._arrived(null),
      refused: (refusal) => {
        if (this._arriving.length) this._failLine(refusal.message);
        else tell((listener) => listener.kicked(refusal.name));
      },
      kicked: (reason) => {
        this._arrived({ errCode: ERROR.IM, errMsg: reason });
        tell((listener) => listener.kicked(reason));
      },
      messages: (entries) => entries.forEach((entry) => tell((listener) => listener.message(entry))),
      c2c: (entries) => entries.forEach((entry) => tell((listener) => listener.direct(entry))),
      event: (tag, code, detail) => {
        if (code === 'group_system_notifys' && detail) tell((listener) => listener.notice(detail));
      },
      joined: () => tell((listener) => listener.back()),
      parted: (refusal) => tell((listener) => listener.parted(refusal.name)),
    });
  }

  /** @param {Failure | null} failure */
  _arrived(failure) {
    clearTimeout(this._arrivalTimer);
    this._arriving.splice(0).forEach((done) => done(failure));
  }

  /** @param {string} why */
  _failLine(why) {
    const arriving = this._arriving.splice(0);
    this._closeLine();
    arriving.forEach((done) => done({ errCode: ERROR.IM, errMsg: `login for messages failed: ${why}` }));
  }

  _closeLine() {
    const line = this._im;
    this._im = null;
    if (line) line.stop();
    this._arrived({ errCode: ERROR.IM, errMsg: 'logged out' });
  }
}

module.exports = { ERROR, session: new Session() };
