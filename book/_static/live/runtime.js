// ONNX Runtime Web and the graphs: loaded when they are first needed, from this book's own files.

const VENDOR = new URL("../vendor/onnxruntime-web/", import.meta.url).href;
const MODELS = new URL("./models/", import.meta.url).href;

export const BACKENDS = {
  wasm: { script: "ort.wasm.min.mjs", binary: "ort-wasm-simd-threaded.wasm", providers: ["wasm"], label: "processor (WebAssembly)" },
  webgpu: {
    script: "ort.webgpu.min.mjs", binary: "ort-wasm-simd-threaded.asyncify.wasm", providers: ["webgpu", "wasm"],
    label: "graphics card (WebGPU)",
  },
};

/** A 128-bit vector instruction in the smallest module that has one: valid only where SIMD is known. */
const SIMD_MODULE = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** What this browser lacks, in words; null where nothing is missing. */
export function missing() {
  if (typeof WebAssembly !== "object" || typeof WebAssembly.validate !== "function") {
    return "This browser has no WebAssembly, or it is switched off. The networks of this page run in WebAssembly.";
  }
  if (!WebAssembly.validate(new Uint8Array(SIMD_MODULE))) {
    return "This browser's WebAssembly has no vector instructions (SIMD). The networks of this page need them.";
  }
  if (typeof DecompressionStream !== "function") {
    return "This browser can't unpack gzip files by itself (DecompressionStream), and the networks come packed.";
  }
  return null;
}

/** Why WebGPU can't be used here; null where it can. */
export async function webgpuMissing() {
  if (!navigator.gpu) return "this browser has no WebGPU";
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter ? null : "WebGPU finds no graphics card here";
}

/** Fetch a file of the book; `onProgress` gets the number of bytes that have arrived since it was last called. */
async function fetchBytes(address, onProgress) {
  let answer;
  try {
    answer = await fetch(address);
  } catch (error) {
    throw new Error(`A file could not be loaded (${address.split("/").pop()}): is the book's server still there?`, { cause: error });
  }
  if (!answer.ok) throw new Error(`A file of this page is missing: ${address.split("/").pop()} (answer ${answer.status}).`);
  const parts = [], reader = answer.body.getReader();
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    parts.push(step.value);
    onProgress(step.value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function unpack(bytes) {
  // A server may have declared the gzip as an encoding; then the browser has undone it already.
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function check(bytes, entry) {
  const damaged = new Error(`${entry.file} arrived damaged: reload the page and try again.`);
  if (bytes.length !== entry.unpacked_bytes) throw damaged;
  if (!globalThis.crypto?.subtle) return; // only given to pages by https or from this machine
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  if ([...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("") !== entry.sha256) throw damaged;
}

export const modelAddress = (file) => MODELS + file;

export async function loadManifest() {
  const bytes = await fetchBytes(modelAddress("manifest.json"), () => {});
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** The sessions of one backend, each made when it is first asked for. */
export class Runtime {
  #ort = null;
  #sessions = new Map();

  constructor(backend) {
    this.backend = backend;
  }

  /** Whether a graph is ready to run. */
  has = (entry) => this.#sessions.has(entry.file);

  get started() {
    return this.#ort !== null;
  }

  /** Load the runtime itself (once). */
  async start(onProgress = () => {}) {
    if (this.#ort) return;
    const { script, binary } = BACKENDS[this.backend];
    const ort = await import(VENDOR + script);
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1; // threads need response headers that a plain file server doesn't send
    ort.env.wasm.wasmPaths = VENDOR;
    ort.env.wasm.wasmBinary = await fetchBytes(VENDOR + binary, onProgress);
    this.#ort = ort;
  }

  /** Load a graph of the manifest (once). */
  async load(entry, onProgress = () => {}) {
    if (this.has(entry)) return;
    const bytes = await unpack(await fetchBytes(modelAddress(entry.file), onProgress));
    await check(bytes, entry);
    // The detector is small and sees pictures of ever new sizes, for each of which a graphics card would compile anew.
    const providers = entry.only_processor ? ["wasm"] : BACKENDS[this.backend].providers;
    const options = { executionProviders: providers, graphOptimizationLevel: "all" };
    this.#sessions.set(entry.file, await this.#ort.InferenceSession.create(bytes, options));
  }

  /** Run a loaded graph. `feeds` is {name: [Float32Array, shape]}; the answer is {name: {data, dims}}. */
  async run(entry, feeds) {
    const session = this.#sessions.get(entry.file);
    const tensors = Object.fromEntries(
      Object.entries(feeds).map(([name, [data, shape]]) => [name, new this.#ort.Tensor("float32", data, shape)]),
    );
    return session.run(tensors);
  }
}
