//! What may have been meant: the known word that a misspelt one resembles most.

/// Returns the known word nearest to an unknown one, if it is near at all.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|word| (distance(unknown, word), word))
        .min()
        .filter(|(distance, word)| *distance <= word.len() / 2)
        .map(|(_, word)| word)
}

/// Returns `; did you mean ...?` for a parser's message about an unknown key, from its own list of expected ones.
pub(super) fn for_message(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next().filter(|_| message.starts_with("unknown")) else {
        return String::new();
    };
    nearest(unknown, quoted).map_or_else(String::new, |known| format!("did you mean `{known}`?"))
}

/// Levenshtein distance: the least number of letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_letters() {
        let rows = [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)];
        for (a, b, letters) in rows {
            assert_eq!(distance(a, b), letters, "{a} {b}");
        }
    }

    #[test]
    fn says_nothing_if_nothing_is_near() {
        assert_eq!(nearest("xyzzy", ["height", "agreement"]), None);
        assert_eq!(nearest("hieght", ["agreement", "height"]), Some("height"));
        assert_eq!(for_message("missing field `name`"), "");
    }
}
