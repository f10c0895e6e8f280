//! Which network is simulated: a network file, an embedded one by name, or one drawn from each seed.

use super::{plant, words};
use crate::{
    commands::output,
    input::{self, Kind},
    presets,
};
use alloy_primitives::{B256, keccak256};
use anyhow::{Context as _, bail};
use clap::Args;
use kette_sim::{
    run::Scenario,
    scenario::{NetworkFile, nearest, units},
    swarm,
};
use std::{
    borrow::Cow,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Which network.
#[derive(Args, Clone, Debug)]
pub struct Setting {
    /// A network file, a name of `kette sim scenarios`, or `swarm` or `swarm-bft` to draw everything from the seed.
    #[arg(value_name = "FILE|PRESET|swarm|swarm-bft")]
    pub source: String,
    /// Makes the network this large; groups keep their shares, miners together their hash rate.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,
    /// Virtual hours with faults, instead of the file's duration; the time to converge comes on top.
    #[arg(long, value_name = "H", value_parser = hours, conflicts_with = "duration")]
    hours: Option<Duration>,
    /// The same with a unit: 90s, 10m, 2h.
    #[arg(long, value_name = "TIME", value_parser = positive)]
    duration: Option<Duration>,
}

/// Hours of a simulated network at most: a network file may not say more either.
const HOURS_MAX: f64 = 8_760.0;

fn hours(text: &str) -> Result<Duration, String> {
    let hours: f64 = text.parse().map_err(|_| format!("`{text}` is no number of hours"))?;
    if !(hours > 0.0 && hours <= HOURS_MAX) {
        return Err(format!("`{text}`: hours are more than 0 and at most {HOURS_MAX}, a year"));
    }
    Ok(Duration::from_millis((hours * 3.6e6) as u64).max(Duration::from_millis(1)))
}

fn positive(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text)? {
        Duration::ZERO => Err("a run takes more than no time".to_owned()),
        duration => Ok(duration),
    }
}

/// The name that stands for a network drawn from each seed.
const SWARM: &str = "swarm";
/// The same with validators.
const SWARM_BFT: &str = "swarm-bft";

/// Draws a network from a seed, if that is what the name stands for.
fn drawn(name: &str, seed: u64) -> Option<NetworkFile> {
    match name {
        SWARM => Some(swarm::draw(seed)),
        SWARM_BFT => Some(swarm::draw_bft(seed)),
        _ => None,
    }
}

impl Setting {
    fn duration(&self) -> Option<Duration> {
        self.hours.or(self.duration)
    }

    /// Names the flags that were given.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("--nodes", self.nodes.is_some()),
            ("--hours", self.hours.is_some()),
            ("--duration", self.duration.is_some()),
        ];
        all.into_iter().filter_map(|(name, given)| given.then_some(name))
    }

    /// Returns these arguments as a command line has them.
    pub fn words(&self) -> String {
        let mut text = words::shell(&self.source);
        if let Some(nodes) = self.nodes {
            text.push_str(&format!(" --nodes {nodes}"));
        }
        if let Some(duration) = self.duration() {
            text.push_str(&format!(" --duration {}", units::format_duration(duration)));
        }
        text
    }

    /// Returns the command that shows a run up to an event.
    pub fn replay(&self, seed: u64, event: u64) -> String {
        let (plant, words) = (plant::prefix(), self.words());
        format!("{plant}kette sim replay {words} --seed {seed} --until-event {event}")
    }

    /// Returns the command that makes a run smaller.
    pub fn minimize(&self, seed: u64) -> String {
        format!("{}kette sim minimize {} --seed {seed}", plant::prefix(), self.words())
    }
}

/// A network that can be run from any seed.
pub struct Source {
    /// The arguments that name it.
    pub setting: Setting,
    /// The folder of its file, if it has one.
    pub folder: Option<PathBuf>,
    fixed: Option<Scenario>,
}

impl Source {
    /// Reads and plans a network.
    ///
    /// # Errors
    /// If there is none of this name, or its file cannot be used; says why.
    pub fn load(setting: &Setting) -> anyhow::Result<Self> {
        let name = &setting.source;
        let mut source = Self { setting: setting.clone(), folder: None, fixed: None };
        if [SWARM, SWARM_BFT].contains(&name.as_str()) {
            return Ok(source);
        }
        let path = Path::new(name);
        let file = match embedded_text(name) {
            Some(text) => NetworkFile::parse(text).with_context(|| name.clone())?,
            None if path.exists() => {
                source.folder = Some(path.parent().map(Path::to_path_buf).unwrap_or_default());
                input::network(path)?
            }
            None => bail!(unknown(name)),
        };
        source.fixed = Some(source.prepare(file)?);
        Ok(source)
    }

    fn prepare(&self, mut file: NetworkFile) -> anyhow::Result<Scenario> {
        if let Some(duration) = self.setting.duration() {
            file.network.duration = duration;
            if drawn(&self.setting.source, 0).is_some() {
                // Nobody wrote the steps that a shorter run leaves out.
                file.step.iter_mut().for_each(|step| step.optional = true);
            }
        }
        let name = || self.setting.source.clone();
        let genesis = self.genesis(&file.network.chain).with_context(name)?;
        let scenario = Scenario::new(file, &genesis).with_context(name)?;
        match self.setting.nodes {
            Some(nodes) => scenario.scaled(nodes as usize).with_context(name),
            None => Ok(scenario),
        }
    }

    fn genesis(&self, chain: &str) -> anyhow::Result<Cow<'static, str>> {
        if let Some(text) = presets::genesis_text(chain) {
            return Ok(text.into());
        }
        let path = self.folder.as_deref().unwrap_or(Path::new("")).join(chain);
        if !path.exists() {
            let chains = presets::chains().collect::<Vec<_>>().join(", ");
            bail!(
                "chain `{chain}` is neither a preset ({chains}) nor a file beside the network file"
            );
        }
        let text = input::text(&path, Kind::Genesis).with_context(|| format!("chain `{chain}`"))?;
        Ok(text.into())
    }

    /// Returns what runs from this seed.
    ///
    /// # Errors
    /// If swarm mode drew something that cannot be used with the other arguments.
    pub fn scenario(&self, seed: u64) -> anyhow::Result<Cow<'_, Scenario>> {
        match (&self.fixed, drawn(&self.setting.source, seed)) {
            (Some(scenario), _) => Ok(Cow::Borrowed(scenario)),
            (None, None) => bail!(unknown(&self.setting.source)),
            (None, Some(file)) => self
                .prepare(file)
                .map(Cow::Owned)
                .with_context(|| format!("drawn from seed {seed}")),
        }
    }

    /// Returns the seed that counts if the command line gives none.
    pub fn default_seed(&self) -> u64 {
        self.fixed.as_ref().map_or(0, |scenario| scenario.file.network.seed)
    }
}

/// Hash of everything that a run depends on besides seed and program.
pub fn config_hash(scenario: &Scenario) -> B256 {
    let file = serde_json::to_vec(&scenario.file).expect("a file's keys are text");
    let genesis =
        serde_json::to_vec(&scenario.spec.genesis).expect("a genesis file's keys are text");
    keccak256([keccak256(file), keccak256(genesis)].concat())
}

fn embedded() -> impl Iterator<Item = (&'static str, &'static str)> {
    let names = presets::networks().chain(presets::scenarios()).chain(presets::tests());
    names.filter_map(|name| Some((name, presets::network_text(name)?)))
}

fn embedded_text(name: &str) -> Option<&'static str> {
    embedded().find(|(known, _)| *known == name).map(|(_, text)| text)
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = embedded().map(|(name, _)| name).chain([SWARM, SWARM_BFT]).collect();
    let near = nearest(name, names.iter().copied());
    let hint = near.map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
    if name.contains(['/', '.']) {
        return format!("no file `{name}`; `kette sim scenarios` lists what is embedded{hint}");
    }
    format!("`{name}` is neither a file nor one of {}{hint}", names.join(", "))
}

/// Lists what is embedded: name, and the first sentence of its file.
///
/// # Errors
/// If standard output is closed.
pub fn list(json: bool) -> anyhow::Result<()> {
    let about = |text: &'static str| {
        let opening = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
        let opening = opening.collect::<Vec<_>>().join(" ");
        match opening.split_once(". ") {
            Some((first, _)) => format!("{first}."),
            None => opening,
        }
    };
    let drawn =
        (SWARM, "Everything is drawn from the seed: nodes, links, faults, liars.".to_owned());
    let validators =
        (SWARM_BFT, "The same with validators: weights, quorum rules, votes, liars.".to_owned());
    let rows: Vec<(&str, String)> =
        embedded().map(|(name, text)| (name, about(text))).chain([drawn, validators]).collect();
    if json {
        let entry =
            |(name, about): &(&str, String)| serde_json::json!({ "name": name, "about": about });
        return output::print(&rows.iter().map(entry).collect(), true);
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(name, about)| vec![name.to_owned(), about]).collect();
    output::table(&["NAME", "WHAT"], &rows)
}

/// Which file to print.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// A name of `kette sim scenarios`, also `swarm` and `swarm-bft`.
    name: String,
    /// The seed that swarm mode draws from; 0 if absent.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Prints an embedded network file.
///
/// # Errors
/// If there is none of this name.
pub fn show(args: &ShowArgs, json: bool) -> anyhow::Result<()> {
    let name = &args.name;
    let text = match (embedded_text(name), args.seed) {
        (Some(_), Some(seed)) => bail!(
            "`{name}` is the same for every seed: leave out --seed; `kette sim run {name} --seed {seed}` runs it from \
             that one"
        ),
        (Some(text), None) => Cow::Borrowed(text),
        (None, seed) => match drawn(name, seed.unwrap_or(0)) {
            Some(file) => file.to_toml()?.into(),
            None => bail!(unknown(name)),
        },
    };
    if json {
        return output::print(&serde_json::to_value(NetworkFile::parse(&text)?)?, true);
    }
    Ok(write!(output::stdout(), "{text}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_positive_numbers() {
        assert_eq!(hours("0.5"), Ok(Duration::from_secs(1_800)));
        for bad in ["0", "-1", "NaN", "inf", "1e9", "soon"] {
            assert!(hours(bad).is_err(), "{bad}");
        }
    }
}
