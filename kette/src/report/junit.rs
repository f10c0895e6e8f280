//! Results as JUnit XML, which build servers read: a suite per network, a case per check and invariant.

use super::chart::escape;
use std::fmt::Write as _;

/// One network that ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suite {
    /// Test and network file, as in `fork.fork2-net`.
    pub name: String,
    /// How long it took, seconds.
    pub seconds: f64,
    /// What was judged.
    pub cases: Vec<Case>,
    /// Ends of logs and what else helps with a failure.
    pub output: String,
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// In words.
    pub name: String,
    /// What was seen.
    pub seen: String,
    /// Whether it holds; `None` if it was not judged.
    pub ok: Option<bool>,
}

/// Writes a document. Its format is the one that Apache Ant's junit task established.
pub fn document(name: &str, suites: &[Suite]) -> String {
    let count = |suites: &[Suite], ok: Option<bool>| {
        suites.iter().flat_map(|suite| &suite.cases).filter(|case| case.ok == ok).count()
    };
    let totals = |suites: &[Suite]| {
        let cases: usize = suites.iter().map(|suite| suite.cases.len()).sum();
        let seconds: f64 = suites.iter().map(|suite| suite.seconds).sum();
        format!(
            "tests=\"{cases}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{seconds:.3}\"",
            count(suites, Some(false)),
            count(suites, None)
        )
    };
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"{}\" {}>", text(name), totals(suites));
    for suite in suites {
        let one = totals(std::slice::from_ref(suite));
        let _ = writeln!(out, "  <testsuite name=\"{}\" {one}>", text(&suite.name));
        for case in &suite.cases {
            let head = format!(
                "    <testcase classname=\"{}\" name=\"{}\"",
                text(&suite.name),
                text(&case.name)
            );
            let seen = text(&case.seen);
            let _ = match case.ok {
                Some(true) => writeln!(out, "{head}/>"),
                Some(false) => {
                    writeln!(out, "{head}><failure message=\"{seen}\">{seen}</failure></testcase>")
                }
                None => writeln!(out, "{head}><skipped message=\"{seen}\"/></testcase>"),
            };
        }
        if !suite.output.is_empty() {
            let _ = writeln!(out, "    <system-out>{}</system-out>", text(&suite.output));
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Text as XML 1.0 has it: tabs and line ends as they are, no other control characters.
fn text(text: &str) -> String {
    escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_escapes() {
        let case =
            |name: &str, ok| Case { name: name.to_owned(), seen: "a < b\u{1b}".to_owned(), ok };
        let suite = Suite {
            name: "fork.\"x\"".to_owned(),
            seconds: 1.5,
            cases: vec![
                case("agreement", Some(true)),
                case("reorg", Some(false)),
                case("late", None),
            ],
            output: "node0: <panic> & more".to_owned(),
        };
        let xml = document("kette net test", &[suite.clone(), Suite { cases: vec![], ..suite }]);
        for part in [
            "<testsuites name=\"kette net test\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"3.000\">",
            "<testsuite name=\"fork.&quot;x&quot;\" tests=\"3\"",
            "name=\"agreement\"/>",
            "<failure message=\"a &lt; b\u{fffd}\">",
            "<skipped message=",
            "node0: &lt;panic&gt; &amp; more",
        ] {
            assert!(xml.contains(part), "{part} is missing in {xml}");
        }
        assert_eq!(xml.matches("<testsuite ").count(), xml.matches("</testsuite>").count());
        assert_eq!(xml.matches("<testcase").count(), 3);
    }
}
