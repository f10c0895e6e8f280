// Compiles the contracts of the client tests with solc from npm, offline. Output: build/<Contract>.json.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const resolve = createRequire(import.meta.url).resolve;

// The settings that the hardhat project uses as well.
export const SETTINGS = { evmVersion: "prague", optimizer: { enabled: true, runs: 200 } };

/** Finds an imported file in node_modules. */
function load(path) {
  try {
    return { contents: readFileSync(resolve(path), "utf8") };
  } catch (error) {
    return { error: `${path}: ${error.message}` };
  }
}

async function main() {
  const source = "Coin.sol";
  const input = {
    language: "Solidity",
    sources: { [source]: { content: await readFile(join(here, "hardhat/contracts", source), "utf8") } },
    settings: { ...SETTINGS, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
  const problems = output.errors ?? [];
  if (problems.length > 0) {
    throw new Error(problems.map((problem) => problem.formattedMessage).join("\n"));
  }
  await mkdir(join(here, "build"), { recursive: true });
  for (const [name, contract] of Object.entries(output.contracts[source])) {
    const artifact = { abi: contract.abi, bytecode: `0x${contract.evm.bytecode.object}` };
    await writeFile(join(here, "build", `${name}.json`), JSON.stringify(artifact));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
