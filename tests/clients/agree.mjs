// Asks every node of a network about the same transactions, accounts and contracts, and expects one answer.
//
// KETTE_RPCS: the nodes' URLs, comma separated. KETTE_SUBJECTS: what the other scripts printed, as a JSON array.
import { Interface } from "ethers";
import { artifact, assert, call, eventually, main } from "./common.mjs";

const urls = (process.env.KETTE_RPCS ?? "").split(",").map((url) => url.trim()).filter(Boolean);
const subjects = JSON.parse(process.env.KETTE_SUBJECTS || "[]");
const coin = new Interface(artifact("Coin").abi);

/** Asks all nodes and returns their one answer. */
async function agreed(what, ask) {
  const answers = await Promise.all(urls.map(ask));
  const [first, ...others] = answers;
  others.forEach((answer, index) =>
    assert.deepEqual(answer, first, `${what}: ${urls[index + 1]} differs from ${urls[0]}`));
  return first;
}

async function compare() {
  const heights = await Promise.all(urls.map(async (url) => Number(await call(url, "eth_blockNumber"))));
  const height = Math.min(...heights);
  const tag = `0x${height.toString(16)}`;
  const block = await agreed(`block ${height}`, (url) => call(url, "eth_getBlockByNumber", tag, false));
  assert(block, `block ${height} is missing`);
  const seen = { height, hash: block.hash, stateRoot: block.stateRoot, receipts: 0, balances: 0 };
  const gasUsed = BigInt(block.gasUsed);
  assert(gasUsed <= BigInt(block.gasLimit));
  for (const { transactions, accounts, balance, tokens } of subjects) {
    for (const hash of transactions) {
      const receipt = await agreed(`receipt of ${hash}`, (url) => call(url, "eth_getTransactionReceipt", hash));
      assert(receipt, `no receipt of ${hash} yet`);
      assert(Number(receipt.blockNumber) <= height, `${hash} is above the common height`);
      await agreed(`transaction ${hash}`, (url) => call(url, "eth_getTransactionByHash", hash));
      seen.receipts += 1;
    }
    for (const account of accounts) {
      const held = await agreed(`balance of ${account}`, (url) => call(url, "eth_getBalance", account, tag));
      assert.equal(BigInt(held), BigInt(balance));
      await agreed(`proof of ${account}`, (url) => call(url, "eth_getProof", account, [], tag));
      seen.balances += 1;
    }
    for (const { coin: to, holder, amount } of tokens) {
      const data = coin.encodeFunctionData("balanceOf", [holder]);
      const answer = await agreed(`tokens of ${holder}`, (url) => call(url, "eth_call", { to, data }, tag));
      assert.equal(BigInt(answer), BigInt(amount));
      await agreed(`logs of ${to}`, (url) => call(url, "eth_getLogs", { address: to, fromBlock: "0x0", toBlock: tag }));
      seen.balances += 1;
    }
  }
  return seen;
}

await main("agree", async () => {
  assert(urls.length > 1, "KETTE_RPCS names fewer than two nodes");
  const chains = await Promise.all(urls.map((url) => call(url, "eth_chainId")));
  assert.equal(new Set(chains).size, 1, `chain ids ${chains}`);
  return { nodes: urls.length, ...await eventually("all nodes agree", compare) };
});
