//! Writes the versions of the dependencies that a measurement depends on into the program, so that
//! a manifest can name them without the source tree.

use std::fmt::Write as _;
use std::path::Path;

/// The packages whose version can change what is measured.
const NAMED: &[&str] =
    &["quinn", "quinn-proto", "quinn-udp", "rustls", "ring", "tokio", "tokio-rustls", "parquet", "plotters"];

fn main() {
    let lock = Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    println!("cargo::rerun-if-changed=../vendor");
    let mut code = String::from("const DEPENDENCIES: &[(&str, &str)] = &[\n");
    for (name, version) in versions(&lock) {
        writeln!(code, "    ({name:?}, {version:?}),").expect("a string grows");
    }
    code.push_str("];\n");
    let out = Path::new(&std::env::var("OUT_DIR").expect("cargo sets it")).join("dependencies.rs");
    std::fs::write(out, code).expect("cargo gives a writable directory");
}

/// Name and version of each named package, and what is changed in it where it is not built as published; nothing where
/// there is no lock file (a packaged crate). Cargo writes each
/// package's name and version as two lines that follow each other; to compile a parser of TOML for the build alone would
/// cost every first build some seconds.
fn versions(lock: &Path) -> Vec<(String, String)> {
    let Ok(text) = std::fs::read_to_string(lock) else { return Vec::new() };
    let value =
        |line: &str, key: &str| Some(line.strip_prefix(key)?.trim().strip_prefix('"')?.strip_suffix('"')?.to_owned());
    let lines: Vec<&str> = text.lines().collect();
    let found: Vec<(String, String)> = lines
        .windows(2)
        .filter_map(|pair| Some((value(pair[0], "name =")?, value(pair[1], "version =")?)))
        .filter(|(name, _)| NAMED.contains(&name.as_str()))
        .collect();
    for name in NAMED {
        assert!(found.iter().any(|(found, _)| found == name), "{name} is not in {}", lock.display());
    }
    let as_built = |(name, version): (String, String)| {
        let patched = std::fs::read_to_string(lock.with_file_name("vendor").join(&name).join("PATCHED"));
        let changed = patched.map(|what| format!(", patched: {}", what.trim())).unwrap_or_default();
        (name, version + &changed)
    };
    found.into_iter().map(as_built).collect()
}
