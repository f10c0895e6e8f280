// A hardhat project as people have it, with the node under test as network `kette` and solc from npm.
require("@nomicfoundation/hardhat-ethers");
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");
const solc = require("solc/package.json");

const MNEMONIC = "test test test test test test test test test test test junk";

// The compiler is the npm package: nothing is downloaded.
subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async () => ({
  version: solc.version,
  longVersion: require("solc").version(),
  compilerPath: require.resolve("solc/soljson.js"),
  isSolcJs: true,
}));

module.exports = {
  solidity: { version: solc.version, settings: require("./solc.json") },
  // Hardhat's own network, `npx hardhat node`, is a reference for the same tests.
  networks: {
    hardhat: { hardfork: "prague" },
    kette: {
      url: process.env.KETTE_RPC || "http://127.0.0.1:8545",
      timeout: 90_000,
      // Accounts 4 to 7: the other clients, which may run at the same time, use the ones before.
      accounts: { mnemonic: MNEMONIC, initialIndex: 4, count: 4 },
    },
  },
  mocha: {
    timeout: 120_000,
    // The test suite reads the results from a file; a person sees them.
    ...(process.env.KETTE_REPORT && { reporter: "json", reporterOptions: { output: process.env.KETTE_REPORT } }),
  },
};
