// Tests that need a development chain: blocks on command, time travel, snapshots.
const assert = require("node:assert/strict");
const { ethers, network } = require("hardhat");

const ask = (method, ...params) => network.provider.send(method, params);
const height = () => ethers.provider.getBlockNumber();
const time = async () => (await ethers.provider.getBlock("latest")).timestamp;

async function deployed() {
  const coin = await ethers.deployContract("Coin", [500n]);
  await coin.waitForDeployment();
  return coin;
}

describe("a development chain", function () {
  it("mines when told to", async function () {
    const before = await height();
    await ask("evm_mine");
    assert.equal(await height(), before + 1);
    await ask("hardhat_mine", "0x3");
    assert.equal(await height(), before + 4);
  });

  it("mines blocks at an interval", async function () {
    const before = await time();
    await ask("hardhat_mine", "0x3", "0x3c");
    const passed = (await time()) - before;
    assert(passed >= 120, `${passed} s for three blocks of 60 s`);
  });

  it("moves the clock ahead", async function () {
    const coin = await deployed();
    const before = await time();
    await ask("evm_increaseTime", 3_600);
    await ask("evm_mine");
    const after = await time();
    assert(after >= before + 3_600, `${before} to ${after}`);
    assert(await coin.clock() >= BigInt(after));
    const asked = after + 1_000;
    await ask("evm_mine", asked);
    assert.equal(await time(), asked);
  });

  it("gives the next block the timestamp that was asked for", async function () {
    const wanted = (await time()) + 500;
    await ask("evm_setNextBlockTimestamp", wanted);
    const coin = await deployed();
    const { blockNumber } = await coin.deploymentTransaction().wait();
    assert.equal((await ethers.provider.getBlock(blockNumber)).timestamp, wanted);
    await assert.rejects(ask("evm_setNextBlockTimestamp", wanted - 1));
  });

  it("goes back to a snapshot, each one once", async function () {
    const coin = await deployed();
    const head = await height();
    const id = await ask("evm_snapshot");
    await (await coin.setMarker(1n)).wait();
    await (await coin.setMarker(2n)).wait();
    assert.equal(await coin.marker(), 2n);
    assert.equal(await ask("evm_revert", id), true);
    assert.equal(await coin.marker(), 0x6b65747465n);
    assert.equal(await height(), head);
    assert.equal(await ask("evm_revert", id), false);
    await (await coin.setMarker(3n)).wait();
    assert.equal(await coin.marker(), 3n);
  });

  it("goes back over many blocks", async function () {
    const before = await ethers.provider.getBlock("latest");
    const id = await ask("evm_snapshot");
    await ask("hardhat_mine", "0x64");
    assert.equal(await height(), before.number + 100);
    assert.equal(await ask("evm_revert", id), true);
    assert.equal((await ethers.provider.getBlock("latest")).hash, before.hash);
    await ask("evm_mine");
    assert.equal(await height(), before.number + 1);
  });

  it("holds transactions back without automatic mining", async function () {
    const [owner] = await ethers.getSigners();
    const receiver = ethers.Wallet.createRandom().address;
    await ask("evm_setAutomine", false);
    try {
      const sent = await owner.sendTransaction({ to: receiver, value: 1n });
      assert.equal(await ethers.provider.getTransactionReceipt(sent.hash), null);
      await ask("evm_mine");
      assert.equal((await sent.wait()).status, 1);
    } finally {
      await ask("evm_setAutomine", true);
    }
    assert.equal(await ethers.provider.getBalance(receiver), 1n);
  });
});
