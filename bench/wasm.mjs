// Parts of the Workers in wasm (bench/wasm), and ES256 by WebCrypto, in the same runtime: `GET /WORK?count=N` does
// it so often and says how often it worked. How long it took is seen from outside, as no clock runs in here.

import module from "./build/wasm.wasm";

// It names functions of JavaScript's that sources of randomness would need; none is called.
const unbound = () => {
  throw new Error("not bound");
};
const imports = new Proxy({}, { get: () => new Proxy({}, { get: () => unbound }) });
const wasm = new WebAssembly.Instance(module, imports).exports;

const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const input = new TextEncoder().encode("x".repeat(600)); // as long as a token's
let prepared;

async function prepare() {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(ES256, false, ["sign", "verify"]);
  const signature = await crypto.subtle.sign(ES256, privateKey, input);
  return { privateKey, publicKey, signature };
}

const WORK = {
  "/wasm/sign": wasm.es256_sign,
  "/wasm/verify": wasm.es256_verify,
  "/wasm/read": wasm.es256_read,
  "/view/fill": wasm.view_fill,
  "/view/check": wasm.view_check,
  "/view/recall": wasm.view_recall,
  /** The memory that the module has, in bytes, whatever `count` is. */
  "/memory": () => wasm.memory.buffer.byteLength,
  "/webcrypto/sign": async (count) => {
    const { privateKey } = await (prepared ??= prepare());
    let good = 0;
    for (; good < count; good += 1) await crypto.subtle.sign(ES256, privateKey, input);
    return good;
  },
  "/webcrypto/verify": async (count) => {
    const { publicKey, signature } = await (prepared ??= prepare());
    let good = 0;
    for (let done = 0; done < count; done += 1) good += await crypto.subtle.verify(ES256, publicKey, signature, input);
    return good;
  },
};

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const work = WORK[pathname];
    if (!work) return new Response("there is no such work", { status: 404 });
    return new Response(String(await work(Number(searchParams.get("count")))));
  },
};
