//! The reference in `docs/` is about the format that is read.

use super::*;

const PAGE: &str = include_str!("../../../../docs/network-file.md");

#[test]
fn the_example_is_read_and_planned() {
    let start = PAGE.find("```toml\n").unwrap() + "```toml\n".len();
    let text = &PAGE[start..start + PAGE[start..].find("```").unwrap()];
    let file = NetworkFile::parse(text).unwrap();
    assert_eq!(Plan::new(&file).unwrap().nodes.len(), 10);
    assert_eq!((file.step.len(), file.check.len(), file.link.len()), (2, 2, 1));
}

#[test]
fn every_action_check_region_and_default_is_named() {
    let words = parse::ACTIONS.iter().chain(&region::NAMES);
    for word in words {
        assert!(PAGE.contains(word), "{word}");
    }
    let keys = |text: &str| -> Vec<String> {
        let error = NetworkFile::parse(text).unwrap_err().0;
        let list = error.lines().find(|line| line.starts_with("unknown")).unwrap().to_owned();
        list.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    };
    let places = [
        "[network]\nx = 1",
        "[shape]\nx = 1",
        "[workload]\nx = 1",
        "[[group]]\nx = 1",
        "[[group]]\nbyzantine = \"x\"",
        "[[link]]\nx = 1",
        "[[step]]\nx = 1",
        "[[step]]\ndisk = { fault = \"x\" }",
        "[[step]]\npartition = { kind = \"x\" }",
        "[[step]]\npartition = { x = 1 }",
        "[[step]]\nchurn = { x = 1 }",
        "[[step]]\nframes = { x = 1 }",
        "[[check]]\nx = {}",
        "[[check]]\nreorg = { x = 1 }",
    ];
    for place in places {
        let keys = keys(&format!("schema = 1\n{place}"));
        assert!(!keys.is_empty(), "{place}");
        for key in keys {
            assert!(PAGE.contains(&format!("`{key}`")), "{place}: {key}");
        }
    }
    let defaults = file("").network;
    assert_eq!((defaults.mine_rate, defaults.seed, defaults.duration), (200, 0, secs(600)));
    assert_eq!((defaults.base_port, defaults.rpc_base_port), (30_000, 31_000));
}
