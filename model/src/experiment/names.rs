//! Names in experiments: what they may consist of, and whether one is there twice.

/// Whether it may name an experiment, a part or a flow: a-z, A-Z, 0-9 and hyphens, at most 64 of them.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The first that is there before, and its place.
pub(super) fn first_repeated<T: PartialEq + Clone>(items: &[T]) -> Option<(usize, T)> {
    items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)).map(|(i, item)| (i, item.clone()))
}
