//! The valid word nearest to a mistyped one.

/// The candidate with the fewest edits to `word`, if that is few enough to be what was meant.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let folded = fold(word);
    let best = candidates
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .min()?;
    // A third of the letters wrong is a typing error; more is another word.
    (best.0 <= best.1.chars().count().max(3) / 3).then_some(best.1)
}

/// `max-body`, `maxBody` and `max_body` are one word.
fn fold(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(left: &[char], right: &[char]) -> usize {
    let width = right.len() + 1;
    let mut rows: Vec<usize> = vec![0; (left.len() + 1) * width];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced =
                    rows[(i - 1) * width + j - 1] + usize::from(left[i - 1] != right[j - 1]);
                let edited = 1 + rows[(i - 1) * width + j].min(rows[i * width + j - 1]);
                let swapped =
                    if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]
                    {
                        1 + rows[(i - 2) * width + j - 2]
                    } else {
                        usize::MAX
                    };
                replaced.min(edited).min(swapped)
            };
        }
    }
    rows[left.len() * width + right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_word_and_another_word_finds_nothing() {
        let keys = [
            "listen",
            "admin",
            "shards",
            "body_bytes_max",
            "call_deadline",
        ];
        for (typed, meant) in [
            ("lisen", Some("listen")),
            ("shard", Some("shards")),
            ("bodyBytesMax", Some("body_bytes_max")),
            ("call-deadlien", Some("call_deadline")),
            ("upstreams", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
    }
}
