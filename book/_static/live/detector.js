// YuNet (Wu, Peng, Yu 2023): a box and five landmarks for each face, by the rules of mfs_lib/faces/detection.py.

import { align, invert, roundEven, shrink, transform } from "./geometry.js";

const STRIDES = [8, 16, 32];
const THRESHOLD = 0.6;
const OVERLAP = 0.3;
export const MAX_SIDE = 1024;

const VIEW_SIDE = 320;
const LOOKS = 4;
const LEVEL_DEGREES = 2;
const FINAL_VIEWS = [[240, false], [240, true], [200, false], [200, true], [160, false], [160, true]];

export class Detector {
  /** `run` takes {data, width, height}, planes of a picture whose sides are multiples of 32, and returns the 12 outputs. */
  constructor(run) {
    this.run = run;
  }

  /**
   * All faces of a photo, largest first, each {box: [left, top, right, bottom], score, points}. `refine` looks at the
   * largest again in level views, which halves the landmarks' error and more where the head is tilted.
   */
  async detect(photo, { maxSide = MAX_SIDE, refine = true } = {}) {
    let found = await this.#once(photo, maxSide);
    // A face that fills the picture is larger than the largest that the network knows: look at less resolution.
    for (let side = Math.min(Math.max(photo.width, photo.height), maxSide); !found.length && side > 160; ) {
      side = Math.floor(side / 2);
      found = await this.#once(photo, side);
    }
    found.sort((one, other) => area(other) - area(one));
    if (refine && found.length) found[0] = await this.#lookAgain(photo, found[0]);
    return found;
  }

  async #lookAgain(photo, first) {
    let face = first;
    for (let look = 0; look < LOOKS; look++) {
      const points = await this.#pointsInView(photo, face, FINAL_VIEWS[0]);
      if (!points) return face;
      const view = levelView(face, 1);
      const [x, y] = [points[1][0] - points[0][0], points[1][1] - points[0][1]];
      const turned = (Math.atan2(view[3] * x + view[4] * y, view[0] * x + view[1] * y) * 180) / Math.PI;
      face = { ...face, points };
      if (Math.abs(turned) < LEVEL_DEGREES) break;
    }
    const all = [];
    for (const view of FINAL_VIEWS) {
      const points = await this.#pointsInView(photo, face, view);
      if (points) all.push(points);
    }
    if (!all.length) return face;
    const mean = (i, axis) => all.reduce((sum, points) => sum + points[i][axis], 0) / all.length;
    return { ...face, points: face.points.map((_, i) => [mean(i, 0), mean(i, 1)]) };
  }

  /** Landmarks in the photo from one level view of a face, or null where the view shows none. */
  async #pointsInView(photo, face, [height, mirrored]) {
    const matrix = levelView(face, height);
    const crop = asPhoto(align(photo, matrix, VIEW_SIDE), VIEW_SIDE, mirrored);
    const middle = (VIEW_SIDE - 1) / 2;
    let best = null, least = Infinity;
    for (const { points } of await this.#once(crop, VIEW_SIDE)) {
      const offset = Math.max(...[0, 1].map((axis) => Math.abs(points.reduce((sum, p) => sum + p[axis], 0) / 5 - middle)));
      if (offset < least) [best, least] = [points, offset];
    }
    if (!best || least > height / 2) return null;
    // In a mirrored view left and right change places, in the picture and in the order of the points.
    const points = mirrored ? [1, 0, 2, 4, 3].map((i) => [VIEW_SIDE - 1 - best[i][0], best[i][1]]) : best;
    const back = invert(matrix);
    return points.map((point) => transform(back, point));
  }

  async #once(photo, maxSide) {
    const ratio = Math.min(1, maxSide / Math.max(photo.width, photo.height));
    const [width, height] = [photo.width, photo.height].map((side) => Math.max(1, roundEven(side * ratio)));
    const small = ratio < 1 ? shrink(photo, width, height) : photo;
    const padded = networkInput(small);
    const scale = [photo.width / width, photo.height / height];
    return suppress(decode(await this.run(padded), padded.width)).map((face) => inPhoto(face, scale));
  }
}

const area = ({ box: [left, top, right, bottom] }) => Math.max(0, right - left) * Math.max(0, bottom - top);

/** Matrix from the photo to a view with level eyes in which the face's box is `height` pixels high. */
function levelView({ box, points }, height) {
  const [x, y] = [points[1][0] - points[0][0], points[1][1] - points[0][1]];
  const scale = height / Math.max(box[3] - box[1], 1) / Math.max(Math.hypot(x, y), 1e-6);
  const linear = [scale * x, scale * y, -scale * y, scale * x];
  const [mx, my] = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / 5);
  const middle = (VIEW_SIDE - 1) / 2;
  return [
    linear[0], linear[1], middle - linear[0] * mx - linear[1] * my,
    linear[2], linear[3], middle - linear[2] * mx - linear[3] * my,
  ];
}

function asPhoto(crop, side, mirrored) {
  const data = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const from = (y * side + (mirrored ? side - 1 - x : x)) * 3, to = (y * side + x) * 4;
      for (let k = 0; k < 3; k++) data[to + k] = crop[from + k];
    }
  }
  return { width: side, height: side, data };
}

/** BGR planes in 0..255, padded with black at the right and below to multiples of 32. */
function networkInput(photo) {
  const [width, height] = [photo.width, photo.height].map((side) => Math.ceil(side / 32) * 32);
  const size = width * height, data = new Float32Array(3 * size);
  for (let y = 0; y < photo.height; y++) {
    for (let x = 0; x < photo.width; x++) {
      const from = (y * photo.width + x) * 4, to = y * width + x;
      for (let k = 0; k < 3; k++) data[k * size + to] = photo.data[from + 2 - k];
    }
  }
  return { data, width, height };
}

/** Rows of the network's outputs above the threshold, in pixels of its input. */
function decode(outputs, width) {
  const found = [], unit = (value) => Math.min(1, Math.max(0, value));
  for (const stride of STRIDES) {
    const [sure, object, boxes, marks] = ["cls", "obj", "bbox", "kps"].map((kind) => outputs[`${kind}_${stride}`]);
    const columns = width / stride;
    for (let i = 0; i < sure.length; i++) {
      const score = Math.sqrt(unit(sure[i]) * unit(object[i]));
      if (score < THRESHOLD) continue;
      const column = i % columns, row = Math.floor(i / columns), at = 4 * i;
      const w = Math.exp(boxes[at + 2]) * stride, h = Math.exp(boxes[at + 3]) * stride;
      const left = (column + boxes[at]) * stride - w / 2, top = (row + boxes[at + 1]) * stride - h / 2;
      const points = [0, 1, 2, 3, 4].map((n) => [
        (marks[10 * i + 2 * n] + column) * stride, (marks[10 * i + 2 * n + 1] + row) * stride,
      ]);
      found.push({ rectangle: [left, top, w, h], score, points });
    }
  }
  return found;
}

/** Drop faces that overlap a better one; on whole pixels, as OpenCV does. */
function suppress(found) {
  const kept = [];
  for (const face of [...found].sort((one, other) => other.score - one.score)) {
    const whole = face.rectangle.map(Math.trunc);
    if (kept.every((other) => intersectionOverUnion(whole, other.rectangle.map(Math.trunc)) <= OVERLAP)) kept.push(face);
  }
  return kept;
}

function intersectionOverUnion([x, y, w, h], [u, v, p, q]) {
  const common = Math.max(0, Math.min(x + w, u + p) - Math.max(x, u)) * Math.max(0, Math.min(y + h, v + q) - Math.max(y, v));
  return common / (w * h + p * q - common);
}

function inPhoto({ rectangle: [left, top, w, h], score, points }, [sx, sy]) {
  return {
    box: [left * sx, top * sy, (left + w) * sx, (top + h) * sy],
    score,
    points: points.map(([x, y]) => [(x + 0.5) * sx - 0.5, (y + 0.5) * sy - 0.5]),
  };
}
