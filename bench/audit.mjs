// What hands packs of events over as a gateway does, for `cargo xtask bench audit`: by the service's binding for gateways, or by
// the queue. Packs come ready over HTTP, so that nothing here takes the time of what is measured but the way itself.

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (request.method === "POST" && pathname === "/record") {
      await env.CHECKS.record(await bytes(request));
    } else if (request.method === "POST" && pathname === "/queue") {
      await env.AUDIT_QUEUE.send(await bytes(request), { contentType: "v8" });
    } else if (pathname !== "/healthz") {
      return new Response("not found", { status: 404 });
    }
    return new Response("ok");
  },
};

async function bytes(request) {
  return new Uint8Array(await request.arrayBuffer());
}
