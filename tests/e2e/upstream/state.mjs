// What a provider that is started again must still know: its keys and who may use it how. Everything
// else that it was told, and its sessions, end with the process.

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

export class State {
  #file;

  constructor(file) {
    this.#file = file;
    const kept = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
    /** Under which cookies are signed. */
    this.cookieKey = kept.cookieKey ?? randomBytes(32).toString("base64url");
    /** Signing keys, newest first: `{ jwk, published }`, where `jwk` is private. */
    this.keys = kept.keys ?? [];
    /** Metadata of clients as changed since the start, by id. */
    this.clients = kept.clients ?? {};
    /** What is said of users besides the usual, by name. */
    this.claims = kept.claims ?? {};
  }

  /** Renamed into place: a process that is killed here leaves the old file or the new one. */
  save() {
    const { cookieKey, keys, clients, claims } = this;
    writeFileSync(`${this.#file}.new`, JSON.stringify({ cookieKey, keys, clients, claims }), { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }
}
