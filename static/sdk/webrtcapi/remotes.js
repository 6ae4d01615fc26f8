// @ts-check
/** The others: their streams, as the events of 2018 tell them. */

/**
 * @typedef {import('../trtc.js').default} Trtc
 * @typedef {import('../incoming.js').StreamInfo} StreamInfo
 * @typedef {'main' | 'sub'} StreamType
 * @typedef {{
 *   userId: string, streamType: StreamType, videoId: string, tracks: string, stream: MediaStream | null, videoType: number,
 *   audioMuted: boolean, videoMuted: boolean,
 * }} Remote
 * @typedef {{userId: string, openId: string, tinyId: string, tinyid: string}} Peer
 */

/** As in `videoType`. */
const TYPE = { AUDIO: 1, MAIN: 2, AUX: 7 };

/** A number as text that stands for a user, the same at each time. @param {string} userId */
export function tinyId(userId) {
  let hash = 5381n;
  for (const letter of userId) hash = (hash * 33n + BigInt(letter.codePointAt(0) ?? 0)) % 1_000_000_000_000n;
  return String(144_115_000_000_000_000n + hash);
}

export class Remotes {
  #trtc;
  #on;
  /** @type {Map<string, Remote>} by user and stream */
  #remotes = new Map();
  /** @type {Set<string>} users of whom the page wants nothing (any more), if it decides that itself */
  #refused = new Set();
  /** @type {Set<string>} users who send, and of whom the page knows */
  #met = new Set();
  #looking = false;

  /**
   * @param {Trtc} trtc
   * @param {{
   *   emit: (name: string, detail: object) => void, isIn: () => boolean,
   *   received: () => void, ask: ((peer: Peer) => void) | null,
   * }} on `received`: somebody's media is there; `ask`: tell the page of a new user, who is received when it says so
   *   (`accept`); null: everybody is received
   */
  constructor(trtc, on) {
    this.#trtc = trtc;
    this.#on = on;
  }

  /** Whether this user sends anything that is received. @param {string} userId */
  sends(userId) {
    return [...this.#remotes.values()].some((remote) => remote.userId === userId);
  }

  /** @param {string} id @returns {string | null} */
  userOf(id) {
    return [...this.#met].find((userId) => tinyId(userId) === id) ?? null;
  }

  /** Compare what is there with what the page was told, once all of this moment is known. */
  look() {
    if (this.#looking) return;
    this.#looking = true;
    queueMicrotask(() => {
      this.#looking = false;
      if (this.#on.isIn()) this.#compare();
    });
  }

  /** Receive this user. @param {string} userId */
  accept(userId) {
    this.#refused.delete(userId);
    this.#subscribe(userId, true);
    this.#compare();
  }

  /** Receive this user no more. @param {string} userId */
  refuse(userId) {
    this.#refused.add(userId);
    this.#subscribe(userId, false);
    this.#compare();
  }

  clear() {
    for (const key of [...this.#remotes.keys()]) this.#remove(key);
    this.#refused.clear();
    this.#met.clear();
  }

  #compare() {
    const room = this.#trtc.getRoom();
    if (!room) return;
    const streams = room.streams.filter(({ audio, video }) => audio || video);
    const senders = new Set(streams.map(({ userId }) => userId));
    for (const userId of senders) if (!this.#met.has(userId)) this.#meet(userId);
    const there = new Set();
    for (const info of streams) {
      if (this.#refused.has(info.userId)) continue;
      const streamType = info.stream === 'aux' ? 'sub' : 'main';
      there.add(`${info.userId}/${streamType}`);
      this.#update(info, streamType);
    }
    for (const key of [...this.#remotes.keys()]) if (!there.has(key)) this.#remove(key);
    for (const userId of this.#met) {
      if (senders.has(userId)) continue;
      this.#met.delete(userId);
      this.#refused.delete(userId);
    }
  }

  /** Somebody has begun to send. @param {string} userId */
  #meet(userId) {
    this.#met.add(userId);
    const id = tinyId(userId);
    this.#on.emit('onUserDefinedWebRTCEventNotice', { event: 'receive_create_pc', info: { userId } });
    if (this.#on.ask) this.#refused.add(userId);
    this.#on.emit('onPeerConnectionAdd', { userId, tinyId: id, tinyid: id });
    this.#on.ask?.({ userId, openId: userId, tinyId: id, tinyid: id });
  }

  /**
   * Where the page decides who is received, the library subscribes to nothing by itself.
   * @param {string} userId
   * @param {boolean} wanted
   */
  #subscribe(userId, wanted) {
    const quiet = () => undefined; // gone meanwhile
    if (!this.#trtc.getRoom()) return;
    this.#trtc.muteRemoteAudio(userId, !wanted).catch(quiet);
    if (!wanted) this.#trtc.stopRemoteVideo({ userId }).catch(quiet);
    for (const { userId: sender, stream, video } of wanted ? (this.#trtc.getRoom()?.streams ?? []) : []) {
      if (sender !== userId || !video) continue;
      this.#trtc.startRemoteVideo({ userId, streamType: stream === 'aux' ? 'sub' : 'main' }).catch(quiet);
    }
  }

  /** @param {StreamInfo} info @param {StreamType} streamType */
  #update(info, streamType) {
    const { userId } = info;
    const key = `${userId}/${streamType}`;
    const videoType = info.video ? (streamType === 'sub' ? TYPE.AUX : TYPE.MAIN) : TYPE.AUDIO;
    let remote = this.#remotes.get(key);
    if (!remote) {
      const videoId = `${tinyId(userId)}_${Math.random().toString(36).slice(2, 10)}`;
      remote = { userId, streamType, videoId, tracks: '', stream: null, videoType, audioMuted: false, videoMuted: false };
      this.#remotes.set(key, remote);
      this.#tell(remote);
    }
    const kinds = /** @type {const} */ (['audio', 'video']).filter((kind) => info[kind]);
    const tracks = kinds.map((kind) => this.#track(remote, kind)).filter((track) => track !== null);
    if (this.#on.ask && tracks.length < kinds.length) this.#subscribe(userId, true);
    const ids = tracks.map((track) => track.id).join(' ');
    if (ids !== remote.tracks || videoType !== remote.videoType) {
      Object.assign(remote, { tracks: ids, videoType, stream: tracks.length ? new MediaStream(tracks) : null });
      this.#tell(remote);
      if (remote.stream) {
        this.#on.emit('onUserDefinedWebRTCEventNotice', { event: 'create_pc_suc', info: { userId } });
        this.#on.received();
        this.#notify('onadd', remote);
      }
    }
    this.#mutes(remote, info);
  }

  /** @param {Remote} remote @param {'audio' | 'video'} kind @returns {MediaStreamTrack | null} */
  #track({ userId, streamType }, kind) {
    return kind === 'audio' ? this.#trtc.getAudioTrack({ userId, streamType }) : this.#trtc.getVideoTrack({ userId, streamType });
  }

  /** @param {Remote} remote */
  #tell({ userId, stream, videoId, videoType }) {
    this.#on.emit('onRemoteStreamUpdate', { userId, openId: userId, stream, videoId, videoType });
  }

  /** @param {Remote} remote @param {{audioMuted: boolean, videoMuted: boolean}} info */
  #mutes(remote, { audioMuted, videoMuted }) {
    const { userId, videoId, videoType, streamType } = remote;
    if (audioMuted !== remote.audioMuted && streamType === 'main') {
      this.#on.emit(audioMuted ? 'onMuteAudio' : 'onUnmuteAudio', { userId });
      this.#on.emit('onMediaChange', { userId, type: audioMuted ? 4 : 3 });
    }
    if (videoMuted !== remote.videoMuted) {
      if (streamType === 'main') {
        this.#on.emit(videoMuted ? 'onMuteVideo' : 'onUnmuteVideo', { userId });
        this.#on.emit('onMediaChange', { userId, type: videoMuted ? 2 : 1 });
      }
      this.#on.emit('onRemoteStreamStateChange', { type: videoType, state: videoMuted ? 0 : 1, videoId });
    }
    Object.assign(remote, { audioMuted, videoMuted });
  }

  /** @param {string} key */
  #remove(key) {
    const remote = this.#remotes.get(key);
    if (!remote) return;
    this.#remotes.delete(key);
    const { userId, videoId } = remote;
    this.#notify('ended', remote);
    this.#on.emit('onRemoteStreamRemove', { userId, openId: userId, videoId });
    if (!this.sends(userId)) this.#on.emit('onPeerConnectionClose', { userId, tinyId: tinyId(userId), tinyid: tinyId(userId) });
  }

  /** @param {'onadd' | 'ended'} event @param {Remote} remote */
  #notify(event, { userId, videoId, stream, videoType }) {
    const type = videoType === TYPE.AUDIO ? 'audio' : 'video';
    this.#on.emit('onStreamNotify', { event, isLocal: false, stream, type, userId, videoId });
  }
}
