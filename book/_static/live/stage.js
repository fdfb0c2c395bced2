// The picture before and after, one over the other, with a slider between them; and the table of milliseconds.

import { drawLabel } from "./mark.js";
import { element } from "./picker.js";

const STEPS = [
  ["detect source", "find the face in your source picture"], ["align source", "cut it out, level and to size"],
  ["identity", "recognise it, write the network's weights"], ["detect", "find the face in the picture"],
  ["align", "cut it out, level and to size"], ["swap", "run the swapping network"], ["paste", "put the new face back"],
];

export class Stage {
  constructor(root) {
    this.root = root;
    this.frame = root.querySelector(".live-frame");
    [this.before, this.after] = root.querySelectorAll("canvas");
    this.slider = root.querySelector("input[type=range]");
    this.table = root.querySelector("tbody");
    this.slider.addEventListener("input", () => this.#slide());
  }

  /** Show a picture that nothing was done to yet. */
  showTarget(photo) {
    this.#draw(this.before, photo);
    this.root.classList.remove("live-swapped");
  }

  /** Show a swap of `target`, labelled. */
  showSwap(target, result) {
    this.#draw(this.before, target);
    this.#draw(this.after, result);
    drawLabel(this.after);
    this.root.classList.add("live-swapped");
    this.#slide();
  }

  /** Fill the table of times; `source` is empty for the people of the book. */
  showTimes(source, swap) {
    const laps = { ...source, ...swap };
    const rows = STEPS.filter(([step]) => step in laps).map(([step, text]) => this.#row(text, laps[step]));
    const total = Object.values(laps).reduce((sum, value) => sum + value, 0);
    this.table.replaceChildren(...rows, this.#row("together", total));
    return total;
  }

  #row(text, milliseconds) {
    return element("tr", {}, element("th", { scope: "row", textContent: text }), element("td", { textContent: milliseconds.toFixed(1) }));
  }

  #draw(canvas, photo) {
    if (canvas.width !== photo.width || canvas.height !== photo.height) [canvas.width, canvas.height] = [photo.width, photo.height];
    canvas.getContext("2d", { willReadFrequently: true }).putImageData(new ImageData(photo.data, photo.width, photo.height), 0, 0);
    this.frame.style.setProperty("--ratio", photo.width / photo.height);
  }

  #slide() {
    const share = Number(this.slider.value);
    this.frame.style.setProperty("--share", `${share}%`);
    this.slider.setAttribute("aria-valuetext", `left ${share} percent before, the rest after the swap`);
  }
}
