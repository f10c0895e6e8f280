//! Files that are something else, and flags that mean nothing here, are refused in words that say what to do.

use super::{Files, TINY};
use kette_sim::recording::MAGIC;

#[test]
fn a_file_that_is_something_else_is_told_what_it_seems_to_be() {
    let files = Files::new();
    files.kette(&["sim", "run", "tiny.toml", "--trace", "trace.txt", "--html", "page.html"]);
    files.write("result.json", &files.kette(&["--json", "sim", "run", "tiny.toml"]).out);
    files.write("genesis.json", &files.kette(&["genesis", "new", "--preset", "dev"]).out);
    files.write("a.rec", std::str::from_utf8(MAGIC).expect("letters"));
    files.write("binary", "\u{1}\0");
    for (name, chain) in [("c.toml", "tiny.toml"), ("d.toml", "a.rec"), ("e.toml", "folder")] {
        files.write(name, &TINY.replace("\"atmn\"", &format!("\"{chain}\"")));
    }
    std::fs::create_dir(files.path("folder")).expect("a folder");
    let large = std::fs::File::create(files.path("large.toml")).expect("a file");
    large.set_len(20_000_000).expect("a sparse file");
    let network = "a network file is expected";
    let rows: [(&[&str], &[&str]); 15] = [
        (&["run", "genesis.json"], &["genesis.json seems to be a genesis file", network]),
        (&["run", "a.rec"], &["a recording of a node (`kette sim replay FILE`", network]),
        (&["run", "trace.txt"], &["a trace of `kette sim run --trace`", network]),
        (&["run", "page.html"], &["an HTML page", network]),
        (&["run", "result.json"], &["a result of `kette sim run --json`", network]),
        (&["run", "binary"], &["a binary file", network]),
        (&["run", "folder"], &["folder is a folder", network]),
        (&["run", "/dev/zero"], &["no regular file", network]),
        (&["replay", "genesis.json"], &["a genesis file", network]),
        (&["minimize", "large.toml"], &["has 20 MB", "a network file has at most 16 MB"]),
        (&["run", "c.toml"], &["tiny.toml seems to be a network file; a genesis file is expected"]),
        (&["run", "d.toml"], &["chain `a.rec`", "a genesis file is expected"]),
        (&["run", "e.toml"], &["folder is a folder; a genesis file is expected"]),
        (&["diff", "result.json", "a.rec"], &["a.rec seems to be a recording", "a result of"]),
        (&["diff", "folder", "result.json"], &["folder is a folder", "a result of"]),
    ];
    for (args, words) in rows {
        files.kette(&[&["sim"], args].concat()).fails(2, words);
    }
}

#[test]
fn a_flag_that_means_nothing_here_is_refused() {
    let files = Files::new();
    files.write("a.rec", std::str::from_utf8(MAGIC).expect("letters"));
    let rows: [(&[&str], &[&str]); 9] = [
        (
            &["replay", "a.rec", "--seed", "3"],
            &["a.rec is a recording of a node", "leave out --seed"],
        ),
        (
            &["replay", "a.rec", "--until-event", "9", "--from-event", "2"],
            &["leave out --until-event, --from-event"],
        ),
        (&["replay", "a.rec", "--trace", "--hours", "1"], &["leave out --trace, --hours"]),
        (&["replay", "a.rec", "--nodes", "3"], &["leave out --nodes"]),
        (
            &["show", "fork2", "--seed", "7"],
            &["`fork2` is the same", "kette sim run fork2 --seed 7"],
        ),
        (&["run", "tiny.toml", "--seeds", "0..3", "--trace", "f"], &["one run and not 3"]),
        (&["run", "tiny.toml", "--trace", "./tiny.toml"], &["./tiny.toml is the network file"]),
        (&["run", "tiny.toml", "--html", "tiny.toml"], &["tiny.toml is the network file"]),
        (&["run", "tiny.toml", "--html", "x", "--trace", "x"], &["both write x"]),
    ];
    for (args, words) in rows {
        files.kette(&[&["sim"], args].concat()).fails(2, words);
    }
    let kept = std::fs::read_to_string(files.path("tiny.toml")).expect("it is there");
    assert_eq!(kept, TINY, "nothing was written over it");
    let shown = files.kette(&["--json", "sim", "show", "fork2"]).json();
    assert_eq!(shown["network"]["chain"], "atmn");
}
