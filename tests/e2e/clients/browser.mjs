// A browser as far as a log-in needs one: cookies by host, redirects, and the identity provider's
// form filled in. tests/e2e/src/browser.rs is the same for tests that use no stock client.

const MOST_REDIRECTS = 20;

export class Browser {
  #cookies = [];

  /**
   * Opens `url` and follows where it leads, logging in as `user` when a page asks for a password.
   *
   * @param {URL} url
   * @param {{ user: string, app: string }} options `app` is the redirect URI, which nobody serves
   * @returns {Promise<URL>} where the browser was sent at `app`
   * @throws when it ends at a page; `page` of the error is the status and the address
   */
  async open(url, { user, app }) {
    let [at, response] = await this.#follow(url, await this.#send(url), app);
    const form = response && loginForm(at, await response.text());
    if (form) {
      const body = new URLSearchParams({ login: user, password: user });
      [at, response] = await this.#follow(form, await this.#send(form, { method: "POST", body }), app);
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

/** Where the page's form goes, if it asks for a password. */
function loginForm(at, html) {
  const action = /<form[^>]* action="([^"]*)"/.exec(html)?.[1];
  return html.includes('name="password"') && action ? new URL(action.replaceAll("&amp;", "&"), at) : undefined;
}
