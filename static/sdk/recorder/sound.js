// @ts-check
/**
 * What a recording sounds like: every track of the call mixed by Web Audio; and its clock, which goes on at full pace
 * while the page is in the background, where timers are slowed down to one a second.
 */

export class Mix {
  #context = new AudioContext({ sampleRate: 48_000, latencyHint: 'playback' });
  #out = this.#context.createMediaStreamDestination();
  #silence = new GainNode(this.#context, { gain: 0 });
  /** @type {Map<MediaStreamTrack, MediaStreamAudioSourceNode>} */
  #sources = new Map();
  /** @type {ConstantSourceNode | null} */
  #beat = null;
  #due = 0;

  constructor() {
    this.#silence.connect(this.#context.destination);
    // A track of silence even while nobody is heard: a file whose sound begins later is read wrongly by players.
    this.#silence.connect(this.#out);
    new ConstantSourceNode(this.#context, { offset: 0 }).connect(this.#silence);
  }

  get track() {
    return this.#out.stream.getAudioTracks()[0];
  }

  /** Seconds. */
  get now() {
    return this.#context.currentTime;
  }

  /** @param {number} waitMs @returns {Promise<boolean>} whether the browser lets it run: in some a page needs a click first */
  async start(waitMs) {
    void this.#context.resume();
    const until = performance.now() + waitMs;
    while (this.#context.state !== 'running' && performance.now() < until) await new Promise((done) => setTimeout(done, 20));
    return this.#context.state === 'running';
  }

  /**
   * Call `act` so often, by the sound's clock.
   * @param {number} everyS
   * @param {() => void} act
   */
  every(everyS, act) {
    this.#due = Math.max(this.#due + everyS, this.now + everyS / 2);
    const node = new ConstantSourceNode(this.#context, { offset: 0 });
    this.#beat = node;
    node.connect(this.#silence);
    node.onended = () => {
      node.disconnect();
      if (this.#beat !== node) return;
      act();
      if (this.#beat === node) this.every(everyS, act);
    };
    node.start();
    node.stop(this.#due);
  }

  /** @param {Set<MediaStreamTrack>} tracks that are heard now */
  set(tracks) {
    if (this.#context.state !== 'running') void this.#context.resume(); // a phone's call has interrupted it
    for (const [track, source] of this.#sources) {
      if (tracks.has(track) && track.readyState === 'live') continue;
      source.disconnect();
      this.#sources.delete(track);
    }
    for (const track of tracks) {
      if (this.#sources.has(track) || track.readyState !== 'live') continue;
      const source = this.#context.createMediaStreamSource(new MediaStream([track]));
      source.connect(this.#out);
      this.#sources.set(track, source);
    }
  }

  close() {
    this.#beat = null;
    this.set(new Set());
    void this.#context.close();
  }
}
