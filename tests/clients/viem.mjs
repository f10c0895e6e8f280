// viem against a live node, over HTTP and WebSocket.
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, decodeFunctionResult,
  defineChain, encodeFunctionData, getAddress, http, parseEther, webSocket, zeroAddress,
} from "viem";
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from "viem/accounts";
import {
  DEADLINE_MS, MNEMONIC, POLL_MS, RPC, WS, artifact, assert, call, collector, eventually, main,
} from "./common.mjs";

const { abi, bytecode } = artifact("Coin");
const account = mnemonicToAccount(MNEMONIC, { addressIndex: 3 });
const SUPPLY = 1_000_000n;

const chain = defineChain({
  id: await call(RPC, "eth_chainId").then(Number).catch((error) => {
    process.stderr.write(`viem: ${error.message}\n`);
    process.exit(1);
  }),
  name: "Kette",
  nativeCurrency: { name: "Kette", symbol: "KTT", decimals: 18 },
  rpcUrls: { default: { http: [RPC], webSocket: [WS] } },
});
const settings = { chain, pollingInterval: POLL_MS, cacheTime: 0 };
const client = createPublicClient({ ...settings, transport: http(RPC, { batch: true }) });
const wallet = createWalletClient({ ...settings, account, transport: http(RPC) });
const socket = createPublicClient({ ...settings, transport: webSocket(WS) });

async function mined(what, hash) {
  const receipt = await client.waitForTransactionReceipt({ hash, timeout: DEADLINE_MS });
  assert.equal(receipt.status, "success", what);
  return receipt;
}

async function readBlocks() {
  assert.equal(await client.getChainId(), chain.id);
  await eventually("tags are in order", async () => {
    const numbers = [];
    for (const blockTag of ["earliest", "finalized", "safe", "latest"]) {
      numbers.push((await client.getBlock({ blockTag })).number);
    }
    assert.deepEqual(numbers, numbers.toSorted((a, b) => Number(a - b)));
    assert.equal(numbers[0], 0n);
    return true;
  });
  const genesis = await client.getBlock({ blockNumber: 0n });
  assert.equal((await client.getBlock({ blockHash: genesis.hash })).hash, genesis.hash);
  const pending = await client.getBlock({ blockTag: "pending", includeTransactions: true });
  assert(pending.timestamp > 0n);
  const history = await client.getFeeHistory({ blockCount: 1, rewardPercentiles: [25, 75] });
  assert.equal(history.baseFeePerGas.length, 2);
}

async function send(to) {
  const { maxFeePerGas, maxPriorityFeePerGas } = await client.estimateFeesPerGas();
  assert(maxFeePerGas >= maxPriorityFeePerGas);
  assert.equal(await client.estimateGas({ account, to, value: 1n }), 21000n);
  const receipt = await mined("transfer", await wallet.sendTransaction({ to, value: parseEther("2") }));
  assert.equal(receipt.gasUsed, 21000n);
  await eventually("balance and confirmations", async () => {
    assert.equal(await client.getBalance({ address: to }), parseEther("2"));
    const { hash } = await client.getTransaction({ hash: receipt.transactionHash });
    assert(await client.getTransactionConfirmations({ hash }) >= 1n);
    return true;
  });
  return receipt.transactionHash;
}

async function deploy() {
  const receipt = await mined("deployment", await wallet.deployContract({ abi, bytecode, args: [SUPPLY] }));
  const address = getAddress(receipt.contractAddress);
  const read = (functionName, ...args) => client.readContract({ address, abi, functionName, args });
  await eventually("reads of the contract", async () => {
    const found = await Promise.all([read("symbol"), read("totalSupply"), read("balanceOf", account.address)]);
    assert.deepEqual(found, ["COIN", SUPPLY, SUPPLY]);
    return true;
  });
  const [info] = await Promise.all([
    client.getProof({ address, storageKeys: [`0x${"5".padStart(64, "0")}`] }),
    client.getCode({ address }).then((code) => assert(code.length > 100)),
  ]);
  assert.equal(info.storageProof[0].value, 0x6b65747465n);
  return { address, hash: receipt.transactionHash };
}

/** Transfers while a filter, a polled watch and subscriptions listen; each one must deliver. */
async function transferAndListen(address, to) {
  const event = { address, abi, eventName: "Transfer", args: { to } };
  // Without a first block, getFilterLogs would look at the newest block only, as geth does.
  const filter = await client.createContractEventFilter({ ...event, strict: true, fromBlock: 0n });
  const blocks = await client.createBlockFilter();
  const overSocket = collector();
  const overHttp = collector();
  const heads = collector();
  const errors = [];
  const onError = (error) => errors.push(error);
  const listen = (into) => ({ onLogs: (logs) => logs.forEach(into.push), onError });
  const stop = [
    socket.watchContractEvent({ ...event, ...listen(overSocket) }),
    client.watchContractEvent({ ...event, ...listen(overHttp) }),
    socket.watchBlocks({ onBlock: heads.push, onError }),
  ];
  // Watching returns before the node knows of it, so something is made to happen until everybody has heard.
  await eventually("subscriptions deliver", async () => {
    const args = [to, 0n];
    await mined("probe", await wallet.writeContract({ address, abi, functionName: "transfer", args }));
    const silent = [overSocket, overHttp, heads].findIndex((each) => each.items.length === 0);
    assert.equal(silent, -1, `silent: ${["eth_subscribe logs", "getLogs", "newHeads"][silent]}; ${errors}`);
    return true;
  });

  const { request, result } = await client.simulateContract({
    account, address, abi, functionName: "transfer", args: [to, 30n],
  });
  assert.equal(result, true);
  const { transactionHash } = await mined("token transfer", await wallet.writeContract(request));

  const fits = (log) => log.transactionHash === transactionHash && log.args.value === 30n;
  await overSocket.find("eth_subscribe logs", fits);
  await overHttp.find("watchContractEvent over HTTP", fits);
  const changes = [];
  await eventually("getFilterChanges", async () => {
    changes.push(...await client.getFilterChanges({ filter }));
    return changes.find(fits);
  });
  assert((await client.getFilterLogs({ filter })).some(fits));
  assert((await client.getFilterChanges({ filter: blocks })).length > 0);
  assert.equal(await client.uninstallFilter({ filter }), true);
  assert.equal(await client.uninstallFilter({ filter }), false);
  stop.forEach((end) => end());
  assert.deepEqual(errors, []);
  const logs = await client.getContractEvents({ ...event, fromBlock: 0n, toBlock: "latest" });
  assert.deepEqual(logs.filter((log) => log.args.value > 0n).map((log) => log.transactionHash), [transactionHash]);
  return transactionHash;
}

/** Checks that viem finds out why a call is refused. */
async function refusals(address) {
  const refused = async (functionName, args, from = account) => {
    const simulation = client.simulateContract({ account: from, address, abi, functionName, args });
    const error = await simulation.then(() => assert.fail(`${functionName} succeeded`), (e) => e);
    assert(error instanceof BaseError, error.stack);
    const cause = error.walk((inner) => inner instanceof ContractFunctionRevertedError);
    assert(cause, `${functionName}: no revert in ${error.message}`);
    return cause;
  };
  assert.equal((await refused("refuseWithText", [])).reason, "no such luck");
  const custom = await refused("refuseWithError", [9n]);
  assert.deepEqual([custom.data.errorName, custom.data.args], ["Refused", [account.address, 9n]]);
  assert.match((await refused("refuseWithPanic", [0n])).reason, /[Dd]ivi/);
  const receiver = await refused("transfer", [zeroAddress, 1n]);
  assert.equal(receiver.data.errorName, "ERC20InvalidReceiver");
}

/** State overrides of eth_call: another balance, code and storage than the chain's. */
async function overrides(address) {
  const { data } = await client.call({
    to: zeroAddress,
    data: encodeFunctionData({ abi, functionName: "marker" }),
    stateOverride: [{
      address: zeroAddress,
      code: await client.getCode({ address }),
      stateDiff: [{ slot: `0x${"5".padStart(64, "0")}`, value: `0x${"77".padStart(64, "0")}` }],
    }],
  });
  assert.equal(decodeFunctionResult({ abi, functionName: "marker", data }), 0x77n);
}

/** EIP-7702: an account without money borrows the contract's code; somebody else pays. */
async function delegate(address) {
  const authority = privateKeyToAccount(generatePrivateKey());
  const authorization = await wallet.signAuthorization({ account: authority, contractAddress: address });
  const data = encodeFunctionData({ abi, functionName: "setMarker", args: [1234n] });
  const hash = await wallet.sendTransaction({ authorizationList: [authorization], to: authority.address, data });
  assert.equal((await mined("delegation", hash)).type, "eip7702");
  await eventually("the delegation", async () => {
    const code = await client.getCode({ address: authority.address });
    assert.equal(code, `0xef0100${address.slice(2).toLowerCase()}`);
    assert.equal(await client.getTransactionCount({ address: authority.address }), 1);
    const marker = await client.readContract({ address: authority.address, abi, functionName: "marker" });
    assert.equal(marker, 1234n);
    return true;
  });
  return hash;
}

/** EIP-2930: a transaction with an access list that the node made. */
async function accessList(address, to) {
  const data = encodeFunctionData({ abi, functionName: "transfer", args: [to, 1n] });
  const found = await client.createAccessList({ account, to: address, data });
  assert(found.accessList.some((entry) => getAddress(entry.address) === address));
  const gasPrice = 2n * await client.getGasPrice();
  const hash = await wallet.sendTransaction({
    type: "eip2930", to: address, data, accessList: found.accessList, gasPrice,
  });
  assert.equal((await mined("access list", hash)).type, "eip2930");
  return hash;
}

await main("viem", async () => {
  const to = privateKeyToAccount(generatePrivateKey()).address;
  await readBlocks();
  const transactions = [await send(to)];
  const { address, hash } = await deploy();
  transactions.push(hash, await transferAndListen(address, to));
  await refusals(address);
  await overrides(address);
  transactions.push(await delegate(address), await accessList(address, to));
  await eventually("the token balance", async () => {
    const held = await client.readContract({ address, abi, functionName: "balanceOf", args: [to] });
    assert.equal(held, 31n);
    return true;
  });
  return {
    chainId: chain.id, transactions, accounts: [to], balance: await client.getBalance({ address: to }),
    tokens: [{ coin: address, holder: to, amount: "31" }],
  };
});
