//! The repository's own rules as tests: who may depend on whom, what the core must not name, what every
//! file looks like. Each rule is one test whose message says what to do.
//!
//! The rules' tables are in `tables.rs`, the checks in `checks.rs`; `bad_input.rs` shows that each can fail.

mod tables;

mod checks;
mod repository;
mod text;

mod bad_input;

use checks::*;
use repository::*;
use tables::{ENGINE_NAMES, LONG_FILES, PAGES_TRUE_NOW};

#[test]
fn arrows_point_one_way() {
    let advice = "docs/decisions/0001-layers-and-the-pure-core.md says which crate may use which; \
                  move the code, or write a record and change ARROWS";
    report(&wrong_arrows(&packages(&metadata())), advice);
}

#[test]
fn libraries_have_one_home() {
    let advice = "use what the owning crate re-exports, or move the code there (OWNERS)";
    report(&wrong_owners(&packages(&metadata())), advice);
}

#[test]
fn core_crates_depend_on_nothing_impure() {
    let advice = "the core decides and the host performs: order it as an Output or a Job (IMPURE)";
    report(&impure_dependencies(&packages(&metadata())), advice);
}

#[test]
fn core_code_names_nothing_impure() {
    let advice = "the core is told time and order; see the hint behind each name (IMPURE_NAMES)";
    report(&each(is_core_code, impure_names), advice);
}

#[test]
fn engines_are_named_in_their_folder_only() {
    let advice = "ask the engine through `Engine` or its `Status`; if it must be named, add the file \
                  to ENGINE_NAMES and to the list in ARCHITECTURE.md";
    let elsewhere = |path: &str| {
        is_layer_code(path)
            && !path.starts_with("core/consensus/src/pow/")
            && !ENGINE_NAMES.contains(&path)
    };
    report(&each(elsewhere, engine_names), advice);
}

#[test]
fn source_files_say_what_they_are() {
    report(&each(is_rust, no_opening), "open the file with `//!`: what it is, and what it is not");
}

#[test]
fn source_files_are_ascii() {
    report(&each(is_source, not_ascii), "write ASCII; spell other characters as escapes");
}

#[test]
fn source_files_are_short() {
    let advice = "split the file by concept, tests into a sibling tests.rs; LONG_FILES is for files \
                  that are one thing, and shrinks with them";
    let mut problems = each(is_rust, too_long);
    problems.extend(stale_exceptions(&LONG_FILES, &|path| read(path)));
    report(&problems, advice);
}

#[test]
fn nothing_is_left_to_do() {
    let advice = "finish it or leave it out; what is missing belongs in the documentation";
    report(&each(is_source, unfinished), advice);
}

#[test]
fn no_path_of_one_machine() {
    report(&each(is_text, machine_paths), "name files relative to the repository");
}

#[test]
fn no_package_registry_is_named() {
    let advice = "leave the registry to the user's own settings; write lock files without hosts";
    report(&each(is_text, registries), advice);
}

#[test]
fn links_between_pages_resolve() {
    let advice = "correct the link: a file that exists, relative to the page, and a heading of it";
    report(&each(is_page, |path, text| broken_links(path, text, &|p| read(p))), advice);
}

#[test]
fn pages_name_files_that_exist() {
    let advice = "the page names a file that is gone or was renamed: say where it is now";
    let now = |path: &str| PAGES_TRUE_NOW.contains(&path);
    let gone = PAGES_TRUE_NOW.iter().filter(|page| read(page).is_none());
    report(&gone.map(|page| (*page).to_owned()).collect::<Vec<_>>(), "write the page again");
    report(
        &each(now, |path, text| missing_files(path, text, &|p| root().join(p).exists())),
        advice,
    );
}
