// Marking what was made: a label that people read, and the XMP statement that programs read. See
// mfs_lib/swapping/provenance.py, whose packet this is.

export const LABEL = "AI-edited: face swapped";
const SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
const KEYWORD = "XML:com.adobe.xmp";

/** Draw the label into the lower left corner of a canvas. */
export function drawLabel(canvas) {
  const context = canvas.getContext("2d"), { width, height } = canvas;
  context.save();
  context.textBaseline = "middle";
  let size = Math.max(12, 0.03 * Math.min(width, height));
  context.font = `${size}px sans-serif`;
  size = Math.max(4, Math.min(size, (size * 0.9 * width) / context.measureText(LABEL).width));
  context.font = `${size}px sans-serif`;
  const pad = Math.max(2, Math.round(0.4 * size));
  const band = { width: Math.ceil(context.measureText(LABEL).width) + 2 * pad, height: Math.ceil(size) + 2 * pad };
  context.fillStyle = "#181818";
  context.fillRect(0, height - band.height, band.width, band.height);
  context.fillStyle = "#fff";
  context.fillText(LABEL, pad, height - band.height / 2);
  context.restore();
  return band;
}

const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

export function xmpPacket({ system, version }) {
  const fields = [
    ["Iptc4xmpExt:DigitalSourceType", SOURCE_TYPE], ["Iptc4xmpExt:AISystemUsed", system],
    ["Iptc4xmpExt:AISystemVersionUsed", version], ["xmp:CreatorTool", `mfs_lib ${version}`],
  ].map(([name, value]) => `<${name}>${escape(value)}</${name}>`);
  return (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"' +
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="adobe:ns:meta/" xmlns:xmp="http://ns.adobe.com/xap/1.0/">' +
    `<rdf:RDF><rdf:Description rdf:about="">${fields.join("")}` +
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
  );
}

/** A canvas as a PNG file with the statement in it. */
export async function markedPng(canvas, manifest) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("The browser could not write the picture: it may be too large.");
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const header = 8 + 25; // signature, then IHDR: length, name, 13 bytes, checksum
  return new Blob([bytes.subarray(0, header), textChunk(xmpPacket(manifest)), bytes.subarray(header)], { type: "image/png" });
}

/** An uncompressed iTXt chunk. */
function textChunk(text) {
  const content = new TextEncoder().encode(`iTXt${KEYWORD}\0\0\0\0\0${text}`);
  const chunk = new Uint8Array(content.length + 8), view = new DataView(chunk.buffer);
  view.setUint32(0, content.length - 4);
  chunk.set(content, 4);
  view.setUint32(content.length + 4, checksum(content));
  return chunk;
}

/** CRC-32, as PNG defines it. */
function checksum(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
