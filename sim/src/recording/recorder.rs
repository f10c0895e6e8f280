//! The pure encoder: what happens goes in, bytes for a file come out.

use super::{
    Answer, Entry, FORMAT, Head, Header, MAGIC, Question,
    digest::{Digest, Running},
    entry::{encode_answer, encode_input, encode_outputs},
    frame::Chain,
    settings::found,
};
use kette_chain::record::Restored;
use kette_node::{Input, Output};
use kette_types::Time;

/// Encodes one node's life. Each call appends whole entries to the bytes that it is given.
#[derive(Clone, Debug)]
pub struct Recorder {
    chain: Chain,
    inputs: u64,
    outputs: Running,
}

/// An entry that would be too large to be read again; nothing can follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry of {0} bytes is too large for a recording")]
pub struct TooLarge(usize);

impl Recorder {
    /// Begins a recording.
    pub fn new(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(MAGIC);
        out.push(FORMAT);
        Self { chain: Chain::new(), inputs: 0, outputs: Running::default() }
    }

    /// Writes what the core is built from.
    ///
    /// # Errors
    /// If a part of it is too large.
    pub fn begin(
        &mut self,
        header: Header,
        restored: Restored,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        self.write(&Entry::Header(header), out)?;
        found(restored).try_for_each(|found| self.write(&Entry::Found(found), out))
    }

    /// Writes what the store answered.
    ///
    /// # Errors
    /// If it is too large.
    pub fn answer(
        &mut self,
        question: &Question,
        answer: &Answer,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        self.frame(&encode_answer(question, answer), out)
    }

    /// Writes an input, before the core takes it: so the input that breaks a core is there as well.
    ///
    /// # Errors
    /// If it is too large.
    pub fn input(&mut self, now: Time, input: &Input, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        self.inputs += 1;
        self.frame(&encode_input(now, input), out)
    }

    /// Writes that the core is asked for its last outputs.
    ///
    /// # Errors
    /// Never in practice: the entry is small.
    pub fn stop(&mut self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        self.write(&Entry::Stop, out)
    }

    /// Writes what an input or the stop led to.
    ///
    /// # Errors
    /// If there are too many outputs.
    pub fn outputs(&mut self, outputs: &[Output], out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let digests: Vec<Digest> = outputs.iter().map(Digest::of).collect();
        self.outputs.add(&digests);
        self.frame(&encode_outputs(&digests), out)
    }

    /// Writes the end.
    ///
    /// # Errors
    /// Never in practice: the entry is small.
    pub fn end(&mut self, head: Head, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let (inputs, outputs) = (self.inputs, self.outputs.hash());
        self.write(&Entry::End { inputs, outputs, head }, out)
    }

    /// Writes any entry.
    ///
    /// # Errors
    /// If it is too large.
    pub fn write(&mut self, entry: &Entry, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        self.frame(&entry.encode(), out)
    }

    fn frame(&mut self, entry: &[u8], out: &mut Vec<u8>) -> Result<(), TooLarge> {
        if self.chain.write(entry, out) { Ok(()) } else { Err(TooLarge(entry.len())) }
    }
}
