//! Reading a network file, strictly and with hints, and writing one that reads the same.

use super::{
    Action, At, NetworkFile, Step, hint, rules,
    step::{
        Churn, Clock, Crash, Cut, Disk, Frames, Heal, LinkChange, Load, Mine, Nodes, Partition,
        Slow, Span, Stop,
    },
    units,
};
use serde::{Deserialize, Serialize};

/// A network file that cannot be used: where, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);

/// The version of the format that is read and written.
pub const SCHEMA: u32 = 1;

impl NetworkFile {
    /// Reads and checks a network file's text.
    ///
    /// # Errors
    /// If it breaks a rule; says which key, and what may have been meant.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        // First, because another version may have other keys.
        #[derive(Deserialize)]
        struct Version {
            schema: Option<i64>,
        }
        if let Ok(Version { schema: Some(schema) }) = toml::from_str(text)
            && schema != i64::from(SCHEMA)
        {
            return Err(ParseError(format!(
                "schema = {schema}: this program reads schema {SCHEMA}"
            )));
        }
        let file: Self = toml::from_str(text).map_err(|error| {
            ParseError(format!("{error}{}", hint::for_message(error.message())))
        })?;
        file.check()?;
        Ok(file)
    }

    /// Checks what the types do not: names, counts, ranges, and that every pattern means some node.
    ///
    /// # Errors
    /// Names the place and says what to do.
    pub fn check(&self) -> Result<(), ParseError> {
        rules::check(self).map_err(ParseError)
    }

    /// Writes the file so that [`Self::parse`] reads an equal one.
    ///
    /// # Errors
    /// If a number is larger than TOML's integers, 2^63 - 1.
    pub fn to_toml(&self) -> Result<String, ParseError> {
        toml::to_string(self).map_err(|error| ParseError(error.to_string()))
    }
}

/// Defines [`RawStep`] and both ways between it and [`Step`], so that an action stands in one list.
macro_rules! actions {
    ($($key:ident $variant:ident $type:ty),* $(,)?) => {
        /// A step as it stands in a file: `at`, exactly one action, and whether it is `optional`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RawStep {
            at: String,
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            optional: bool,
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $key: Option<$type>,)*
        }

        /// Keys of all actions.
        pub(super) const ACTIONS: &[&str] = &[$(stringify!($key)),*];

        impl Action {
            /// Returns the action's key in a network file.
            pub const fn key(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($key),)*
                }
            }
        }

        impl TryFrom<RawStep> for Step {
            type Error = String;
            fn try_from(raw: RawStep) -> Result<Self, String> {
                let at = raw.at.parse()?;
                let mut actions: Vec<Action> = Vec::new();
                $(actions.extend(raw.$key.map(Action::$variant));)*
                match (actions.pop(), actions.last()) {
                    (Some(action), None) => Ok(Self { at, action, optional: raw.optional }),
                    (Some(one), Some(other)) => Err(format!(
                        "a step does one thing, this one has `{}` and `{}`: make two [[step]] of it",
                        other.key(),
                        one.key()
                    )),
                    (None, _) => Err(format!(
                        "a step does one thing, this one has only `at`: add one of {}",
                        ACTIONS.join(", ")
                    )),
                }
            }
        }

        impl From<Step> for RawStep {
            fn from(step: Step) -> Self {
                let mut raw =
                    Self { at: step.at.to_string(), optional: step.optional, ..Self::default() };
                match step.action {
                    $(Action::$variant(action) => raw.$key = Some(action),)*
                }
                raw
            }
        }
    };
}

actions! {
    partition Partition Partition,
    cut Cut Cut,
    heal Heal Heal,
    reset Reset Nodes,
    crash Crash Crash,
    stop Stop Stop,
    start Start Nodes,
    wipe Wipe Stop,
    pause Pause Span,
    slow Slow Slow,
    churn Churn Churn,
    clock Clock Clock,
    disk Disk Disk,
    link Link LinkChange,
    frames Frames Frames,
    mine Mine Mine,
    load Load Load,
}

impl std::str::FromStr for At {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("height:") {
            Some(height) => height.trim().parse().map(Self::Height).map_err(|_| {
                format!("at = \"{text}\": after `height:` comes a block number, e.g. height:20")
            }),
            None => units::parse_duration(text)
                .map(Self::Time)
                .map_err(|error| format!("at = \"{text}\": {error}, or height:20")),
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(time) => f.write_str(&units::format_duration(*time)),
            Self::Height(height) => write!(f, "height:{height}"),
        }
    }
}
