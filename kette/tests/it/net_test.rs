//! `kette net test`: an embedded network on real processes, judged, with its result as JUnit XML and as a report.

use crate::harness::{kette, text};
use serde_json::Value;
use std::fs;

#[test]
fn ten_nodes_are_connected() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (home, junit, out) = (path("test"), path("junit.xml"), path("runs"));
    let ran = kette(&[
        "--json",
        "net",
        "test",
        "connectivity",
        "--only",
        "pow10",
        "--home",
        text(&home),
        "--junit",
        text(&junit),
        "--out",
        text(&out),
    ]);
    let result: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((ran.code, result["ok"].as_bool()), (0, Some(true)), "{ran:?}");
    let test = &result["tests"][0];
    assert_eq!((test["host"].as_str(), test["file"].as_str()), (Some("processes"), Some("pow10")));
    let seen = |check: &str| {
        let checks = test["checks"].as_array().expect("checks");
        let found =
            checks.iter().find(|it| it["check"].as_str().is_some_and(|it| it.contains(check)));
        found
            .and_then(|it| it["seen"].as_str())
            .unwrap_or_else(|| panic!("{check}: {test}"))
            .to_owned()
    };
    // Requirements A33 and A36: nine bootstrap links, three at each of three nodes.
    assert!(
        seen("bootstrap").contains("9 of 9 first dials are sessions: node0 3, node1 3, node2 3")
    );
    assert!(seen("nodes running").starts_with("10 of 10"));
    // Requirement A34: the figure of greetings is told, and there is no error.
    assert!(seen("handshakes").contains(" completed, "), "{test}");
    assert_eq!(seen("network errors"), "none");
    let xml = fs::read_to_string(&junit).expect("JUnit XML");
    assert!(xml.contains("failures=\"0\"") && xml.contains("name=\"connectivity.pow10\""), "{xml}");
    let page = path("report.html");
    let run = out.join("pow10.json");
    let report = kette(&["--json", "net", "report", text(&run), "--out", text(&page)]).json();
    assert_eq!((report["runs"].as_u64(), report["ok"].as_bool()), (Some(1), Some(true)));
    let html = fs::read_to_string(&page).expect("a page");
    for words in
        ["Topology", "Performance", "Scalability", "Lessons learned", "Recommendations", "<svg"]
    {
        assert!(html.contains(words), "{words}");
    }
    let markdown = fs::read_to_string(page.with_extension("md")).expect("Markdown");
    assert!(markdown.contains("| node9 | up | 3 | AFRICA |"), "{markdown}");
}

#[test]
fn says_what_there_is_and_what_there_is_not() {
    let list = kette(&["--json", "net", "test", "--list"]).json();
    let names: Vec<&str> =
        list.as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    for name in [
        "connectivity",
        "propagation",
        "fork",
        "partition",
        "orphan",
        "churn",
        "load",
        "byzantine",
        "topology",
        "scale",
        "geo",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    let ran = kette(&["net", "test", "conectivity"]);
    assert!(ran.code == 2 && ran.err.contains("connectivity"), "{ran:?}");
    let ran = kette(&["net", "test", "fork", "--only", "pow10"]);
    assert!(ran.code == 2 && ran.err.contains("fork1-net"), "{ran:?}");
}
