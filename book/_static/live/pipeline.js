// The whole way of a swap in the page: detect, align, recognise, run the frame network, paste back.

import { Detector } from "./detector.js";
import { align, cropRegion, fitSimilarity, identityView, planes, scaleOf } from "./geometry.js";
import { paste } from "./paste.js";

/** A picture without a face, or with one that can't be used: the message says what to do. */
export class NoFace extends Error {}

const SMALL_FACE = 60;

export class Swapper {
  constructor(runtime, manifest) {
    this.runtime = runtime;
    this.manifest = manifest;
    this.size = manifest.crop_size;
    this.detector = new Detector(async ({ data, width, height }) => {
      const outputs = await runtime.run(manifest.graphs.detector, { input: [data, [1, 3, height, width]] });
      return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
    });
  }

  /** Graphs that a source needs: a shipped person's own, or the two of the full path. */
  static graphsFor(manifest, person) {
    const { detector, source, frame } = manifest.graphs;
    return person ? [detector, person.graph] : [detector, source, frame];
  }

  /** A shipped person: nothing is left to compute. */
  shipped(person) {
    return { graph: person.graph, weights: {}, milliseconds: {}, notes: [] };
  }

  /** Anybody in a photo: their weights of the frame network. */
  async prepare(photo) {
    const clock = new Clock();
    const { matrix, notes } = await this.#find(photo, "picture with the face", clock);
    const crop = this.#crop(photo, matrix);
    clock.lap("align source");
    const { identity_matrix: view, identity_size: side, graphs } = this.manifest;
    const flat = view.flat();
    const face = identityView(crop, this.size, flat, side);
    const outputs = await this.runtime.run(graphs.source, { face: [face, [1, 3, side, side]] });
    const weights = Object.fromEntries(Object.entries(outputs).map(([name, { data, dims }]) => [name, [data, dims]]));
    clock.lap("identity");
    return { graph: graphs.frame, weights, milliseconds: clock.laps, notes };
  }

  /** Put a prepared person's face on the largest face of a photo. */
  async swap(person, photo, { live = false } = {}) {
    const clock = new Clock();
    const { face, matrix, notes, found } = await this.#find(photo, "picture to change", clock, live);
    const crop = this.#crop(photo, matrix);
    clock.lap("align");
    const shape = [1, 3, this.size, this.size];
    const { raw, mask } = await this.runtime.run(person.graph, { target: [crop, shape], ...person.weights });
    clock.lap("swap");
    const result = paste(photo, crop, raw.data, mask.data, matrix, this.size);
    clock.lap("paste");
    return { photo: result, face, found, notes, milliseconds: clock.laps };
  }

  async #find(photo, role, clock, live = false) {
    const options = live ? { maxSide: 320, refine: false } : {};
    const faces = await this.detector.detect(photo, options);
    clock.lap(role === "picture to change" ? "detect" : "detect source");
    if (!faces.length) throw new NoFace(`No face was found in the ${role}. Use one that shows a face from the front, well lit and not too small.`);
    const template = this.manifest.template.map(([x, y]) => [x * this.size, y * this.size]);
    const matrix = fitSimilarity(faces[0].points, template);
    const box = cropRegion(matrix, this.size, photo.width, photo.height);
    if (box.left >= box.right || box.top >= box.bottom) throw new NoFace(`The face lies outside the ${role}. Use another one.`);
    const notes = [];
    if (faces.length > 1) notes.push(`The ${role} shows ${faces.length} faces; the largest is used.`);
    const pixels = this.size / scaleOf(matrix);
    if (pixels < SMALL_FACE) notes.push(`In the ${role} the face is only ${Math.round(pixels)} pixels across with its surroundings: expect a poor result.`);
    return { face: faces[0], matrix, notes, found: faces.length };
  }

  /** The aligned crop as planes in [0, 1]. */
  #crop(photo, matrix) {
    const box = cropRegion(matrix, this.size, photo.width, photo.height);
    return planes(align(photo, matrix, this.size, box), this.size, 1 / 255);
  }
}

/** Milliseconds of each step. */
class Clock {
  laps = {};
  #last = performance.now();

  lap(step) {
    const now = performance.now();
    this.laps[step] = (this.laps[step] ?? 0) + now - this.#last;
    this.#last = now;
  }
}
