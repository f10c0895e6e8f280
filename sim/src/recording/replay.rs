//! Runs a core on what a recorded one was told, and compares what it orders.

use super::{
    Entry, Head, Header, Reader, Tail,
    answers::Answers,
    digest::{Digest, Running},
    input::describe,
    settings::restore,
};
use kette_chain::record::Restored;
use kette_node::{Input, Node, Output, RestoreError};
use kette_types::{B256, ChainSpec, SpecError, Time};
use std::{sync::Arc, time::Duration};

/// What a replay found.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    /// What the recording says of its node.
    pub header: Header,
    /// Inputs that the core took again.
    pub inputs: u64,
    /// Time between the node's start and its last input.
    pub elapsed: Duration,
    /// Where the replayed core's chain ends.
    pub head: Head,
    /// Whether the recorded node stopped cleanly, so that its end was compared as well.
    pub stopped: bool,
    /// How the file ends; if not with a whole entry, everything before was replayed.
    pub tail: Tail,
    /// Where the replayed core first did something else; the replay ends there.
    pub first_difference: Option<Difference>,
}

impl ReplayReport {
    /// Tells whether the core did the same in all that was recorded, and nothing of it is damaged.
    pub const fn matches(&self) -> bool {
        self.first_difference.is_none() && !matches!(self.tail, Tail::Damaged { .. })
    }
}

/// The first thing that is not as recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input {input} ({what}) at {at}: {difference}")]
pub struct Difference {
    /// Number of the input, from 1; 0 is the restore.
    pub input: u64,
    /// When it was taken.
    pub at: Time,
    /// The input, in words.
    pub what: String,
    /// What is not as recorded.
    pub difference: String,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Inputs taken.
    pub inputs: u64,
    /// Bytes of the recording read.
    pub bytes: usize,
    /// Number of the core's head.
    pub height: u64,
}

/// A recording that cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No recording, or one of another format.
    #[error("this is no recording that this version reads")]
    NotARecording,
    /// It ends, or is damaged, before its core took an input.
    #[error("the recording ends before its node took an input ({0})")]
    TooShort(Tail),
    /// An entry is whole and makes no sense, or stands where it cannot.
    #[error("entry {entry} at byte {at}: {problem}")]
    Entry {
        /// Its place, from 0.
        entry: u64,
        /// Where it ends.
        at: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Its genesis cannot be used.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The recorded node did start; the replayed one does not.
    #[error("the node does not start as it did: {0}")]
    Restore(#[from] RestoreError),
}

/// Replays a recording. `progress` is told now and then.
///
/// # Errors
/// If the bytes are no recording, or one in which nothing can be replayed.
pub fn replay(
    bytes: &[u8],
    progress: &mut dyn FnMut(Progress),
) -> Result<ReplayReport, ReplayError> {
    let mut reader = Reader::new(bytes).ok_or(ReplayError::NotARecording)?;
    let mut replay = Replay::default();
    let mut entry = 0;
    while let Some(bytes) = reader.next() {
        let at = reader.position();
        let problem = |problem: String| ReplayError::Entry { entry, at, problem };
        let decoded = Entry::decode(bytes).map_err(|error| problem(error.to_string()))?;
        let is_input = matches!(decoded, Entry::Input(..));
        replay.take(decoded).map_err(|error| match error {
            Stopped::Order(what) => problem(what.to_owned()),
            Stopped::Error(error) => error,
        })?;
        if replay.difference.is_some() {
            break;
        }
        entry += 1;
        if is_input && replay.inputs.is_multiple_of(PROGRESS_EVERY) {
            let height = replay.node.as_ref().map_or(0, |node| node.tree().head().number);
            progress(Progress { inputs: replay.inputs, bytes: at, height });
        }
    }
    replay.finish(reader.tail().clone())
}

/// Inputs between two reports of progress.
const PROGRESS_EVERY: u64 = 1_000;

#[derive(Default)]
struct Replay {
    header: Option<Header>,
    restored: Restored,
    answers: Arc<Answers>,
    node: Option<Node>,
    /// What the core does next, once all answers to its questions are known.
    due: Option<Due>,
    /// What that led to, once it was done, until it was compared.
    outputs: Vec<Output>,
    inputs: u64,
    last: Time,
    running: Running,
    stopped: bool,
    difference: Option<Difference>,
    what: String,
}

enum Due {
    Input(Time, Box<Input>),
    Stop,
}

enum Stopped {
    Order(&'static str),
    Error(ReplayError),
}

impl Replay {
    fn take(&mut self, entry: Entry) -> Result<(), Stopped> {
        if self.stopped {
            return Err(Stopped::Order("something follows the end"));
        }
        match entry {
            Entry::Header(header) if self.header.is_none() => {
                self.last = header.began;
                self.header = Some(header);
                Ok(())
            }
            _ if self.header.is_none() => Err(Stopped::Order("the header must come first")),
            Entry::Header(_) => Err(Stopped::Order("a second header")),
            Entry::Found(found) if self.node.is_none() => {
                restore(&mut self.restored, found);
                Ok(())
            }
            Entry::Found(_) => Err(Stopped::Order("found after the node was restored")),
            Entry::Answer(question, answer) => {
                self.answers.learn(question, answer);
                Ok(())
            }
            Entry::Input(now, input) => self.order(Due::Input(now, Box::new(input))),
            Entry::Stop => self.order(Due::Stop),
            Entry::Outputs(digests) => {
                if self.due.is_none() {
                    return Err(Stopped::Order("outputs of nothing"));
                }
                self.perform();
                self.compare(&digests);
                Ok(())
            }
            Entry::End { inputs, outputs, head } => self.end(inputs, outputs, head),
        }
    }

    fn order(&mut self, due: Due) -> Result<(), Stopped> {
        if self.due.is_some() {
            return Err(Stopped::Order("the outputs of the input before are missing"));
        }
        self.build().map_err(Stopped::Error)?;
        match &due {
            Due::Input(now, input) => {
                self.inputs += 1;
                self.last = *now;
                self.what = describe(input);
            }
            Due::Stop => "stop".clone_into(&mut self.what),
        }
        self.due = Some(due);
        Ok(())
    }

    /// Builds the node, unless it is there.
    fn build(&mut self) -> Result<(), ReplayError> {
        let Some(header) = self.header.as_ref().filter(|_| self.node.is_none()) else {
            return Ok(());
        };
        let spec = Arc::new(ChainSpec::from_json(&header.genesis)?);
        let (answers, restored) = (self.answers.clone(), std::mem::take(&mut self.restored));
        let node = Node::restore(spec, header.config.clone(), answers, header.began, restored)?;
        self.node = Some(node);
        Ok(())
    }

    /// Does what is due.
    fn perform(&mut self) {
        let Some(node) = &mut self.node else { return };
        self.outputs = match self.due.take() {
            Some(Due::Input(now, input)) => node.handle(now, *input),
            Some(Due::Stop) => node.stop(),
            None => Vec::new(),
        };
    }

    fn compare(&mut self, recorded: &[Digest]) {
        let replayed: Vec<Digest> = self.outputs.iter().map(Digest::of).collect();
        self.running.add(&replayed);
        if replayed == recorded {
            return;
        }
        let mut text = difference(recorded, &replayed);
        if let Some(question) = self.answers.take_unknown() {
            text.push_str(&format!("; it asked its store something new: {question:?}"));
        }
        self.differs(text);
    }

    fn end(&mut self, inputs: u64, outputs: B256, head: Head) -> Result<(), Stopped> {
        if self.due.is_some() || self.node.is_none() {
            return Err(Stopped::Order("an end without a stop"));
        }
        self.stopped = true;
        let mine = self.head();
        if inputs != self.inputs {
            self.differs(format!("{inputs} inputs were recorded, {} replayed", self.inputs));
        } else if outputs != self.running.hash() {
            self.differs("the hash of all outputs differs".to_owned());
        } else if head != mine {
            self.differs(format!("the head was {head:?} and is {mine:?}"));
        }
        Ok(())
    }

    fn differs(&mut self, difference: String) {
        let (input, at, what) = (self.inputs, self.last, self.what.clone());
        self.difference.get_or_insert(Difference { input, at, what, difference });
    }

    fn head(&self) -> Head {
        self.node.as_ref().map(Head::of).unwrap_or_default()
    }

    fn finish(mut self, tail: Tail) -> Result<ReplayReport, ReplayError> {
        if self.node.is_none() {
            return Err(ReplayError::TooShort(tail));
        }
        if self.difference.is_none() {
            // The last input of a node that died: there is nothing to compare, but the core may die of it again.
            self.perform();
        }
        let head = self.head();
        let header = self.header.ok_or(ReplayError::NotARecording)?;
        Ok(ReplayReport {
            inputs: self.inputs,
            elapsed: self.last.since(header.began),
            head,
            stopped: self.stopped,
            tail,
            first_difference: self.difference,
            header,
        })
    }
}

/// Says what two lists of outputs differ in.
fn difference(recorded: &[Digest], replayed: &[Digest]) -> String {
    let same = recorded.iter().zip(replayed).take_while(|(a, b)| a == b).count();
    let name = |digests: &[Digest]| digests.get(same).map_or("nothing", |digest| digest.kind());
    let (was, is) = (name(recorded), name(replayed));
    let number = same + 1;
    if was == is {
        format!("output {number} is another {is} than recorded")
    } else {
        format!("output {number} was {was} and is {is}")
    }
}
