//! "Did you mean": the name nearest to one that does not exist.

/// The longest name that is compared, in characters. The time of a comparison grows with the product of both lengths,
/// and both may come from outside; nobody misspells a name longer than this by a few letters.
const COMPARED_CHARS_MAX: usize = 64;

/// The most candidates that are compared with one name.
const CANDIDATES_MAX: usize = 1_024;

/// The candidate nearest to `name`, if one is near enough to be meant: at most a third of its letters differ. Names of more
/// than 64 characters are near to none.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = compared(name)?;
    let bound = (name.len() / 3).max(1);
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter_map(|candidate| {
            let letters = compared(candidate)?;
            // Each letter that one of them has more is one to be inserted.
            let is_far = letters.len().abs_diff(name.len()) > bound;
            (!is_far).then(|| (distance(&name, &letters), candidate))
        })
        .filter(|&(distance, _)| distance <= bound)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// The letters of a name, unless it is too long to be compared.
fn compared(name: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = name.chars().take(COMPARED_CHARS_MAX + 1).collect();
    (letters.len() <= COMPARED_CHARS_MAX).then_some(letters)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbours (Damerau, 1964; no letter twice).
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for i in 0..from.len() {
        let mut next = vec![i + 1];
        for j in 0..to.len() {
            let replaced = row[j] + usize::from(from[i] != to[j]);
            let mut least = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && from[i] == to[j - 1] && from[i - 1] == to[j] {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_mended_and_a_stranger_is_not() {
        assert_eq!(nearest("gett", ["put", "get"]), Some("get"));
        assert_eq!(
            nearest("raft.apend_entries", ["raft.append_entries", "raft.vote"]),
            Some("raft.append_entries")
        );
        assert_eq!(nearest("gte", ["put", "get"]), Some("get"));
        assert_eq!(nearest("vresion", ["key", "value", "version"]), Some("version"));
        assert_eq!(nearest("", ["put", "a"]), Some("a"));
        assert_eq!(nearest("delete", ["put", "get"]), None);
    }

    #[test]
    fn long_names_are_compared_with_nothing() {
        let (name, long) = ("n".repeat(64), "n".repeat(65));
        assert_eq!(nearest(&name, [name.as_str()]), Some(name.as_str()));
        assert_eq!(nearest(&long, [long.as_str(), name.as_str()]), None, "the name is too long");
        assert_eq!(nearest(&name, [long.as_str()]), None, "the candidate is too long");
        // Compared in full, each of these takes minutes.
        let huge = "é".repeat(4 << 20);
        assert_eq!(nearest(&huge, [huge.as_str(), "get"]), None);
        assert_eq!(nearest("get", std::iter::repeat_n(huge.as_str(), 10)), None);
        let many = (0..1_000_000).map(|_| name.as_str());
        assert_eq!(nearest(&"o".repeat(60), many), None);
    }
}
