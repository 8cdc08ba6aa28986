// Browsers start no worker for a page that was opened from a disk. There the search runs in a hidden frame instead, which
// takes and gives the same messages.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = `<script src="${new URL(url, location)}"></script>`
      this.ready = new Promise(resolve => { frame.onload = () => resolve(frame.contentWindow) })
      this.ready.then(inside => {
        inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      })
      document.body.append(frame)
    }
    postMessage(data) {
      this.ready.then(inside => inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
}
