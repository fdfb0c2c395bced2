// The camera: started by a button, stopped by another, by leaving its card and by leaving the page.

const REASONS = {
  NotAllowedError: "The camera was refused. Allow it for this page in the browser's address bar, then start it again.",
  NotFoundError: "No camera was found on this device.",
  NotReadableError: "The camera is in use by another program. Close that program and start the camera again.",
};

export class Camera {
  #stream = null;

  constructor(video) {
    this.video = video;
  }

  get on() {
    return this.#stream !== null;
  }

  /** Ask for the camera and show it; throws an Error whose message says what to do. */
  async start() {
    if (this.on) return;
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error(
        window.isSecureContext
          ? "This browser gives pages no camera. Use a picture instead."
          : "Browsers give the camera only to pages that come by https or from this machine (localhost). Use a picture instead.",
      );
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The camera could not be started (${error.name}).`, { cause: error });
    }
    this.#stream.getVideoTracks()[0].addEventListener("ended", () => this.stop());
    this.video.srcObject = this.#stream;
    await this.video.play();
  }

  stop() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.video.srcObject = null;
  }
}
