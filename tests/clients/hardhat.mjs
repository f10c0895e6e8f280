// Runs the hardhat project's tests against a live node. KETTE_DEVELOPMENT=1 adds those that need a
// development chain. scripts/clients.sh has compiled the project.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { RPC, assert, call, main } from "./common.mjs";

const BIN = createRequire(import.meta.url).resolve("hardhat/internal/cli/bootstrap.js");
const PROJECT = fileURLToPath(new URL("hardhat", import.meta.url));
const LIMIT_MS = 600_000;

await main("hardhat", async () => {
  const chainId = Number(await call(RPC, "eth_chainId"));
  const development = process.env.KETTE_DEVELOPMENT === "1";
  const files = ["test/coin.cjs", ...(development ? ["test/development.cjs"] : [])];
  const scratch = await mkdtemp(join(tmpdir(), "kette-hardhat-"));
  const report = join(scratch, "report.json");
  try {
    const env = {
      ...process.env, KETTE_RPC: RPC, KETTE_REPORT: report, HARDHAT_DISABLE_TELEMETRY_PROMPT: "true", CI: "true",
    };
    const args = [BIN, "test", "--no-compile", "--network", "kette", ...files];
    const options = { cwd: PROJECT, env, timeout: LIMIT_MS, maxBuffer: 64 << 20 };
    const ended = await promisify(execFile)(process.execPath, args, options).catch((error) => error);
    const text = await readFile(report, "utf8").catch(() => {
      throw new Error(`hardhat ended without a report\n${ended.stdout}\n${ended.stderr}`);
    });
    const { stats, failures } = JSON.parse(text);
    for (const { fullTitle, err } of failures) {
      process.stderr.write(`hardhat: ${fullTitle}: ${err.message}\n`);
    }
    assert.equal(stats.failures, 0, `${stats.failures} of ${stats.tests} tests failed`);
    assert.equal(stats.pending, 0, "no test is skipped");
    assert(!(ended instanceof Error), String(ended.stderr));
    return { chainId, development, passed: stats.passes };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
});
