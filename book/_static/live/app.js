// The page "Swap a face in your browser": controls, messages and the order of things. Computing is in pipeline.js.

import { Camera } from "./camera.js";
import { markedPng } from "./mark.js";
import { canvasIsExact, photoFromVideo } from "./photo.js";
import { Picker, element } from "./picker.js";
import { NoFace, Swapper } from "./pipeline.js";
import { BACKENDS, Runtime, loadManifest, missing, webgpuMissing } from "./runtime.js";
import { Stage } from "./stage.js";

const CAMERA_SIDE = 1280;
const LIVE_SIDE = 640;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;

class App {
  #runtimes = new Map();
  #prepared = null;
  #busy = false;

  constructor(root, manifest) {
    this.root = root;
    this.manifest = manifest;
    this.form = root.querySelector("form");
    this.button = root.querySelector(".live-swap-button");
    this.status = root.querySelector("[role=status]");
    this.progress = root.querySelector("progress");
    this.consent = root.querySelector(".live-consent");
    this.backend = root.querySelector(".live-backend select");
    this.save = root.querySelector(".live-save");
    this.stage = new Stage(root.querySelector(".live-stage"));
    this.camera = new Camera(root.querySelector("video"));
    const handlers = { onChange: () => this.#chosen(), onError: (error) => this.#say(error.message, true) };
    const people = manifest.people.map((person) => ({ ...person, picture: person.portrait }));
    this.source = new Picker(root.querySelector("#live-source"), people, handlers);
    this.target = new Picker(root.querySelector("#live-target"), manifest.pictures, handlers);
    this.form.addEventListener("submit", (event) => (event.preventDefault(), this.#swapOrStop()));
    this.save.addEventListener("click", () => this.#download());
    root.querySelector(".live-camera-button").addEventListener("click", () => this.#toggleCamera());
    document.addEventListener("paste", (event) => this.#pasted(event));
    window.addEventListener("pagehide", () => this.camera.stop());
  }

  async open() {
    this.root.querySelector(".live-waiting").remove();
    this.form.hidden = this.stage.root.hidden = false;
    const reason = await webgpuMissing();
    const option = this.backend.querySelector("[value=webgpu]");
    option.disabled = reason !== null;
    if (reason) this.root.querySelector(".live-no-webgpu").textContent = `No choice here: ${reason}.`;
    this.backend.addEventListener("change", () => this.#chosen());
    await this.#chosen();
  }

  get #runtime() {
    const name = this.backend.value;
    if (!this.#runtimes.has(name)) this.#runtimes.set(name, new Runtime(name));
    return this.#runtimes.get(name);
  }

  #programBytes = (backend) => Number(this.root.dataset[`${backend}Bytes`]);

  #say(text, isProblem = false) {
    this.status.textContent = text;
    this.status.classList.toggle("live-problem", isProblem);
  }

  /** After any choice: show the target, say what pressing the button will download. */
  async #chosen() {
    const camera = this.target.value === "camera";
    this.root.querySelector(".live-camera").hidden = !camera;
    if (!camera) this.camera.stop();
    this.#showCamera();
    this.consent.hidden = !this.source.isOwn && !this.target.isOwn;
    this.root.querySelector(".live-cost").textContent = this.#cost();
    this.#say("");
    if (camera || (!this.target.choice && !this.target.hasFile)) return;
    const value = this.target.value;
    try {
      const { photo } = await this.target.read();
      if (this.target.value === value && !this.#busy) this.stage.showTarget(photo);
      this.save.hidden = true;
    } catch (error) {
      this.#say(error.message, true);
    }
  }

  #cost() {
    const runtime = this.#runtime, graphs = Swapper.graphsFor(this.manifest, this.source.choice);
    const bytes = graphs.filter((entry) => !runtime.has(entry)).reduce((sum, entry) => sum + entry.bytes, 0);
    const program = runtime.started ? 0 : this.#programBytes(this.backend.value);
    if (!bytes && !program) return "Everything needed is here: nothing more is downloaded.";
    const parts = [bytes && `${megabytes(bytes)} of networks`, program && `${megabytes(program)} of the program that runs them`];
    return `Downloads ${parts.filter(Boolean).join(" and ")}, from this book, once.`;
  }

  async #swapOrStop() {
    if (this.#busy) {
      this.live = false;
      return;
    }
    const bad = this.#notReady();
    if (bad) return this.#say(bad, true);
    this.#busy = true;
    this.#lock(true);
    try {
      const swapper = await this.#load();
      const person = await this.#person(swapper);
      const live = this.target.value === "camera" && this.root.querySelector(".live-continuous").checked;
      await (live ? this.#runLive(swapper, person) : this.#runOnce(swapper, person));
    } catch (error) {
      this.#say(error.message, true);
      console.warn(error);
    } finally {
      this.#busy = false;
      this.progress.hidden = true;
      this.#lock(false);
      this.button.textContent = "Swap";
      this.root.querySelector(".live-cost").textContent = this.#cost();
    }
  }

  /** Choices stay as they are while something is computed; the button keeps the focus. */
  #lock(busy) {
    this.root.setAttribute("aria-busy", busy);
    this.button.setAttribute("aria-disabled", busy);
    for (const part of [this.source.fieldset, this.target.fieldset, this.backend]) part.disabled = busy;
  }

  /** What the reader has to do before a swap, or null. */
  #notReady() {
    if (this.source.value === "own" && !this.source.hasFile) return "Choose the picture file whose face to use first.";
    if (this.target.value === "own" && !this.target.hasFile) return "Choose the picture file to change first.";
    if (this.target.value === "camera" && !this.camera.on) return "Start the camera first.";
    if (!this.consent.hidden && !this.consent.querySelector("input").checked) {
      this.consent.querySelector("input").focus();
      return "Say first that everybody shown has agreed.";
    }
    return null;
  }

  /** Load what this swap needs, with a bar; falls back from WebGPU to WebAssembly where the former fails. */
  async #load() {
    try {
      return await this.#loadOn(this.#runtime);
    } catch (error) {
      if (this.backend.value === "wasm") throw error;
      console.warn(error);
      this.backend.querySelector("[value=webgpu]").disabled = true;
      this.backend.value = "wasm";
      this.fallback = "The graphics card could not be used, so the processor was.";
      return this.#loadOn(this.#runtime);
    }
  }

  async #loadOn(runtime) {
    const graphs = Swapper.graphsFor(this.manifest, this.source.choice).filter((entry) => !runtime.has(entry));
    const program = runtime.started ? 0 : this.#programBytes(runtime.backend);
    const total = graphs.reduce((sum, entry) => sum + entry.bytes, program);
    let arrived = 0;
    const onProgress = (bytes) => {
      arrived += bytes;
      this.progress.value = Math.min(1, arrived / total);
      this.status.textContent = `Downloading: ${Math.round(100 * this.progress.value)} % of ${megabytes(total)}`;
    };
    if (total) [this.progress.hidden, this.progress.value] = [false, 0];
    await runtime.start(onProgress);
    for (const entry of graphs) await runtime.load(entry, onProgress);
    this.progress.hidden = true;
    this.root.querySelector(".live-cost").textContent = this.#cost();
    this.root.querySelector(".live-where").textContent = BACKENDS[runtime.backend].label;
    this.#say("Working …");
    await new Promise((resolve) => setTimeout(resolve)); // let the message be painted before the page is busy
    return new Swapper(runtime, this.manifest);
  }

  /** The source's weights, computed again only when the source or the backend is another. */
  async #person(swapper) {
    if (this.source.choice) return swapper.shipped(this.source.choice);
    const own = await this.source.read();
    if (this.#prepared?.own !== own || this.#prepared.backend !== swapper.runtime.backend) {
      const person = await swapper.prepare(own.photo);
      if (own.note) person.notes.unshift(own.note);
      this.#prepared = { own, backend: swapper.runtime.backend, person };
      return person;
    }
    return { ...this.#prepared.person, milliseconds: {} }; // known already: nothing was spent on it this time
  }

  async #runOnce(swapper, person) {
    const isCamera = this.target.value === "camera";
    const { photo, note } = isCamera ? { photo: photoFromVideo(this.camera.video, CAMERA_SIDE), note: null } : await this.target.read();
    const swapped = await swapper.swap(person, photo);
    this.stage.showSwap(photo, swapped.photo);
    const total = this.stage.showTimes(person.milliseconds, swapped.milliseconds);
    this.#finished([`Swapped in ${Math.round(total)} milliseconds.`, ...person.notes, note, ...swapped.notes]);
  }

  /** Frame after frame from the camera until the button is pressed again. */
  async #runLive(swapper, person) {
    this.live = true;
    this.button.setAttribute("aria-disabled", false);
    this.button.textContent = "Stop";
    this.#say("Swapping frame after frame. Press the button again to stop.");
    const rate = this.root.querySelector(".live-rate");
    let smooth = 0;
    while (this.live && this.camera.on) {
      const start = performance.now(), photo = photoFromVideo(this.camera.video, LIVE_SIDE);
      try {
        const swapped = await swapper.swap(person, photo, { live: true });
        this.stage.showSwap(photo, swapped.photo);
        this.stage.showTimes({}, swapped.milliseconds);
      } catch (error) {
        if (!(error instanceof NoFace)) throw error;
        this.stage.showTarget(photo);
      }
      await new Promise(requestAnimationFrame);
      smooth = 0.8 * (smooth || performance.now() - start) + 0.2 * (performance.now() - start);
      rate.textContent = `${(1000 / smooth).toFixed(1)} frames a second`;
    }
    this.#finished(["Stopped."]);
  }

  #finished(sentences) {
    this.save.hidden = false;
    this.#say([...sentences, this.fallback].filter(Boolean).join(" "));
    this.fallback = null;
  }

  async #download() {
    try {
      const address = URL.createObjectURL(await markedPng(this.stage.after, this.manifest));
      element("a", { href: address, download: "swapped.png" }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (error) {
      this.#say(error.message, true);
    }
  }

  async #toggleCamera() {
    try {
      if (this.camera.on) this.camera.stop();
      else await this.camera.start();
      this.#say(this.camera.on ? "The camera is on. Its pictures stay in this page." : "The camera is off.");
    } catch (error) {
      this.#say(error.message, true);
    }
    this.#showCamera();
  }

  #showCamera() {
    this.camera.video.hidden = !this.camera.on;
    this.root.querySelector(".live-camera-button").textContent = this.camera.on ? "Stop the camera" : "Start the camera";
  }

  /** A pasted picture goes to where the focus is, else onto the target. */
  #pasted(event) {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file) return;
    const picker = this.source.fieldset.contains(document.activeElement) ? this.source : this.target;
    picker.take(file);
  }
}

function explain(root, text) {
  root.querySelector(".live-waiting")?.remove();
  const problem = root.querySelector(".live-missing");
  problem.querySelector(".live-reason").textContent = text;
  problem.hidden = false;
}

async function main() {
  const root = document.getElementById("live-swap");
  if (!root) return;
  const reason = missing() ?? (canvasIsExact() ? null : "This browser changes the pixels that a page reads from a picture, against fingerprinting.");
  if (reason) return explain(root, reason);
  try {
    await new App(root, await loadManifest()).open();
  } catch (error) {
    explain(root, error.message);
  }
}

main();
