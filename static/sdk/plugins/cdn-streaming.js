// @ts-check
/**
 * What applications written for the TRTC v5 library import to name the modes of its plugin "CDNStreaming". The plugin
 * itself is part of trtc.js; registering this class by `TRTC.create({ plugins })` is taken and changes nothing.
 */

export const PublishMode = Object.freeze({
  PublishMainStreamToCDN: 'PublishMainStreamToCDN',
  PublishSubStreamToCDN: 'PublishSubStreamToCDN',
  /** Refused here: this server does not mix pictures. */
  PublishMixStreamToCDN: 'PublishMixStreamToCDN',
  PublishMixStreamToRoom: 'PublishMixStreamToRoom',
});

export class CDNStreaming {
  static Name = 'CDNStreaming';
  static TYPE = Object.freeze({ PublishMode });
}

export default CDNStreaming;
