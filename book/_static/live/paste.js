// Putting a swapped crop back into its photo: the "residual" way of mfs_lib/swapping/paste.py.
//
// With the crop c, the network's face y, its mask M and the resampling U, the photo t becomes t + U(M) U(y - c): what is
// finer than the crop is kept, and where the mask is 0 the photo stays as it is, bit for bit.

import { clamp, cropRegion, roundEven, scaleOf } from "./geometry.js";

const WINDOW_MARGIN = 0.08;
const MASK_FLOOR = 0.5 / 255;

/**
 * A copy of `photo` with the face in it. `crop` and `raw` are planes in [0, 1], `mask` is one such plane, all of side
 * `size`; `matrix` takes pixels of the photo to pixels of the crop.
 */
export function paste(photo, crop, raw, mask, matrix, size) {
  const area = size * size, scale = scaleOf(matrix);
  const change = [0, 1, 2].map((k) => {
    const plane = new Float32Array(area);
    for (let i = 0; i < area; i++) plane[i] = (raw[k * area + i] - crop[k * area + i]) * 255;
    return lowPass(plane, size, scale);
  });
  const weight = lowPass(windowed(mask, size), size, scale);
  const out = new Uint8ClampedArray(photo.data);
  const box = cropRegion(matrix, size, photo.width, photo.height);
  const wx = new Float64Array(4), wy = new Float64Array(4);
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      const u = matrix[0] * x + matrix[1] * y + matrix[2], v = matrix[3] * x + matrix[4] * y + matrix[5];
      const here = bilinearOrZero(weight, size, u, v);
      if (here <= 0) continue;
      cubic(u - Math.floor(u), wx);
      cubic(v - Math.floor(v), wy);
      const at = (y * photo.width + x) * 4;
      for (let k = 0; k < 3; k++) {
        const changed = bicubic(change[k], size, Math.floor(u), Math.floor(v), wx, wy);
        out[at + k] = clamp(roundEven(photo.data[at + k] + here * changed), 0, 255);
      }
    }
  }
  return { width: photo.width, height: photo.height, data: out };
}

/** The mask without a sigmoid's tail, times a soft window that is 0 on the crop's border. */
function windowed(mask, size) {
  const edge = Float64Array.from({ length: size }, (_, i) => {
    const ramp = clamp(Math.min(i, size - 1 - i) / Math.max(WINDOW_MARGIN * size, 1), 0, 1);
    return 0.5 - 0.5 * Math.cos(Math.PI * ramp);
  });
  return Float32Array.from(mask, (value, i) => {
    const level = value < MASK_FLOOR ? 0 : clamp(value, 0, 1);
    return level * edge[i % size] * edge[Math.floor(i / size)];
  });
}

/** Blur a plane that has more pixels than its place in the photo; `scale` is crop pixels per photo pixel. */
function lowPass(plane, size, scale) {
  if (scale <= 1) return plane;
  const sigma = Math.sqrt((scale * scale - 1) / 12), radius = Math.floor((roundEven(sigma * 8 + 1) | 1) / 2);
  const kernel = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)));
  const sum = kernel.reduce((total, value) => total + value, 0);
  const along = (from, step, other) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < size; line++) {
      for (let i = 0; i < size; i++) {
        let total = 0;
        for (let j = -radius; j <= radius; j++) total += kernel[j + radius] * from[line * other + clamp(i + j, 0, size - 1) * step];
        to[line * other + i * step] = total / sum;
      }
    }
    return to;
  };
  return along(along(plane, 1, size), size, 1);
}

function bilinearOrZero(plane, size, u, v) {
  const x = Math.floor(u), y = Math.floor(v), fx = u - x, fy = v - y;
  const at = (i, j) => (i < 0 || j < 0 || i >= size || j >= size ? 0 : plane[j * size + i]);
  return (at(x, y) * (1 - fx) + at(x + 1, y) * fx) * (1 - fy) + (at(x, y + 1) * (1 - fx) + at(x + 1, y + 1) * fx) * fy;
}

/** Weights of four neighbours for a fraction t, Keys' kernel with OpenCV's -0.75. */
function cubic(t, out) {
  const a = -0.75, s = 1 - t;
  out[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
  out[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
  out[2] = ((a + 2) * s - (a + 3)) * s * s + 1;
  out[3] = 1 - out[0] - out[1] - out[2];
}

function bicubic(plane, size, x, y, wx, wy) {
  let total = 0;
  for (let j = 0; j < 4; j++) {
    const row = clamp(y + j - 1, 0, size - 1) * size;
    let line = 0;
    for (let i = 0; i < 4; i++) line += wx[i] * plane[row + clamp(x + i - 1, 0, size - 1)];
    total += wy[j] * line;
  }
  return total;
}
