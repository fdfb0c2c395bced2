// A row of cards to choose a picture from, radio buttons underneath: those of the book, one's own, the camera.

import { modelAddress } from "./runtime.js";
import { photoFromAddress, photoFromFile } from "./photo.js";

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export class Picker {
  #own = null;
  #kept = new Map();

  /** `choices` are {name, label, picture} of the manifest; `onChange` is called after every change. */
  constructor(fieldset, choices, { onChange, onError }) {
    this.fieldset = fieldset;
    this.choices = choices;
    this.onChange = onChange;
    this.onError = onError;
    this.name = fieldset.id;
    this.cards = fieldset.querySelector(".live-cards");
    this.file = fieldset.querySelector("input[type=file]");
    this.ownCard = fieldset.querySelector(".live-own");
    choices.forEach((choice, index) => this.cards.insertBefore(this.#card(choice, index === 0), this.ownCard));
    fieldset.addEventListener("change", (event) => (event.target === this.file ? this.#readFiles(this.file.files) : this.#changed()));
    // The mouse wants the file dialog at once; who comes by the arrow keys may be on the way to another card.
    this.ownCard.addEventListener("click", ({ target, detail }) => target.type === "radio" && detail > 0 && this.file.click());
    this.#acceptDrops();
  }

  get value() {
    return this.fieldset.querySelector("input[type=radio]:checked").value;
  }

  /** Whether the chosen picture is the reader's own: a file or the camera. */
  get isOwn() {
    return this.value === "own" || this.value === "camera";
  }

  get choice() {
    return this.choices.find(({ name }) => name === this.value) ?? null;
  }

  get hasFile() {
    return this.#own !== null;
  }

  /** The chosen picture, {photo, note}; throws where it is the reader's own and there is none yet. */
  async read() {
    if (this.choice) {
      const address = modelAddress(this.choice.picture.file);
      if (!this.#kept.has(address)) this.#kept.set(address, await photoFromAddress(address));
      return this.#kept.get(address);
    }
    if (!this.#own) throw new Error("Choose a picture file first, or one of the people shown.");
    return this.#own;
  }

  #card({ name, label, picture }, checked) {
    const radio = element("input", { type: "radio", name: this.name, value: name, checked });
    const image = element("img", { src: modelAddress(picture.file), alt: label, width: picture.side, height: picture.side });
    return element("label", { className: "live-card", title: label }, radio, image);
  }

  #changed() {
    this.onChange(this);
  }

  async take(file) {
    await this.#readFiles([file]);
  }

  async #readFiles(files) {
    if (!files.length) return;
    try {
      this.#own = await photoFromFile(files[0]);
    } catch (error) {
      this.file.value = "";
      this.onError(error);
      return;
    }
    const preview = this.ownCard.querySelector("canvas");
    const { photo } = this.#own, side = Math.min(photo.width, photo.height);
    const full = element("canvas", { width: photo.width, height: photo.height });
    full.getContext("2d").putImageData(photo, 0, 0);
    [preview.width, preview.height, preview.hidden] = [192, 192, false];
    preview.getContext("2d").drawImage(full, (photo.width - side) / 2, (photo.height - side) / 2, side, side, 0, 0, 192, 192);
    this.ownCard.querySelector("input[type=radio]").checked = true;
    this.onChange(this);
  }

  #acceptDrops() {
    const mark = (on) => this.fieldset.classList.toggle("live-dropping", on);
    this.fieldset.addEventListener("dragover", (event) => (event.preventDefault(), mark(true)));
    this.fieldset.addEventListener("dragleave", () => mark(false));
    this.fieldset.addEventListener("drop", (event) => {
      event.preventDefault();
      mark(false);
      this.#readFiles(event.dataTransfer.files);
    });
  }
}
