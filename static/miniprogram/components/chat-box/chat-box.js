/** The sample's chat: what was said, and a line to write. The page sends; what was sent is taken from the line by `clear()`. */

Component({
  properties: {
    /** [{ id, from, text, own }], oldest first */
    lines: {
      type: Array,
      value: [],
      /** @param {{ id: number }[]} lines */
      observer(lines) {
        if (lines.length) this.setData({ last: `line-${lines[lines.length - 1].id}` });
      },
    },
    hint: { type: String, value: '' },
    send: { type: String, value: '' },
  },

  data: { draft: '', last: '' },

  methods: {
    /** @param {any} event */
    onDraft(event) {
      this.setData({ draft: event.detail.value });
    },

    onSay() {
      if (this.data.draft) this.triggerEvent('say', { text: this.data.draft });
    },

    clear() {
      this.setData({ draft: '' });
    },
  },
});
