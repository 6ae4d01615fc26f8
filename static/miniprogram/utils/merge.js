/** The request for the mixed picture of a live room, as its host sends it: the host's picture with its guests on it. Pure. */

/** Canvases and the guests on them, in pixels; `ratio` 1 is 9:16, everything else 3:4. */
const CANVAS = { tall: { width: 360, height: 640 }, wide: { width: 480, height: 640 } };
const LARGE = { width: 540, height: 960 };
const GUEST = { width: 120, height: 180, below: 60 };
const GUEST_ON_LARGE = { width: 160, height: 240, below: 90 };

/** @param {number} ratio */
const canvasOf = (ratio) => (ratio === 1 ? CANVAS.tall : CANVAS.wide);

/** @param {string} url a play or push address @returns {string} its last path segment without query and suffix */
function streamOf(url) {
  const path = String(url || '').split('?')[0];
  return path.slice(path.lastIndexOf('/') + 1).split('.')[0];
}

/**
 * @param {{ sdkAppID: string | number, host: string, guests: string[], canvas: { width: number, height: number } }} scene
 *   stream ids
 * @param {number} now unix seconds
 */
function mergeParams({ sdkAppID, host, guests, canvas }, now) {
  const guest = canvas.width < LARGE.width || canvas.height < LARGE.height ? GUEST : GUEST_ON_LARGE;
  const lowest = canvas.height - guest.height - guest.below;
  const places = guests.map((stream, index) => ({
    input_stream_id: stream,
    layout_params: {
      image_layer: index + 2,
      image_width: guest.width,
      image_height: guest.height,
      location_x: canvas.width - guest.width,
      location_y: lowest - index * guest.height,
    },
  }));
  return {
    timestamp: now,
    eventId: now,
    interface: {
      interfaceName: 'Mix_StreamV2',
      para: {
        app_id: String(sdkAppID),
        interface: 'mix_streamv2.start_mix_stream_advanced',
        // The mix goes out as the host's own stream: viewers keep one address.
        mix_stream_session_id: host,
        output_stream_id: host,
        input_stream_list: [{ input_stream_id: host, layout_params: { image_layer: 1 } }, ...places],
      },
    },
  };
}

module.exports = { canvasOf, mergeParams, streamOf };
