// Similarity transforms, aligned crops and resampling: the arithmetic of mfs_lib/faces/alignment.py.
//
// A matrix is [a, b, c, d, e, f] and takes (x, y) to (a x + b y + c, d x + e y + f). Pixel centres are at integers.
// A photo is {width, height, data}, data RGBA bytes as canvases have them; a crop is a Float32Array of RGB triples.

/** Least-squares similarity that takes points to others, both [[x, y], ...]: the closed form with complex numbers. */
export function fitSimilarity(points, onto) {
  const mean = (list, axis) => list.reduce((sum, point) => sum + point[axis], 0) / list.length;
  const [px, py, qx, qy] = [mean(points, 0), mean(points, 1), mean(onto, 0), mean(onto, 1)];
  let energy = 0, real = 0, imaginary = 0;
  points.forEach(([x0, y0], i) => {
    const [x, y, u, v] = [x0 - px, y0 - py, onto[i][0] - qx, onto[i][1] - qy];
    energy += x * x + y * y;
    real += x * u + y * v;
    imaginary += x * v - y * u;
  });
  if (!(energy > 1e-9)) throw new Error("All landmarks lie on one spot.");
  const [a, b] = [real / energy, imaginary / energy];
  return [a, -b, qx - a * px + b * py, b, a, qy - b * px - a * py];
}

export function invert([a, b, c, d, e, f]) {
  const determinant = a * e - b * d;
  if (!(Math.abs(determinant) > 1e-12)) throw new Error("The face's landmarks can't be right: no crop fits them.");
  const [p, q, r, s] = [e / determinant, -b / determinant, -d / determinant, a / determinant];
  return [p, q, -p * c - q * f, r, s, -r * c - s * f];
}

export const transform = ([a, b, c, d, e, f], [x, y]) => [a * x + b * y + c, d * x + e * y + f];

/** Output pixels per input pixel. */
export const scaleOf = ([a, b, , d, e]) => Math.sqrt(Math.abs(a * e - b * d));

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const ROUNDER = 1.5 * 2 ** 52; // added to a smaller number, leaves no binary places for fractions

/** Round half to even, as OpenCV and NumPy do. */
export const roundEven = (value) => value + ROUNDER - ROUNDER;

export const wholeOf = (photo) => ({ left: 0, top: 0, right: photo.width, bottom: photo.height });

/** The part of a photo that a crop of `size` pixels covers, as {left, top, right, bottom}. */
export function cropRegion(matrix, size, width, height) {
  const back = invert(matrix), last = size - 1;
  const corners = [[0, 0], [last, 0], [0, last], [last, last]].map((corner) => transform(back, corner));
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  return {
    left: clamp(Math.floor(Math.min(...xs)), 0, width), right: clamp(Math.ceil(Math.max(...xs)) + 1, 0, width),
    top: clamp(Math.floor(Math.min(...ys)), 0, height), bottom: clamp(Math.ceil(Math.max(...ys)) + 1, 0, height),
  };
}

/**
 * Cut out the crop that a matrix describes, without aliasing: rendered so many times finer that no pixel of the photo is
 * passed over, then averaged. Whole grey levels 0..255, as Python has them. What lies outside `box` repeats its edge.
 */
export function align(photo, matrix, size, box = wholeOf(photo)) {
  const factor = Math.min(16, Math.max(1, Math.ceil(1 / Math.max(scaleOf(matrix), 1e-9) - 1e-6)));
  const fine = matrix.map((value) => value * factor);
  fine[2] += (factor - 1) / 2;
  fine[5] += (factor - 1) / 2;
  const back = invert(fine), count = size * factor;
  const sums = new Float32Array(size * size * 3);
  for (let y = 0; y < count; y++) {
    const row = Math.floor(y / factor) * size;
    const u = back[1] * y + back[2], v = back[4] * y + back[5];
    for (let x = 0; x < count; x++) {
      const at = factor === 1 ? row + x : row + Math.floor(x / factor);
      addSample(photo, box, back[0] * x + u, back[3] * x + v, sums, at * 3);
    }
  }
  const share = 1 / (factor * factor);
  // OpenCV adds a half and cuts when it averages four, and rounds half to even otherwise.
  const mean = factor === 2 ? (sum) => Math.floor(sum * share + 0.5) : (sum) => roundEven(sum * share);
  if (factor > 1) for (let i = 0; i < sums.length; i++) sums[i] = mean(sums[i]);
  return sums;
}

/** Add one bilinear sample, rounded to a grey level, to three sums. */
function addSample({ width, data }, { left, top, right, bottom }, u, v, sums, at) {
  const x = Math.floor(u), y = Math.floor(v), fx = u - x, fy = v - y;
  const x0 = x < left ? left : x >= right ? right - 1 : x, x1 = x + 1 < left ? left : x + 1 >= right ? right - 1 : x + 1;
  const y0 = y < top ? top : y >= bottom ? bottom - 1 : y, y1 = y + 1 < top ? top : y + 1 >= bottom ? bottom - 1 : y + 1;
  const a = (y0 * width + x0) * 4, b = (y0 * width + x1) * 4, c = (y1 * width + x0) * 4, d = (y1 * width + x1) * 4;
  for (let k = 0; k < 3; k++) {
    const upper = data[a + k] + (data[b + k] - data[a + k]) * fx;
    const lower = data[c + k] + (data[d + k] - data[c + k]) * fx;
    sums[at + k] += roundEven(upper + (lower - upper) * fy);
  }
}

/** A photo shrunk by averaging what falls on each pixel (OpenCV's INTER_AREA). */
export function shrink(photo, width, height) {
  const columns = shares(photo.width, width), rows = shares(photo.height, height);
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  const line = new Float32Array(photo.width * 3); // the photo's rows that fall on one new row, averaged
  for (let y = 0; y < height; y++) {
    line.fill(0);
    for (let j = rows.start[y]; j < rows.start[y + 1]; j++) {
      const share = rows.share[j], from = rows.index[j] * photo.width * 4;
      for (let x = 0; x < photo.width; x++) {
        for (let k = 0; k < 3; k++) line[3 * x + k] += photo.data[from + 4 * x + k] * share;
      }
    }
    for (let x = 0; x < width; x++) {
      for (let k = 0; k < 3; k++) {
        let sum = 0;
        for (let i = columns.start[x]; i < columns.start[x + 1]; i++) sum += line[3 * columns.index[i] + k] * columns.share[i];
        data[(y * width + x) * 4 + k] = sum;
      }
    }
  }
  return { width, height, data };
}

/** New pixel i covers the old ones `index[start[i]]` to `index[start[i + 1] - 1]`, with shares that add up to 1. */
function shares(length, count) {
  const step = length / count, start = [0], index = [], share = [];
  for (let i = 0; i < count; i++) {
    const low = i * step, high = Math.min((i + 1) * step, length);
    for (let j = Math.floor(low); j < Math.min(length, Math.ceil(high - 1e-9)); j++) {
      index.push(j);
      share.push((Math.min(high, j + 1) - Math.max(low, j)) / (high - low));
    }
    start.push(index.length);
  }
  return { start: Int32Array.from(start), index: Int32Array.from(index), share: Float32Array.from(share) };
}

/** RGB triples of a square crop, times `gain`, as the planes that a network reads. */
export function planes(crop, size, gain) {
  const area = size * size, out = new Float32Array(3 * area);
  for (let i = 0; i < area; i++) for (let k = 0; k < 3; k++) out[k * area + i] = crop[3 * i + k] * gain;
  return out;
}

/**
 * What the recogniser sees: the ArcFace crop inside an aligned crop, both as planes. `matrix` takes pixels of the crop to
 * pixels of the view. Bilinear, edges repeated; for views at least as fine as the crop.
 */
export function identityView(crop, size, matrix, viewSize) {
  const back = invert(matrix), area = size * size, out = new Float32Array(3 * viewSize * viewSize);
  for (let y = 0; y < viewSize; y++) {
    for (let x = 0; x < viewSize; x++) {
      const [u, v] = transform(back, [x, y]).map((value) => clamp(value, 0, size - 1));
      const x0 = Math.floor(u), y0 = Math.floor(v), fx = u - x0, fy = v - y0;
      const x1 = Math.min(x0 + 1, size - 1), y1 = Math.min(y0 + 1, size - 1);
      for (let k = 0; k < 3; k++) {
        const at = (i, j) => crop[k * area + j * size + i];
        const upper = at(x0, y0) * (1 - fx) + at(x1, y0) * fx, lower = at(x0, y1) * (1 - fx) + at(x1, y1) * fx;
        out[(k * viewSize + y) * viewSize + x] = upper * (1 - fy) + lower * fy;
      }
    }
  }
  return out;
}
