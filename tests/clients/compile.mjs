// Compiles the contracts of the client tests with solc from npm, offline. Output: build/<Contract>.json.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import solc from "solc";

const here = (path) => new URL(path, import.meta.url);
const { resolve } = createRequire(import.meta.url);

/** Finds an imported file in node_modules. */
function load(path) {
  try {
    return { contents: readFileSync(resolve(path), "utf8") };
  } catch (error) {
    return { error: `${path}: ${error.message}` };
  }
}

const source = "Coin.sol";
const input = {
  language: "Solidity",
  sources: { [source]: { content: readFileSync(here(`hardhat/contracts/${source}`), "utf8") } },
  settings: {
    ...JSON.parse(readFileSync(here("hardhat/solc.json"), "utf8")),
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
if (output.errors?.length > 0) {
  throw new Error(output.errors.map((problem) => problem.formattedMessage).join("\n"));
}
mkdirSync(here("build"), { recursive: true });
for (const [name, contract] of Object.entries(output.contracts[source])) {
  const artifact = { abi: contract.abi, bytecode: `0x${contract.evm.bytecode.object}` };
  writeFileSync(here(`build/${name}.json`), JSON.stringify(artifact));
}
