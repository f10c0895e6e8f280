//! `KETTE_PLANT=NAME` plants a known bug in what this thread simulates, to see it found, replayed and minimized.
//! Only in builds with debug assertions; a release build has neither the switch nor the bugs.

/// The environment's variable.
#[cfg(debug_assertions)]
const NAME: &str = "KETTE_PLANT";

/// Returns what a command line must begin with to plant the same bug; empty if none is planted.
pub fn prefix() -> String {
    #[cfg(debug_assertions)]
    if let Ok(name) = std::env::var(NAME)
        && !name.is_empty()
    {
        return format!("{NAME}={name} ");
    }
    String::new()
}

/// Plants the bug that the environment names.
///
/// # Errors
/// If there is no such bug; says which there are.
#[cfg(debug_assertions)]
pub fn from_env() -> anyhow::Result<()> {
    use kette_types::planted::{Bug, plant};
    let Some(name) = std::env::var(NAME).ok().filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let Some(bug) = Bug::ALL.into_iter().find(|bug| bug.name() == name) else {
        let names: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        anyhow::bail!("{NAME}: no bug `{name}`; there are {}", names.join(", "));
    };
    plant(Some(bug));
    Ok(())
}

/// Does nothing: a release build.
///
/// # Errors
/// Never.
#[cfg(not(debug_assertions))]
pub fn from_env() -> anyhow::Result<()> {
    Ok(())
}
