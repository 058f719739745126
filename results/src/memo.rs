//! Values that are computed once, when they are first asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// The values computed so far, by their keys.
#[derive(Debug, Clone)]
pub(crate) struct Memo<K, V>(RefCell<BTreeMap<K, V>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Memo<K, V> {
        Memo(RefCell::default())
    }
}

impl<K: Ord, V: Clone> Memo<K, V> {
    /// The value of a key, computed where nobody has asked for it before.
    pub(crate) fn get(&self, key: K, compute: impl FnOnce() -> V) -> V {
        let known = self.0.borrow().get(&key).cloned();
        known.unwrap_or_else(|| {
            let value = compute();
            self.0.borrow_mut().insert(key, value.clone());
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_value_is_computed_once() {
        let (memo, computed) = (Memo::default(), Cell::new(0));
        let square = |n: u32| {
            memo.get(n, || {
                computed.set(computed.get() + 1);
                n * n
            })
        };
        assert_eq!([square(3), square(4), square(3)], [9, 16, 9]);
        assert_eq!(computed.get(), 2);
    }
}
