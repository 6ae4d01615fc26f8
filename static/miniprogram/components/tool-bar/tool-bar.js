/** The sample's row of buttons: `tools` names them, a tap raises `tool` with the name. */

Component({
  properties: {
    /** [{ name, text, kind? }], kind `warn` or `primary` */
    tools: { type: Array, value: [] },
  },

  methods: {
    /** @param {any} event */
    onTool(event) {
      this.triggerEvent('tool', { name: event.currentTarget.dataset.name });
    },
  },
});
