// Pictures from files, addresses and the camera, as {width, height, data}. Nothing here sends anything.

/** Longer pictures are shrunk to this many pixels: more would need much memory and show no more of the face. */
export const LONGEST_SIDE = 2048;
const SHORTEST_SIDE = 16;

export class BadPicture extends Error {}

function drawn(source, width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff"; // transparent pictures are laid on white
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** A picture file, upright; `note` says what was done to it, or is null. */
export async function photoFromFile(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch (error) {
    throw new BadPicture(`${file.name || "This"} is not a picture that this browser can read. Use a JPEG, PNG or WebP file.`, { cause: error });
  }
  const { width, height } = bitmap;
  if (Math.min(width, height) < SHORTEST_SIDE) throw new BadPicture(`The picture has only ${width} × ${height} pixels.`);
  const ratio = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const photo = drawn(bitmap, Math.round(width * ratio), Math.round(height * ratio));
  bitmap.close();
  const note = ratio < 1 ? `A picture of ${width} × ${height} pixels was shrunk to ${photo.width} × ${photo.height}.` : null;
  return { photo, note };
}

/** A picture of the book. */
export async function photoFromAddress(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`A picture of this page is missing: ${address.split("/").pop()} (answer ${answer.status}).`);
  return photoFromFile(await answer.blob());
}

/** What a playing video shows now, at most `longest` pixels a side. */
export function photoFromVideo(video, longest) {
  const { videoWidth: width, videoHeight: height } = video;
  if (!width) throw new BadPicture("The camera has not sent a picture yet. Try again in a moment.");
  const ratio = Math.min(1, longest / Math.max(width, height));
  return drawn(video, Math.round(width * ratio), Math.round(height * ratio));
}

/** Whether canvases give back what was drawn; some browsers add noise against fingerprinting. */
export function canvasIsExact() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [16, 16];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(16, 16);
  for (let i = 0; i < image.data.length; i++) image.data[i] = i % 4 === 3 ? 255 : (i * 37) % 256;
  context.putImageData(image, 0, 0);
  const back = context.getImageData(0, 0, 16, 16).data;
  return back.every((value, i) => value === image.data[i]);
}
