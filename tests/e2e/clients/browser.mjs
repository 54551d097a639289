// A browser as far as a log-in needs one: cookies by host, redirects, and forms filled in. tests/e2e/src/browser.rs is the same for tests that use no stock client.

const MOST_REDIRECTS = 20;

export class Browser {
  #cookies = [];

  /** What the pages asked on the way, by the names of the fields that answer them. */
  asked = [];

  /**
   * Opens `url` and follows where it leads, logging in as `user` when a page asks for a password, and
   * giving `answer` when one asks for consent.
   *
   * @param {URL} url
   * @param {{ user: string, app: string, answer?: "allow" | "deny" }} options `app` is the redirect URI,
   *   which nobody serves
   * @returns {Promise<URL>} where the browser was sent at `app`
   * @throws when it ends at a page; `page` of the error is the status and the address
   */
  async open(url, { user, app, answer = "allow" }) {
    const fields = { password: { login: user, password: user, code: "000000" }, answer: { answer } };
    let [at, response] = await this.#follow(url, await this.#send(url), app);
    for (const name of ["password", "answer"]) {
      const form = response && readForm(at, await response.clone().text());
      if (!form?.names.includes(name)) continue;
      this.asked.push(name);
      const given = Object.entries(fields[name]).filter(([field]) => form.names.includes(field));
      const body = new URLSearchParams([...form.hidden, ...given]);
      [at, response] = await this.#follow(form.action, await this.#send(form.action, { method: "POST", body }), app);
    }
    if (!response) return at;
    const error = new Error(`the browser was left at ${at} with ${response.status}`);
    error.page = { status: response.status, at: at.origin + at.pathname };
    throw error;
  }

  /** Where the redirects lead: to `app`, with no response, or to a page. */
  async #follow(from, first, app) {
    let [at, response] = [from, first];
    for (let count = 0; count < MOST_REDIRECTS; count += 1) {
      const location = response.headers.get("location");
      if (!location) return [at, response];
      await response.body?.cancel();
      at = new URL(location, at);
      if (at.origin + at.pathname === app) return [at, undefined];
      response = await this.#send(at);
    }
    throw new Error(`redirected without end, last to ${at}`);
  }

  async #send(url, options = {}) {
    const cookie = this.#cookies
      .filter(({ host, path }) => host === url.hostname && url.pathname.startsWith(path))
      .map(({ name, value }) => `${name}=${value}`)
      .join("; ");
    const headers = { accept: "text/html", ...(cookie && { cookie }) };
    const response = await fetch(url, { redirect: "manual", headers, ...options });
    for (const line of response.headers.getSetCookie()) this.#store(url, line);
    return response;
  }

  #store(url, line) {
    const [pair, ...attributes] = line.split(";").map((part) => part.trim());
    const at = pair.indexOf("=");
    const attribute = (name) =>
      attributes.find((text) => text.toLowerCase().startsWith(`${name}=`))?.slice(name.length + 1);
    const cookie = {
      host: url.hostname,
      path: attribute("path") ?? "/",
      name: pair.slice(0, at),
      value: pair.slice(at + 1),
    };
    const same = (old) => ["host", "path", "name"].every((field) => old[field] === cookie[field]);
    this.#cookies = this.#cookies.filter((old) => !same(old));
    const expired = attribute("max-age") === "0" || Date.parse(attribute("expires")) < Date.now();
    if (!expired) this.#cookies.push(cookie);
  }
}

/** Where the page's form goes, the names of its fields and buttons, and what it sends along unseen. */
function readForm(at, html) {
  const action = /<form[^>]* action="([^"]*)"/.exec(html)?.[1];
  if (action === undefined) return undefined;
  const text = (value) => value.replaceAll("&amp;", "&");
  const names = [...html.matchAll(/<(?:input|button)[^>]* name="([^"]*)"/g)].map(([, name]) => name);
  const hidden = [...html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)];
  return { action: new URL(text(action), at), names, hidden: hidden.map(([, name, value]) => [name, text(value)]) };
}
