// Foundry's cast against a live node: everything a person does with it at a shell.
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { DEADLINE_MS, MNEMONIC, RPC, artifact, assert, eventually, main } from "./common.mjs";

const run = promisify(execFile);
const BIN = program();

/** Finds cast: the npm package of this machine's kind where there is one, else what the shell finds. */
function program() {
  const arch = { x64: "amd64", arm64: "arm64" }[process.arch];
  try {
    // Not the package `@foundry-rs/cast`: its wrapper ends with status 0 even when cast fails.
    return createRequire(import.meta.url).resolve(`@foundry-rs/cast-${process.platform}-${arch}/bin/cast`);
  } catch {
    return "cast";
  }
}

/** Runs cast; throws with its standard error if it fails. */
async function cast(...args) {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, ETH_RPC_URL: RPC, NO_COLOR: "1" };
  const limits = { env, timeout: DEADLINE_MS, maxBuffer: 64 << 20 };
  try {
    const { stdout } = await run(BIN, args, limits);
    return stdout.trim();
  } catch (error) {
    if (error.code === "ENOENT") throw new Error("no cast: run scripts/clients.sh, or install Foundry");
    const text = String(error.stderr || error.message).trim();
    throw new Error(`cast ${args.join(" ").slice(0, 160)}\n${text}`, { cause: error });
  }
}

const json = async (...args) => JSON.parse(await cast(...args, "--json"));
const account = (index) => ["--mnemonic", MNEMONIC, "--mnemonic-index", String(index)];
const SENDER = 1;

/** Returns an address that nobody else uses. */
async function freshAddress() {
  const [made] = await json("wallet", "new");
  return made.address;
}

async function expectFailure(pattern, ...args) {
  const outcome = await cast(...args).then(
    (stdout) => new Error(`cast ${args[0]} succeeded with ${stdout}, expected ${pattern}`),
    (error) => error,
  );
  assert.match(outcome.message, pattern);
}

async function readChain() {
  const chainId = Number(await cast("chain-id"));
  assert(chainId > 0);
  assert.equal(JSON.parse(await cast("rpc", "net_version")), String(chainId));
  assert.match(await cast("client"), /.+/);
  assert(BigInt(await cast("gas-price")) > 0n);
  assert(BigInt(await cast("base-fee")) >= 0n);
  await eventually("block-number and block latest agree", async () => {
    const number = Number(await cast("block-number"));
    const block = await json("block", "latest");
    assert.equal(Number(block.number), number);
    assert.match(block.stateRoot, /^0x[0-9a-f]{64}$/);
    assert.equal((await json("block", block.hash)).hash, block.hash);
    assert(Number(await cast("block", "finalized", "--field", "number")) <= number);
    return true;
  });
  return chainId;
}

async function transfer(from, to) {
  const nonce = Number(await cast("nonce", from));
  assert.equal(await cast("estimate", to, "--from", from, "--value", "1ether"), "21000");
  const sent = await json("send", to, "--value", "1ether", ...account(SENDER));
  assert.equal(Number(sent.status), 1);
  assert.equal(Number(sent.gasUsed), 21000);
  const hash = sent.transactionHash;
  await eventually("balance, nonce, tx, receipt and block agree", async () => {
    assert.equal(await cast("balance", to), "1000000000000000000");
    assert.equal(await cast("balance", to, "--ether"), "1.000000000000000000");
    assert.equal(Number(await cast("nonce", from)), nonce + 1);
    const tx = await json("tx", hash);
    assert.equal(tx.from.toLowerCase(), from.toLowerCase());
    assert.equal(tx.to.toLowerCase(), to.toLowerCase());
    assert.equal(Number(tx.nonce), nonce);
    const receipt = await json("receipt", hash);
    assert.equal(receipt.blockHash, tx.blockHash);
    const block = await json("block", receipt.blockHash);
    assert(block.transactions.includes(hash));
    return true;
  });
  return hash;
}

/** Signs without sending, then publishes the raw bytes, as an offline signer does. */
async function publish(from, to) {
  const raw = await cast("mktx", to, "--value", "7", ...account(SENDER));
  assert.match(raw, /^0x02/);
  const hash = await cast("publish", "--async", raw);
  assert.equal(hash, await cast("keccak", raw));
  await eventually("the published transaction is in a block", async () => {
    assert.equal(Number((await json("receipt", hash)).status), 1);
    assert.equal(await cast("balance", to), "1000000000000000007");
    assert.equal(await cast("tx", hash, "--raw"), raw);
    return true;
  });
  await expectFailure(/nonce too low|already known|already imported/i, "publish", "--async", raw);
  return hash;
}

/** An old-style transaction: type 0 with a gas price. */
async function legacy(to) {
  const sent = await json("send", to, "--value", "3", "--legacy", ...account(SENDER));
  assert.equal(Number(sent.type), 0);
  return sent.transactionHash;
}

async function contract(from, to) {
  const { bytecode } = artifact("Coin");
  const deployed = await json(
    "send", ...account(SENDER), "--create", bytecode, "constructor(uint256)", "1000000",
  );
  assert.equal(Number(deployed.status), 1);
  const coin = deployed.contractAddress;
  const sent = await json("send", coin, "transfer(address,uint256)", to, "25", ...account(SENDER));
  assert.equal(Number(sent.status), 1);

  await eventually("code, storage, call, logs and proof agree", async () => {
    assert((await cast("code", coin)).length > 2);
    assert.equal(BigInt(await cast("storage", coin, "5")), 0x6b65747465n);
    assert.equal(await cast("call", coin, "balanceOf(address)(uint256)", to), "25");
    const logs = await json(
      "logs", "Transfer(address indexed,address indexed,uint256)", from, to, "--address", coin, "--from-block", "0",
    );
    assert.equal(logs.length, 1);
    assert.equal(logs[0].transactionHash, sent.transactionHash);
    assert.equal(BigInt(logs[0].data), 25n);
    const proof = await json("proof", coin, "5");
    assert(proof.accountProof.length > 0);
    assert.equal(BigInt(proof.storageProof[0].value), 0x6b65747465n);
    assert.equal(await cast("codehash", coin), proof.codeHash);
    assert.equal(await cast("storage-root", coin), proof.storageHash);
    return true;
  });

  await expectFailure(/no such luck/, "call", coin, "refuseWithText()");
  await expectFailure(/no such luck/, "estimate", coin, "refuseWithText()", "--from", from);
  await expectFailure(/0x12|division/i, "call", coin, "refuseWithPanic(uint256)(uint256)", "0");
  const list = await json("access-list", coin, "setMarker(uint256)", "1", "--from", from);
  assert(BigInt(list.gasUsed) > 21000n);
  return { coin, hashes: [deployed.transactionHash, sent.transactionHash] };
}

await main("cast", async () => {
  const chainId = await readChain();
  const from = await cast("wallet", "address", ...account(SENDER));
  const to = await freshAddress();
  const hashes = [await transfer(from, to), await publish(from, to)];
  const { coin, hashes: more } = await contract(from, to);
  const last = await legacy(to);
  assert.equal(await eventually("the last balance", async () => {
    const balance = await cast("balance", to);
    return balance.endsWith("10") ? balance : undefined;
  }), "1000000000000000010");
  return {
    chainId, transactions: [...hashes, ...more, last], accounts: [to], balance: "1000000000000000010",
    tokens: [{ coin, holder: to, amount: "25" }],
  };
});
