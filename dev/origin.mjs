// The fake origin behind the demo gateway: says back what reached it, so that a test or a reader
// can see what the gateway let through and what it stripped.

import { createServer } from "node:http";

export function originServer() {
  return createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(`http://origin.invalid${request.url}`); // `//` is the beginning of a path, not of a host
    const seen = {
      method: request.method,
      path: url.pathname,
      query: url.search.slice(1),
      headers: request.headers,
      body: Buffer.concat(chunks).toString("utf8"),
    };
    response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(`${JSON.stringify(seen)}\n`);
  });
}
