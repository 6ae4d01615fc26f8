// @ts-check
/**
 * What the `debug` property of the mini-program tags shows, for the page: each stream with codec, size, pictures a
 * second, rate, loss, delay and jitter as this browser counts them, and what the server's bridge does with it.
 */

import TRTC from '../sdk/trtc.js';
import { byId, dialog, make, write } from './dom.js';
import { copied } from './links.js';
import { say } from '../words.js';

const COLUMNS = ['stream', 'video', 'size', 'fps', 'rate', 'audio', 'audioRate', 'loss', 'jitter', 'server'];
const EVERY_MS = 2000;

/** @typedef {{who: string, userId: string, streamType: 'main' | 'sub', video: any, audio: any, extra: any}} Row */

export class Debug {
  /** @type {any} the calls for statistics */
  #trtc;
  /** @type {any} */
  #statistics = null;
  /** @type {any} */
  #quality = null;
  /** @type {Map<string, any>} the server's word on a stream */
  #inspected = new Map();
  #timer = 0;
  #text = '';

  /** @param {TRTC} trtc */
  constructor(trtc) {
    this.#trtc = trtc;
    const { STATISTICS, NETWORK_QUALITY } = /** @type {any} */ (TRTC.EVENT);
    if (STATISTICS) trtc.on(STATISTICS, (statistics) => (this.#statistics = statistics));
    if (NETWORK_QUALITY) trtc.on(NETWORK_QUALITY, (quality) => (this.#quality = quality));
    byId('debug').addEventListener('click', () => this.show());
    dialog('debugDialog').addEventListener('close', () => clearInterval(this.#timer));
    byId('debugCopy').addEventListener('click', async () => {
      if (!(await copied(this.#text, byId('debugCopy')))) write(byId('debugNetwork'), 'copyRefused');
    });
  }

  show() {
    dialog('debugDialog').showModal();
    this.#draw();
    void this.#inspect();
    this.#timer = setInterval(() => this.#inspect(), EVERY_MS);
  }

  /** Another room: nothing of the old one. */
  clear() {
    this.#statistics = this.#quality = null;
    this.#inspected.clear();
    dialog('debugDialog').close();
  }

  async #inspect() {
    const rows = this.#rows();
    if (typeof this.#trtc.inspect === 'function') {
      await Promise.all(
        rows.map(async ({ userId, streamType }) => {
          const found = await this.#trtc.inspect({ userId, streamType }).catch(() => null);
          this.#inspected.set(`${userId}/${streamType}`, found);
        }),
      );
    }
    if (dialog('debugDialog').open) this.#draw();
  }

  /** @returns {Row[]} */
  #rows() {
    const room = this.#trtc.getRoom();
    if (!room) return [];
    const own = this.#statistics?.localStatistics;
    const remote = new Map((this.#statistics?.remoteStatistics ?? []).map((/** @type {any} */ one) => [one.userId, one]));
    /** @type {Row[]} */
    const rows = [{
      who: say('you', room.userId), userId: room.userId, streamType: 'main',
      video: videoOf(own, 'big'), audio: own?.audio, extra: { loss: this.#statistics?.upLoss },
    }];
    if (videoOf(own, 'sub')) {
      rows.push({
        who: say('screenOf', room.userId), userId: room.userId, streamType: 'sub',
        video: videoOf(own, 'sub'), audio: null, extra: {},
      });
    }
    for (const { userId, stream } of room.streams) {
      const streamType = stream === 'aux' ? 'sub' : 'main';
      const found = /** @type {any} */ (remote.get(userId));
      const video = videoOf(found, streamType === 'sub' ? 'sub' : 'big');
      const audio = streamType === 'main' ? found?.audio : null;
      rows.push({ who: streamType === 'sub' ? say('screenOf', userId) : userId, userId, streamType, video, audio, extra: {} });
    }
    return rows;
  }

  #draw() {
    const rows = this.#rows().map((row) => this.#cells(row));
    byId('debugHead').replaceChildren(...COLUMNS.map((column) => {
      const head = make('th', '', say(`debug_${column}`));
      head.scope = 'col';
      return head;
    }));
    byId('debugRows').replaceChildren(
      ...rows.map((cells) => {
        const line = make('tr');
        line.append(
          ...cells.map((cell, index) => {
            const place = make(index ? 'td' : 'th', '', cell);
            place.dataset.column = say(`debug_${COLUMNS[index]}`);
            return place;
          }),
        );
        return line;
      }),
    );
    const quality = this.#quality ?? {};
    const network = [
      `${say('debug_rtt')} ${unit(this.#statistics?.rtt ?? quality.uplinkRTT, 'ms')}`,
      `${say('debug_up')} ${unit(this.#statistics?.upLoss ?? quality.uplinkLoss, '%')} · ${quality.uplinkNetworkQuality ?? '–'}/6`,
      `${say('debug_down')} ${unit(this.#statistics?.downLoss ?? quality.downlinkLoss, '%')} · ${quality.downlinkNetworkQuality ?? '–'}/6`,
      `${navigator.userAgent}`,
    ];
    const note = byId('debugNetwork');
    delete note.dataset.text;
    note.textContent = network.join(' · ');
    this.#text = [
      `${new Date().toISOString()} ${location.origin}`,
      COLUMNS.map((column) => say(`debug_${column}`)).join('\t'),
      ...rows.map((cells) => cells.join('\t')),
      ...network,
    ].join('\n');
  }

  /** @param {Row} row @returns {string[]} in the order of COLUMNS */
  #cells({ who, userId, streamType, video, audio, extra }) {
    const server = this.#inspected.get(`${userId}/${streamType}`);
    const size = video?.width ? `${video.width}×${video.height}` : '–';
    return [
      who,
      codecOf(video, server?.video),
      size,
      video ? String(Math.round(video.frameRate ?? 0)) : '–',
      unit(video?.bitrate, 'kbit/s'),
      codecOf(audio, server?.audio),
      unit(audio?.bitrate, 'kbit/s'),
      unit(video?.loss ?? audio?.loss ?? extra.loss, '%'),
      unit(video?.jitter ?? audio?.jitter, 'ms'),
      serverWords(server),
    ];
  }
}

/** @param {any} statistics @param {'big' | 'sub'} type */
const videoOf = (statistics, type) =>
  (statistics?.video ?? []).find((/** @type {any} */ video) => (video.videoType ?? 'big') === type);

/** @param {any} here @param {any} there what the browser counts, else what the server says */
const codecOf = (here, there) => (here?.codec ?? there?.codec ?? '–').replace(/^opus$/, 'Opus');

/** @param {unknown} value @param {string} name */
const unit = (value, name) => (typeof value === 'number' ? `${Math.round(value * 10) / 10} ${name}` : '–');

/** @param {any} found an answer of `inspect` */
function serverWords(found) {
  if (!found) return '–';
  const kinds = [found.video, found.audio].filter(Boolean).map(({ codec, bridge }) => `${codec}${bridge ? `: ${bridge}` : ''}`);
  return [found.source ?? '–', ...kinds, say('debug_viewers', found.viewers ?? 0, found.players ?? 0)].join(', ');
}
