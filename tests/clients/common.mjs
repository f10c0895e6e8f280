// What the client scripts share: where the node is, who has money, how to wait, how to report.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

export { assert };

/** JSON-RPC over HTTP. */
export const RPC = setting("KETTE_RPC", "http://127.0.0.1:8545");
/** JSON-RPC over WebSocket; the same port serves both unless told otherwise. */
export const WS = setting("KETTE_WS", RPC.replace(/^http/, "ws"));
/** How long one expectation may take to come true. */
export const DEADLINE_MS = Number(setting("KETTE_DEADLINE_MS", "90000"));
/** The mnemonic whose accounts development networks fund. Account 0 may be paid for blocks: nobody counts it. */
export const MNEMONIC = "test test test test test test test test test test test junk";
/** How often a node is asked while something is awaited. */
export const POLL_MS = 200;

const started = Date.now();

function setting(name, otherwise) {
  return process.env[name] || otherwise;
}

/** Reads a compiled contract. */
export function artifact(name) {
  const file = new URL(`build/${name}.json`, import.meta.url);
  assert(existsSync(file), `build/${name}.json is missing: run scripts/clients.sh`);
  return JSON.parse(readFileSync(file, "utf8"));
}

/**
 * Tries until the attempt neither throws nor returns undefined; then returns its value. A proof-of-work head may
 * be replaced between two reads, so whatever compares several answers belongs in here.
 */
export async function eventually(what, attempt) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    let failure;
    try {
      const value = await attempt();
      if (value !== undefined) return value;
      failure = new Error("nothing yet");
    } catch (error) {
      failure = error;
    }
    if (Date.now() > end) {
      throw new Error(`${what}: not within ${DEADLINE_MS} ms: ${failure.message}`, { cause: failure });
    }
    await pause(POLL_MS);
  }
}

/** Waits for a promise, but not for ever. */
export async function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Collects what a subscription delivers. */
export function collector() {
  const items = [];
  return {
    items,
    push: (item) => items.push(item),
    /** Waits for an item that fits. */
    find: (what, fits) => eventually(what, () => items.find(fits)),
  };
}

/** Calls a method without any client library. */
export async function call(url, method, ...params) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    signal: AbortSignal.timeout(DEADLINE_MS),
  }).catch((error) => {
    throw new Error(`${method} at ${url}: ${error.cause?.message ?? error.message}`, { cause: error });
  });
  const answer = await response.json();
  if (answer.error) throw new Error(`${method}: ${answer.error.message} (${answer.error.code})`);
  return answer.result;
}

/** Runs a script: one JSON line on success, the broken expectation and status 1 otherwise. */
export async function main(name, script) {
  try {
    const result = await script();
    const line = JSON.stringify(
      { client: name, ...result, ms: Date.now() - started },
      (_, value) => (typeof value === "bigint" ? value.toString() : value),
    );
    process.stdout.write(`${line}\n`, () => process.exit(0));
  } catch (error) {
    const text = String(error.stack ?? error).split("\n").map((part) => part.slice(0, 500)).join("\n");
    process.stderr.write(`${name}: ${text}\n`, () => process.exit(1));
  }
}
