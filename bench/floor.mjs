// The floor of the strict check: the least a Worker and a Durable Object can do on this runtime.
// `cargo xtask bench strict-check` reports the service's rate against this one's.

export class Floor {
  fetch() {
    return new Response("ok");
  }
}

export default {
  fetch(request, env) {
    return env.FLOOR.get(env.FLOOR.idFromName("x")).fetch(request);
  },
};
