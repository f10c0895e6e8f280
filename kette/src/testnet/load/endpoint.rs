//! A node that takes transactions and answers questions: any Ethereum JSON-RPC endpoint.

use crate::client::Client;
use alloy_primitives::{Address, B256, U256};
use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

/// A node, with its name in reports.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Name in reports.
    pub name: String,
    /// HTTP address; WebSocket is on the same port.
    pub url: String,
    /// How to ask it.
    pub client: Client,
}

/// A canonical block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its transactions, in order.
    pub transactions: Vec<B256>,
    /// Gas used.
    pub gas_used: u64,
    /// Gas that it may use.
    pub gas_limit: u64,
    /// Length of its encoding, bytes.
    pub size: u64,
}

/// The parts of a block that JSON-RPC must give.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    number: U256,
    hash: B256,
    transactions: Vec<B256>,
    gas_used: U256,
    gas_limit: U256,
    #[serde(default)]
    size: U256,
}

/// Questions of one batch.
const BATCH: usize = 200;

impl Endpoint {
    /// Prepares an endpoint.
    ///
    /// # Errors
    /// If `url` is no HTTP address.
    pub fn new(name: String, url: &str) -> anyhow::Result<Self> {
        Ok(Self { name, client: Client::new(url)?, url: url.to_owned() })
    }

    /// Returns the address for WebSocket, on the same port.
    pub fn socket(&self) -> String {
        match self.url.split_once("://") {
            Some(("https", rest)) => format!("wss://{rest}"),
            Some((_, rest)) => format!("ws://{rest}"),
            None => format!("ws://{}", self.url),
        }
    }

    /// Hands in signed transactions, in order; what the node said of each.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn hand_in<'a>(
        &self,
        raws: impl Iterator<Item = &'a str>,
    ) -> anyhow::Result<Vec<Result<B256, String>>> {
        let calls: Vec<Vec<&str>> = raws.map(|raw| vec![raw]).collect();
        let mut answers = Vec::with_capacity(calls.len());
        for some in calls.chunks(BATCH) {
            answers.extend(self.client.ask_many("eth_sendRawTransaction", some).await?);
        }
        Ok(answers)
    }

    /// Returns the next nonces of accounts, as of a tag or a block (EIP-1898).
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn nonces(&self, of: &[Address], at: &Value) -> anyhow::Result<Vec<u64>> {
        let calls = of.iter().map(|address| vec![json!(address), at.clone()]).collect();
        let nonces: Vec<U256> = self.all("eth_getTransactionCount", calls).await?;
        nonces.into_iter().map(|nonce| nonce.try_into().context("a nonce is absurd")).collect()
    }

    /// Returns the balances of accounts, wei.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn balances(&self, of: &[Address]) -> anyhow::Result<Vec<U256>> {
        let calls = of.iter().map(|address| vec![json!(address), json!("latest")]).collect();
        self.all("eth_getBalance", calls).await
    }

    /// Returns the number of the newest block.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn height(&self) -> anyhow::Result<u64> {
        let number: U256 = self.client.ask("eth_blockNumber", []).await?;
        number.try_into().context("a block number is absurd")
    }

    /// Returns the number of the newest final block; `None` if the node knows of no finality.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn finalized(&self) -> anyhow::Result<Option<u64>> {
        let answer: Option<Answer> =
            self.client.ask("eth_getBlockByNumber", [json!("finalized"), json!(false)]).await?;
        Ok(answer.map(Block::try_from).transpose()?.map(|block| block.number))
    }

    /// Returns a block by hash; `None` if the node does not have it.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn block(&self, hash: B256) -> anyhow::Result<Option<Block>> {
        let answer: Option<Answer> =
            self.client.ask("eth_getBlockByHash", [json!(hash), json!(false)]).await?;
        answer.map(Block::try_from).transpose()
    }

    /// Returns canonical blocks, ascending; it ends where the node has no more.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn chain(&self, from: u64, to: u64) -> anyhow::Result<Vec<Block>> {
        let calls =
            (from..=to).map(|number| vec![json!(U256::from(number)), json!(false)]).collect();
        let answers: Vec<Option<Answer>> = self.all("eth_getBlockByNumber", calls).await?;
        answers.into_iter().map_while(|answer| answer.map(Block::try_from)).collect()
    }

    /// Returns the hashes of transactions of these blocks that failed.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn failed(&self, blocks: &[Block]) -> anyhow::Result<Vec<B256>> {
        let calls = blocks.iter().map(|block| vec![json!(U256::from(block.number))]).collect();
        let receipts: Vec<Vec<Value>> = self.all("eth_getBlockReceipts", calls).await?;
        let failed = receipts.into_iter().flatten().filter(|receipt| receipt["status"] == "0x0");
        failed
            .map(|receipt| Ok(serde_json::from_value(receipt["transactionHash"].clone())?))
            .collect()
    }

    async fn all<T>(&self, method: &str, calls: Vec<Vec<Value>>) -> anyhow::Result<Vec<T>>
    where
        T: serde::de::DeserializeOwned + std::fmt::Debug + 'static,
    {
        let mut answers = Vec::with_capacity(calls.len());
        for some in calls.chunks(BATCH) {
            for answer in self.client.ask_many::<T, _>(method, some).await? {
                answers.push(answer.map_err(|error| anyhow::anyhow!("{method}: {error}"))?);
            }
        }
        Ok(answers)
    }
}

impl TryFrom<Answer> for Block {
    type Error = anyhow::Error;

    fn try_from(answer: Answer) -> anyhow::Result<Self> {
        let number = |value: U256| u64::try_from(value).context("a block has absurd numbers");
        Ok(Self {
            number: number(answer.number)?,
            hash: answer.hash,
            transactions: answer.transactions,
            gas_used: number(answer.gas_used)?,
            gas_limit: number(answer.gas_limit)?,
            size: number(answer.size)?,
        })
    }
}
