//! What the tests of every crate share, and no part of the product.
//!
//! Tests that cannot run on a machine say so, and are counted as skipped.
//!
//! A running test has no way to tell libtest that it was skipped: it returns, and passes. So it says a line,
//! `skipped: TEST: REASON`, on stderr, and adds `TEST`, a tab and `REASON` to the file that the environment's
//! [`FILE`] names. `.ci/run` collects that file, counts, and compares it with `tests/skipped.txt`.
//!
//! In a test, [`skip!`]; where only a part of it cannot run (one backend of three), [`skip_part!`]. A helper that
//! decides for its callers takes the name of the test from [`test!`].

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// The variable of the environment that names the file.
pub const FILE: &str = "SAMEPATH_SKIPPED";

/// The path of the function in which it stands, with its crate: `command::link::ping_crosses`.
#[macro_export]
macro_rules! test {
    () => {{
        fn here() {}
        $crate::function(std::any::type_name_of_val(&here))
    }};
}

/// Says that the test in which it stands is skipped; the arguments are the reason, as for `format!`. The test must
/// return by itself.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => { $crate::skip($crate::test!(), format_args!($($reason)+)) };
}

/// Says that one part of the test in which it stands is skipped: the part's name, and the reason as for `format!`.
#[macro_export]
macro_rules! skip_part {
    ($part:expr, $($reason:tt)+) => { $crate::skip_part($crate::test!(), $part, format_args!($($reason)+)) };
}

/// Copies a program that is going to be run. In a process of its own: what another test starts meanwhile would inherit
/// a copy that this process holds open for writing, and the kernel runs no program that anybody may write (`ETXTBSY`).
///
/// # Panics
/// Where it cannot be copied.
pub fn copy_program(program: &Path, to: &Path) {
    let copied = Command::new("cp").args([program, to]).status().expect("there is `cp`");
    assert!(copied.success(), "cannot copy {} to {}", program.display(), to.display());
}

/// Says that this test is skipped.
///
/// # Panics
/// Where the file of the environment cannot be written: a skip must not get lost.
pub fn skip(test: &str, reason: impl Display) {
    eprintln!("skipped: {test}: {reason}");
    if let Some(file) = std::env::var_os(FILE) {
        note(Path::new(&file), test, &reason);
    }
}

/// Says that this part of the test is skipped, and the rest is not.
///
/// # Panics
/// As [`skip()`].
pub fn skip_part(test: &str, part: impl Display, reason: impl Display) {
    skip(&format!("{test} [{part}]"), reason);
}

/// The function that an item within it names as its own path.
#[doc(hidden)]
pub fn function(item: &'static str) -> &'static str {
    let function = item.rsplit_once("::").map_or(item, |(function, _)| function);
    function.split("::{{closure}}").next().unwrap_or(function)
}

/// Adds a line, in one write, so that tests in several processes do not mix theirs.
fn note(file: &Path, test: &str, reason: &impl Display) {
    let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut file| file.write_all(format!("{test}\t{reason}\n").as_bytes()))
        .unwrap_or_else(|error| panic!("{FILE}: cannot write to {}: {error}", file.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_knows_its_name_in_a_closure_too() {
        let name = "samepath_testing::tests::a_test_knows_its_name_in_a_closure_too";
        assert_eq!(test!(), name);
        let inside = || test!();
        assert_eq!(inside(), name);
    }

    #[test]
    fn every_skip_is_a_line_of_its_own() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("skipped");
        note(&file, "a::b", &"no\nTUN here ");
        note(&file, "a::c [netem]", &"none");
        let text = std::fs::read_to_string(&file).expect("it was written");
        assert_eq!(text, "a::b\tno TUN here\na::c [netem]\tnone\n");
    }
}
