// npm packages are pinned and installed in dev/: what stands here takes them from there.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(new URL("../../../dev/package.json", import.meta.url));

/** The package, or the module of a package, of that name. */
export function installed(name) {
  return import(pathToFileURL(resolve(name)));
}
