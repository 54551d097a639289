// What npm `scim2-parse-filter` and `scim-patch` make of cases that tests/e2e/tests/e2e/scim_oracles.rs makes up:
//
//   node tests/e2e/clients/scim_oracles.mjs < CASES
//
// CASES is {"filters": [[filter, [resource, ...]], ...], "patches": [[resource, [operation, ...]], ...]}. Printed
// is {"filters": [...], "patches": [...]}: of each filter whether it finds each resource, of each patch what the
// resource is afterwards, and of what was refused {"refused": why}.

import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const require = createRequire(new URL("../../../dev/package.json", import.meta.url));
const { parse, filter } = require("scim2-parse-filter");
const { scimPatch } = require("scim-patch");

/** What `what` gives back, or that it threw. */
function attempt(what) {
  try {
    return what();
  } catch (error) {
    return { refused: String(error) };
  }
}

const cases = JSON.parse(await text(process.stdin));
const answers = {
  filters: cases.filters.map(([asked, resources]) =>
    attempt(() => {
      const finds = filter(parse(asked));
      return resources.map((resource) => Boolean(finds(resource)));
    }),
  ),
  patches: cases.patches.map(([resource, operations]) =>
    attempt(() => scimPatch(structuredClone(resource), operations)),
  ),
};
process.stdout.write(`${JSON.stringify(answers)}\n`);
