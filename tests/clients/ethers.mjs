// ethers v6 against a live node, over HTTP and WebSocket.
import {
  ContractFactory, HDNodeWallet, JsonRpcProvider, Wallet, WebSocketProvider, isError, keccak256, parseEther,
  toBeHex,
} from "ethers";
import {
  MNEMONIC, POLL_MS, RPC, WS, artifact, assert, collector, eventually, main, within,
} from "./common.mjs";

const { abi, bytecode } = artifact("Coin");
const SENDER = 2;
const MARKER_SLOT = 5;
const SUPPLY = 1_000_000n;

// ethers answers repeated questions from memory for a quarter of a second, in which a fast chain has moved on.
const options = { polling: true, pollingInterval: POLL_MS, cacheTimeout: -1 };
const http = new JsonRpcProvider(RPC, undefined, options);
const wallet = HDNodeWallet.fromPhrase(MNEMONIC, "", `m/44'/60'/0'/0/${SENDER}`).connect(http);

const mined = (what, response) => within(what, response.wait());

/** Expects that a promise fails as a call that the contract refused, and returns the error. */
async function refusal(promise) {
  const error = await promise.then((value) => assert.fail(`succeeded with ${value}`), (e) => e);
  assert(isError(error, "CALL_EXCEPTION"), `expected CALL_EXCEPTION, got ${error.stack}`);
  return error;
}

async function send(to) {
  const fees = await http.getFeeData();
  assert(fees.gasPrice > 0n && fees.maxFeePerGas > 0n && fees.maxPriorityFeePerGas > 0n);
  assert.equal(await http.estimateGas({ from: wallet.address, to, value: 1n }), 21000n);
  const receipt = await mined("transfer", await wallet.sendTransaction({ to, value: parseEther("1.5") }));
  assert.equal(receipt.status, 1);
  await eventually("balance and transaction", async () => {
    assert.equal(await http.getBalance(to), parseEther("1.5"));
    const transaction = await http.getTransaction(receipt.hash);
    assert.equal(transaction.type, 2);
    assert.equal(transaction.from, wallet.address);
    assert.equal((await http.getBlock(transaction.blockHash)).hash, transaction.blockHash);
    return true;
  });
  return receipt.hash;
}

async function deploy() {
  const coin = await new ContractFactory(abi, bytecode, wallet).deploy(SUPPLY);
  await within("deployment", coin.waitForDeployment());
  await eventually("reads of the contract", async () => {
    assert.equal(await coin.symbol(), "COIN");
    assert.equal(await coin.totalSupply(), SUPPLY);
    assert.equal(await coin.balanceOf(wallet.address), SUPPLY);
    return true;
  });
  return coin;
}

/** Transfers while listening in every way that ethers has; each one must deliver the transfer. */
async function transferAndListen(coin, to, socket) {
  const overSocket = collector();
  const overHttp = collector();
  const headsOverSocket = collector();
  const headsOverHttp = collector();
  const watched = coin.connect(socket);
  await watched.on("Transfer", (from, receiver, value, event) =>
    overSocket.push({ from, receiver, value, hash: event.log.transactionHash }));
  await coin.connect(http).on("Transfer", (from, receiver, value, event) =>
    overHttp.push({ from, receiver, value, hash: event.log.transactionHash }));
  await socket.on("block", headsOverSocket.push);
  await http.on("block", headsOverHttp.push);
  // Listening returns before the node knows of it, so something is made to happen until everybody has heard.
  const listeners = { overSocket, overHttp, headsOverSocket, headsOverHttp };
  await eventually("subscriptions deliver", async () => {
    await mined("probe", await coin.transfer(to, 0n));
    const silent = Object.keys(listeners).filter((name) => listeners[name].items.length === 0);
    assert.deepEqual(silent, []);
    return true;
  });
  const before = await http.getBlockNumber();

  assert.equal(await coin.transfer.staticCall(to, 40n), true);
  const receipt = await mined("token transfer", await coin.transfer(to, 40n));
  assert.equal(receipt.logs.length, 1);

  for (const [name, seen] of [["eth_subscribe logs", overSocket], ["eth_newFilter", overHttp]]) {
    const event = await seen.find(name, (item) => item.hash === receipt.hash);
    assert.deepEqual([event.from, event.receiver, event.value], [wallet.address, to, 40n], name);
  }
  await headsOverSocket.find("eth_subscribe newHeads", (number) => number > before);
  await headsOverHttp.find("polled blocks", (number) => number > before);
  await watched.removeAllListeners();
  await coin.connect(http).removeAllListeners();
  await socket.removeAllListeners();
  await http.removeAllListeners();

  await eventually("queryFilter and balanceOf", async () => {
    assert.equal(await coin.balanceOf(to), 40n);
    const events = await coin.queryFilter(coin.filters.Transfer(wallet.address, to), 0, "latest");
    const paid = events.filter((event) => event.args.value > 0n);
    assert.deepEqual(paid.map((event) => [event.transactionHash, event.args.value]), [[receipt.hash, 40n]]);
    return true;
  });
  return receipt.hash;
}

/** Checks that a refused call tells why: text, custom error, panic, and a failed transaction. */
async function refusals(coin) {
  assert.equal((await refusal(coin.refuseWithText())).reason, "no such luck");
  const custom = await refusal(coin.refuseWithError.staticCall(7n));
  assert.equal(custom.revert.name, "Refused");
  assert.deepEqual([...custom.revert.args], [wallet.address, 7n]);
  assert.match((await refusal(coin.refuseWithPanic(0n))).reason, /DIVIDE_BY_ZERO/);
  const estimate = await refusal(coin.setMarker.estimateGas(0n));
  assert.equal(estimate.reason, "a marker is not zero");
  const poor = Wallet.createRandom().connect(http);
  const empty = await refusal(coin.connect(poor).transfer.staticCall(wallet.address, 1n));
  assert.equal(empty.revert.name, "ERC20InsufficientBalance");

  const failed = await coin.setMarker(0n, { gasLimit: 100_000n });
  const error = await refusal(mined("failing transaction", failed));
  assert.equal(error.receipt.status, 0);
  assert.equal(error.receipt.logs.length, 0);
  const broke = await poor.sendTransaction({ to: wallet.address, value: 1n, gasLimit: 21000n })
    .then(() => assert.fail("an empty account paid"), (e) => e);
  assert(isError(broke, "INSUFFICIENT_FUNDS"), `expected INSUFFICIENT_FUNDS, got ${broke.message}`);
  return failed.hash;
}

/** Sends three transactions, last one first: the pool keeps them until the gap is filled. */
async function outOfOrder(to) {
  const first = await wallet.getNonce("pending");
  const hashes = [];
  for (const offset of [2, 1, 0]) {
    const sent = await wallet.sendTransaction({ to, value: 1n, nonce: first + offset, gasLimit: 21000n });
    hashes.push(sent.hash);
  }
  for (const hash of hashes) {
    const receipt = await within(`queued ${hash}`, http.waitForTransaction(hash));
    assert.equal(receipt.status, 1);
  }
  await eventually("nonces", async () => {
    assert.equal(await wallet.getNonce("latest"), first + 3);
    return true;
  });
  return hashes;
}

/** A proof that leads from the block's state root to the contract. */
async function proof(address) {
  await eventually("eth_getProof", async () => {
    const number = await http.getBlockNumber();
    const tag = `0x${number.toString(16)}`;
    const found = await http.send("eth_getProof", [address, [toBeHex(MARKER_SLOT, 32)], tag]);
    const block = await http.send("eth_getBlockByNumber", [tag, false]);
    assert.equal(keccak256(found.accountProof[0]), block.stateRoot);
    assert.equal(keccak256(found.storageProof[0].proof[0]), found.storageHash);
    assert.equal(BigInt(found.storageProof[0].value), 0x6b65747465n);
    return true;
  });
}

/** A JSON-RPC batch with one wrong call in it: answers for all, in any order. */
async function batch() {
  const requests = [
    { jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] },
    { jsonrpc: "2.0", id: "two", method: "eth_noSuchMethod", params: [] },
    { jsonrpc: "2.0", id: 3, method: "eth_getBalance", params: [wallet.address, "latest"] },
  ];
  const headers = { "content-type": "application/json" };
  const response = await fetch(RPC, { method: "POST", headers, body: JSON.stringify(requests) });
  const answers = new Map((await response.json()).map((answer) => [answer.id, answer]));
  assert.equal(answers.size, 3);
  assert.equal(BigInt(answers.get(1).result), (await http.getNetwork()).chainId);
  assert.equal(answers.get("two").error.code, -32601);
  assert(BigInt(answers.get(3).result) > 0n);
  // And as ethers batches calls of the same moment by itself.
  const numbers = await Promise.all(Array.from({ length: 30 }, () => http.getBlockNumber()));
  assert.equal(numbers.length, 30);
}

await main("ethers", async () => {
  const socket = new WebSocketProvider(WS);
  socket.websocket.onerror = (event) => {
    process.stderr.write(`ethers: WebSocket ${WS}: ${event.message}\n`, () => process.exit(1));
  };
  const { chainId } = await within("network", socket.getNetwork());
  assert.equal(chainId, (await http.getNetwork()).chainId);
  const to = Wallet.createRandom().address;
  const transactions = [await send(to)];
  const coin = await deploy();
  transactions.push(coin.deploymentTransaction().hash);
  transactions.push(await transferAndListen(coin, to, socket));
  transactions.push(await refusals(coin));
  transactions.push(...await outOfOrder(to));
  await proof(await coin.getAddress());
  await batch();
  const balance = await http.getBalance(to);
  assert.equal(balance, parseEther("1.5") + 3n);
  return {
    chainId: Number(chainId), transactions, accounts: [to], balance,
    tokens: [{ coin: await coin.getAddress(), holder: to, amount: "40" }],
  };
});
