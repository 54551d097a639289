// wrangler.toml -> Miniflare's worker options. The files stay the only place where bindings are
// written. A key that is not understood here is an error: better than a binding that exists in
// production and silently not on a developer's machine.

import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { parse } from "smol-toml";

/** How modules are told apart: wrangler's own defaults, as far as a built Worker needs them. */
const MODULE_RULES = [
  { type: "ESModule", include: ["**/*.js", "**/*.mjs"] },
  { type: "CompiledWasm", include: ["**/*.wasm"] },
];

/** Keys that say how to build or deploy, and mean nothing to the local runtime. */
const NOT_FOR_DEV = new Set(["$schema", "build", "observability", "routes", "workers_dev", "account_id", "limits"]);

/**
 * The Miniflare options for the Worker described by `file`.
 *
 * @param {string} root checkout; modules are named relative to it
 * @param {string} file a wrangler.toml, relative to `root`
 * @param {Record<string, string>} vars bindings on top of the file's `[vars]`; an empty value removes one
 */
export function workerOptions(root, file, vars) {
  const path = join(root, file);
  const config = parse(readFileSync(path, "utf8"));
  const directory = dirname(path);
  const options = { modules: true, modulesRoot: root, modulesRules: MODULE_RULES };

  for (const [key, value] of Object.entries(config)) {
    const translate = TRANSLATE[key];
    if (translate) Object.assign(options, translate(value, config, directory));
    else if (!NOT_FOR_DEV.has(key)) throw new Error(`${relative(root, path)}: dev/config.mjs does not know "${key}"`);
  }

  options.bindings = Object.fromEntries(
    Object.entries({ ...options.bindings, ...vars }).filter(([, value]) => value !== ""),
  );
  return options;
}

const TRANSLATE = {
  name: (name) => ({ name }),
  main: (main, _config, directory) => ({ scriptPath: join(directory, main) }),
  compatibility_date: (compatibilityDate) => ({ compatibilityDate }),
  compatibility_flags: (compatibilityFlags) => ({ compatibilityFlags }),
  vars: (bindings) => ({ bindings }),
  rules: (rules) => ({
    modulesRules: [...rules.map(({ type, globs }) => ({ type, include: globs })), ...MODULE_RULES],
  }),

  durable_objects: ({ bindings }, config) => ({
    durableObjects: byKey(bindings, "name", ({ class_name, script_name }) => ({
      className: class_name,
      scriptName: script_name,
      useSQLite: sqliteClasses(config).has(class_name),
    })),
  }),
  migrations: () => ({}), // read by `durable_objects`

  queues: ({ producers = [], consumers = [] }) => ({
    queueProducers: byKey(producers, "binding", ({ queue, delivery_delay }) => ({
      queueName: queue,
      deliveryDelay: delivery_delay,
    })),
    queueConsumers: byKey(consumers, "queue", (consumer) => ({
      maxBatchSize: consumer.max_batch_size,
      maxBatchTimeout: consumer.max_batch_timeout,
      maxRetries: consumer.max_retries,
      deadLetterQueue: consumer.dead_letter_queue,
      retryDelay: consumer.retry_delay,
    })),
  }),

  // The local runtime fires no cron by itself; dev/stack.mjs says how to.
  triggers: ({ crons, ...others }) => {
    const [unknown] = Object.keys(others);
    if (unknown) throw new Error(`dev/config.mjs does not know "triggers.${unknown}"`);
    return {};
  },

  services: (services) => ({
    serviceBindings: byKey(services, "binding", ({ service, entrypoint }) => ({ name: service, entrypoint })),
  }),
  ratelimits: (limits) => ({
    ratelimits: byKey(limits, "name", ({ namespace_id, simple }) => ({ namespace_id, simple })),
  }),
  r2_buckets: (buckets) => ({
    r2Buckets: byKey(buckets, "binding", ({ bucket_name }) => bucket_name),
  }),
  kv_namespaces: (namespaces) => ({
    kvNamespaces: byKey(namespaces, "binding", ({ id, binding }) => id ?? binding),
  }),
};

/** The classes whose storage is SQLite, from every migration of the file. */
function sqliteClasses(config) {
  return new Set((config.migrations ?? []).flatMap((migration) => migration.new_sqlite_classes ?? []));
}

/** A list of tables as one object, keyed by one of their fields; absent options are left out. */
function byKey(tables, key, value) {
  return Object.fromEntries(tables.map((table) => [table[key], withoutUndefined(value(table))]));
}

function withoutUndefined(value) {
  if (typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined));
}
