// Tests that hold on any chain, slow or fast: deployment, transfers, refusals, events.
const assert = require("node:assert/strict");
const { ethers } = require("hardhat");

describe("Coin", function () {
  let owner, other, coin;

  before(async function () {
    [owner, other] = await ethers.getSigners();
    coin = await ethers.deployContract("Coin", [1_000_000n], owner);
    await coin.waitForDeployment();
  });

  /** Expects the contract's error of that name and returns its arguments. */
  async function refusesWith(name, promise) {
    const error = await promise.then(() => assert.fail("succeeded"), (e) => e);
    assert(error.data, error.stack);
    // Hardhat's own node nests the data once more than others do.
    const found = coin.interface.parseError(error.data.data ?? error.data);
    assert.equal(found?.name, name);
    return found.args;
  }

  it("gives the whole supply to whoever deploys it", async function () {
    assert.equal(await coin.name(), "Client Coin");
    assert.equal(await coin.decimals(), 18n);
    assert.equal(await coin.balanceOf(owner), 1_000_000n);
    assert.equal(await coin.totalSupply(), 1_000_000n);
  });

  it("moves tokens and logs it", async function () {
    const receiver = ethers.Wallet.createRandom().address;
    const sent = await coin.transfer(receiver, 50n);
    const receipt = await sent.wait();
    assert.equal(receipt.status, 1);
    assert.equal(await coin.balanceOf(receiver), 50n);
    const [event] = await coin.queryFilter(coin.filters.Transfer(owner.address, receiver));
    assert.equal(event.transactionHash, sent.hash);
    assert.equal(event.args.value, 50n);
  });

  it("lets another account spend an allowance, and no more", async function () {
    await (await coin.approve(other, 10n)).wait();
    await (await coin.connect(other).transferFrom(owner, other, 10n)).wait();
    assert.equal(await coin.balanceOf(other), 10n);
    await refusesWith("ERC20InsufficientAllowance", coin.connect(other).transferFrom(owner, other, 1n));
  });

  it("says why it refuses", async function () {
    await assert.rejects(coin.refuseWithText(), /no such luck/);
    await assert.rejects(coin.setMarker(0n), /a marker is not zero/);
    assert.equal((await refusesWith("Refused", coin.refuseWithError(5n))).code, 5n);
    assert.equal((await refusesWith("Panic", coin.refuseWithPanic(0n)))[0], 0x12n);
  });

  it("keeps what a transaction wrote", async function () {
    await (await coin.setMarker(77n)).wait();
    assert.equal(await coin.marker(), 77n);
    const slot = await ethers.provider.getStorage(coin, 5);
    assert.equal(BigInt(slot), 77n);
  });

  it("moves plain value", async function () {
    const receiver = ethers.Wallet.createRandom().address;
    await (await owner.sendTransaction({ to: receiver, value: ethers.parseEther("0.25") })).wait();
    assert.equal(await ethers.provider.getBalance(receiver), ethers.parseEther("0.25"));
  });
});
