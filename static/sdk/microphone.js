// @ts-check
/**
 * The loudness of the own microphone: a gain before it is sent, and hearing oneself. Only while one of the two is asked
 * for does the sound go through Web Audio; otherwise the browser's own track is sent as it is.
 */

/** @type {AudioContext | undefined} one for all: browsers allow few */
let shared;

/** The library's AudioContext; it runs once the page has seen a gesture or captures something. */
export function audioContext() {
  shared ??= new AudioContext({ latencyHint: 'interactive' });
  if (shared.state === 'suspended') shared.resume().catch(() => undefined);
  return shared;
}

export class Microphone {
  /** volumes 0..100 */
  captureVolume = 100;
  earMonitorVolume = 0;
  /** @type {{source: AudioNode, gain: GainNode, ear: GainNode, out: MediaStreamAudioDestinationNode, of: MediaStreamTrack} | null} */
  #graph = null;

  /**
   * What to send of this track now.
   * @param {MediaStreamTrack} track as captured
   * @returns {MediaStreamTrack}
   */
  process(track) {
    if (this.captureVolume === 100 && this.earMonitorVolume === 0) {
      this.close();
      return track;
    }
    if (this.#graph?.of !== track) {
      this.close();
      this.#graph = this.#build(track);
    }
    this.#graph.gain.gain.value = this.captureVolume / 100;
    this.#graph.ear.gain.value = this.earMonitorVolume / 100;
    return this.#graph.out.stream.getAudioTracks()[0];
  }

  close() {
    this.#graph?.source.disconnect();
    this.#graph?.ear.disconnect();
    this.#graph = null;
  }

  /** @param {MediaStreamTrack} track */
  #build(track) {
    const context = audioContext();
    const source = context.createMediaStreamSource(new MediaStream([track]));
    const gain = context.createGain();
    const ear = context.createGain();
    const out = context.createMediaStreamDestination();
    source.connect(gain);
    gain.connect(out);
    source.connect(ear).connect(context.destination);
    return { source, gain, ear, out, of: track };
  }
}
