// @ts-check
/** How good the connection is, from the library's own reports, as bars on the tiles. */

import TRTC from '../sdk/trtc.js';

/** Loss in percent that is one step worse each: excellent, good, poor, bad, very bad. */
const STEPS = [1, 4, 10, 20];

const GONE = 6;

export class Quality {
  /** @type {Set<string>} of users with bars */
  #shown = new Set();
  #tiles;

  /**
   * @param {TRTC} trtc
   * @param {import('./tiles.js').Tiles} tiles
   */
  constructor(trtc, tiles) {
    this.#tiles = tiles;
    const { NETWORK_QUALITY, STATISTICS } = /** @type {any} */ (TRTC.EVENT);
    if (NETWORK_QUALITY) {
      trtc.on(NETWORK_QUALITY, ({ uplinkNetworkQuality }) => this.#show(trtc.getRoom()?.userId, uplinkNetworkQuality));
    }
    if (STATISTICS) {
      trtc.on(STATISTICS, ({ remoteStatistics = [] }) => {
        for (const { userId, audio, video = [] } of remoteStatistics) {
          const tracks = [audio, ...video].filter((one) => one);
          const losses = tracks.map(({ loss }) => loss).filter((loss) => typeof loss === 'number');
          const heard = tracks.some(({ bitrate }) => bitrate > 0);
          if (!heard && sends(trtc, userId)) this.#show(userId, GONE);
          else this.#show(userId, losses.length ? 1 + STEPS.filter((step) => Math.max(...losses) > step).length : 0);
        }
      });
    }
  }

  clear() {
    for (const userId of this.#shown) this.#tiles.quality(userId, 0);
    this.#shown.clear();
  }

  /** @param {string | undefined} userId @param {number} level 0 unknown, 1 the best … 6 gone */
  #show(userId, level) {
    if (!userId) return;
    this.#shown.add(userId);
    this.#tiles.quality(userId, level);
  }
}

/**
 * Whether something should be coming from this member now: who is muted sends silence, a picture that is off nothing.
 * @param {TRTC} trtc
 * @param {string} userId
 */
const sends = (trtc, userId) =>
  !!trtc.getRoom()?.streams.some((info) => info.userId === userId && (info.audio || (info.video && !info.videoMuted)));
