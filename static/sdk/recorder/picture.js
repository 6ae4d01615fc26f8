// @ts-check
/** What a recording shows: pictures on a canvas, each in its box, and a name where there is no picture. */

/**
 * @typedef {{
 *   userId: string, streamType: 'main' | 'sub', left: number, top: number, width: number, height: number,
 *   name?: string, pictured?: boolean, whole?: boolean, colour?: string,
 * }} Part one picture: `userId` '' is oneself; `pictured` false: the name is shown instead; `whole`: it is not cut, as
 *   nothing is whose shape is far from its box
 * @typedef {(part: Part) => MediaStreamTrack | null} TrackOf
 */

const RADIUS = 12;
/** A face in a picture of nearly the same shape survives being cut; an upright one in a wide box would lose its head. */
const SIMILAR = 1.45;
const FONT = 'system-ui, sans-serif';

export class Screen {
  canvas = document.createElement('canvas');
  #paint;
  #trackOf;
  #background;
  /** Elements of our own, so that a recording sees what the page does not show just now. @type {Map<MediaStreamTrack, HTMLVideoElement>} */
  #videos = new Map();

  /**
   * @param {number} width
   * @param {number} height
   * @param {string} background
   * @param {TrackOf} trackOf
   */
  constructor(width, height, background, trackOf) {
    Object.assign(this.canvas, { width, height });
    this.#paint = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext('2d', { alpha: false }));
    this.#background = background;
    this.#trackOf = trackOf;
  }

  /** @param {Part[]} parts */
  draw(parts) {
    const paint = this.#paint;
    paint.fillStyle = this.#background;
    paint.fillRect(0, 0, this.canvas.width, this.canvas.height);
    /** @type {Set<MediaStreamTrack>} */
    const used = new Set();
    for (const part of parts) {
      const { left, top, width, height } = part;
      const track = part.pictured === false ? null : this.#trackOf(part);
      if (track) used.add(track);
      const video = track && this.#video(track);
      paint.save();
      paint.beginPath();
      paint.roundRect(left, top, width, height, RADIUS);
      paint.clip();
      paint.fillStyle = '#20262e';
      paint.fillRect(left, top, width, height);
      if (video?.videoWidth) this.#picture(video, part);
      else this.#initial(part);
      if (part.name) this.#caption(part);
      paint.restore();
    }
    for (const [track, video] of this.#videos) if (!used.has(track)) this.#forget(track, video);
  }

  close() {
    for (const [track, video] of this.#videos) this.#forget(track, video);
  }

  /** @param {HTMLVideoElement} video @param {Part} part */
  #picture(video, { left, top, width, height, whole }) {
    const { videoWidth, videoHeight } = video;
    const shapes = (videoWidth / videoHeight) / (width / height);
    const cut = !whole && Math.max(shapes, 1 / shapes) < SIMILAR;
    const scale = (cut ? Math.max : Math.min)(width / videoWidth, height / videoHeight);
    const [wide, high] = [videoWidth * scale, videoHeight * scale];
    this.#paint.drawImage(video, left + (width - wide) / 2, top + (height - high) / 2, wide, high);
  }

  /** @param {Part} part */
  #initial({ left, top, width, height, name = '', colour = '#3d4856' }) {
    const paint = this.#paint;
    const radius = Math.min(width, height) * 0.2;
    paint.fillStyle = colour;
    paint.beginPath();
    paint.arc(left + width / 2, top + height / 2, radius, 0, 2 * Math.PI);
    paint.fill();
    paint.fillStyle = 'white';
    paint.font = `${Math.round(radius)}px ${FONT}`;
    paint.textAlign = 'center';
    paint.textBaseline = 'middle';
    paint.fillText([...name][0]?.toUpperCase() ?? '', left + width / 2, top + height / 2);
  }

  /** @param {Part} part */
  #caption({ left, top, width, height, name = '' }) {
    const paint = this.#paint;
    const size = Math.max(12, Math.min(20, Math.round(height / 14)));
    paint.font = `${size}px ${FONT}`;
    paint.textAlign = 'left';
    paint.textBaseline = 'middle';
    const text = fitting(paint, name, width - 3 * size);
    if (!text) return;
    const wide = paint.measureText(text).width + size;
    const high = 1.6 * size;
    paint.fillStyle = 'rgb(0 0 0 / 60%)';
    paint.beginPath();
    paint.roundRect(left + size / 2, top + height - high - size / 2, wide, high, high / 2);
    paint.fill();
    paint.fillStyle = 'white';
    paint.fillText(text, left + size, top + height - high / 2 - size / 2);
  }

  /** @param {MediaStreamTrack} track */
  #video(track) {
    let video = this.#videos.get(track);
    if (!video) {
      video = document.createElement('video');
      Object.assign(video, { muted: true, playsInline: true, srcObject: new MediaStream([track]) });
      void video.play().catch(() => undefined); // a muted picture may always play; what ends meanwhile shows no picture
      this.#videos.set(track, video);
    }
    return video;
  }

  /** @param {MediaStreamTrack} track @param {HTMLVideoElement} video */
  #forget(track, video) {
    this.#videos.delete(track);
    video.srcObject = null;
  }
}

/**
 * @param {CanvasRenderingContext2D} paint
 * @param {string} text
 * @param {number} width
 */
function fitting(paint, text, width) {
  if (paint.measureText(text).width <= width) return text;
  const letters = [...text];
  while (letters.length && paint.measureText(`${letters.join('')}…`).width > width) letters.pop();
  return letters.length ? `${letters.join('')}…` : '';
}

/**
 * Equal boxes for so many pictures, near to squares in number, for whoever has no layout of its own.
 * @param {number} count
 * @param {number} width
 * @param {number} height
 */
export function grid(count, width, height) {
  const columns = Math.ceil(Math.sqrt(count));
  const rows = Math.ceil(count / Math.max(1, columns));
  const size = { width: width / Math.max(1, columns), height: height / Math.max(1, rows) };
  return Array.from({ length: count }, (_, index) => ({
    left: (index % columns) * size.width, top: Math.floor(index / columns) * size.height, ...size,
  }));
}
