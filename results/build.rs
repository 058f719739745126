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
    let mut code = String::from("const DEPENDENCIES: &[(&str, &str)] = &[\n");
    for (name, version) in versions(&lock) {
        writeln!(code, "    ({name:?}, {version:?}),").expect("a string grows");
    }
    code.push_str("];\n");
    let out = Path::new(&std::env::var("OUT_DIR").expect("cargo sets it")).join("dependencies.rs");
    std::fs::write(out, code).expect("cargo gives a writable directory");
}

/// Name and version of each named package; nothing where there is no lock file (a packaged crate).
fn versions(lock: &Path) -> Vec<(String, String)> {
    let Ok(text) = std::fs::read_to_string(lock) else { return Vec::new() };
    let table: toml::Table = text.parse().expect("Cargo.lock is TOML");
    let packages = table.get("package").and_then(|p| p.as_array()).cloned().unwrap_or_default();
    packages
        .iter()
        .filter_map(|package| Some((package.get("name")?.as_str()?, package.get("version")?.as_str()?)))
        .filter(|(name, _)| NAMED.contains(name))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}
