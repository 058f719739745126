//! The house rules that no compiler keeps: which crate may depend on which, that no modules depend on each other in a
//! circle, that nobody matches on an arm's transport, that names are the field's words, the licences of what is built
//! in, that every dependency says why it is there, and that an error tells its cause once.

mod arms;
mod modules;
mod words;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// The members' places, the root package's first.
const MEMBERS: [&str; 8] = ["", "model", "transport", "client", "server", "netem", "results", "testing"];

/// Which members each member may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("samepath-model", &[]),
    ("samepath-transport", &["samepath-model"]),
    ("samepath-client", &["samepath-model", "samepath-transport"]),
    ("samepath-server", &["samepath-model", "samepath-transport"]),
    ("samepath-netem", &["samepath-model"]),
    ("samepath-results", &["samepath-model"]),
    ("samepath-testing", &[]),
    ("samepath", &["samepath-model", "samepath-client", "samepath-server", "samepath-netem", "samepath-results"]),
];

/// Licences that may be built into a program under MIT or Apache-2.0.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "BSL-1.0",
    "Unlicense",
    "OpenSSL",
    "CDLA-Permissive-2.0",
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, as it built this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

#[test]
fn members_depend_only_as_the_design_allows() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let Some(may) = package["name"].as_str().and_then(|name| allowed.get(name)) else { continue };
        seen += 1;
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            // A crate's tests may hold both ends together; what is shipped may not.
            if name.starts_with("samepath") && dependency["kind"] != "dev" {
                assert!(may.contains(&name), "{} must not depend on {name}", package["name"]);
            }
        }
    }
    assert_eq!(seen, ALLOWED.len());
}

/// A QUIC stack is the affair of `transport`, and there of a folder in `stack`.
#[test]
fn transport_alone_depends_on_quinn() {
    let metadata = metadata();
    let mut seen = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !ALLOWED.iter().any(|(member, _)| *member == name) {
            continue;
        }
        // Those of tests, too.
        for dependency in package["dependencies"].as_array().unwrap() {
            let dependency = dependency["name"].as_str().unwrap();
            if matches!(dependency, "quinn" | "quinn-proto") {
                assert_eq!(name, "samepath-transport", "{name} must not depend on {dependency}");
                seen.push(dependency);
            }
        }
    }
    assert_eq!(seen, ["quinn", "quinn-proto"]);
}

/// Of `transport`, what lies outside a stack's folder knows of none, but for the one file that tells them apart.
#[test]
fn no_stack_outside_its_folder() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("transport/src");
    let apart = ["stack", "stack.rs", "connection.rs"].map(|name| source.join(name));
    let mut waiting = vec![source];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        if apart.contains(&path) {
            continue;
        }
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let names_one = |line: &&str| {
            let code = line.split("//").next().unwrap().replace("quinn_udp", "");
            code.contains("stack::") || code.contains("quinn")
        };
        let found: Vec<&str> = text.lines().filter(names_one).collect();
        assert!(found.is_empty(), "{}: a stack is told by `connection` alone: {found:?}", path.display());
    }
    assert!(seen > 30, "only {seen} files seen");
}

#[test]
fn no_modules_depend_on_each_other_in_a_circle() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let circles: Vec<String> = MEMBERS
        .iter()
        .flat_map(|member| {
            let said = |circle: Vec<modules::Name>| {
                let names: Vec<String> = circle.iter().map(|name| name.join("::")).collect();
                format!("{member}: {}", names.join(", "))
            };
            modules::circles(&root.join(member).join("src")).into_iter().map(said).collect::<Vec<_>>()
        })
        .collect();
    assert!(circles.is_empty(), "modules that depend on each other:\n{}", circles.join("\n"));
}

/// Who wants to know something of an arm asks its row, so that a new arm is a row.
#[test]
fn no_arm_is_known_by_its_transport() {
    /// Files below these places may match on transports and mappings.
    const ALLOWED: [(&str, &str); 3] = [
        ("model/src/arm", "makes the rows"),
        ("transport/src/", "makes the connections"),
        ("server/src/serve.rs", "says which port each transport has"),
    ];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let found: Vec<(String, String)> =
        MEMBERS.iter().flat_map(|member| arms::matched(&root.join(member).join("src"))).collect();
    let is_at = |file: &str, place: &str| file.starts_with(root.join(place).to_str().expect("a path in UTF-8"));
    for (place, why) in ALLOWED {
        assert!(found.iter().any(|(file, _)| is_at(file, place)), "{place}, which {why}, matches on none any more");
    }
    let refused: Vec<_> =
        found.iter().filter(|(file, _)| !ALLOWED.iter().any(|(place, _)| is_at(file, place))).collect();
    assert!(
        refused.is_empty(),
        "ask the arm's row (`model::arm::ArmRow`), with a column for what is asked: {refused:#?}"
    );
}

#[test]
fn sources_have_the_words_of_the_field() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let parts = ["src", "tests", "model", "transport", "client", "server", "netem", "results", "testing"];
    let found = words::forbidden(root, &parts);
    assert!(found.is_empty(), "words of our own, where the field has one:\n{}", found.join("\n"));
}

#[test]
fn every_dependency_has_a_licence_that_fits() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "only {} packages: the list is not whole", packages.len());
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        assert!(fits(licence), "{name} is under {licence}");
    }
}

/// Whether one of the alternatives of an SPDX expression lies wholly within what is allowed.
fn fits(expression: &str) -> bool {
    let parsed = spdx::Expression::parse_mode(expression, spdx::ParseMode::LAX)
        .unwrap_or_else(|error| panic!("{expression}: {error}"));
    parsed.evaluate(|requirement| LICENCES.contains(&requirement.to_string().as_str()))
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = include_str!("../../Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let mut seen = 0;
    for line in section.lines().filter(|line| line.contains(" = ") && !line.starts_with("samepath-")) {
        seen += 1;
        assert!(line.split(" # ").nth(1).is_some_and(|reason| reason.len() > 8), "no reason: {line}");
    }
    assert!(seen > 20, "only {seen} dependencies seen");
    for member in ["model", "transport", "client", "server", "netem", "results", "testing"] {
        let path = format!("{}/{member}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let named_here: Vec<&str> = text.lines().filter(|line| line.contains("version = \"")).collect();
        assert!(named_here.is_empty(), "{path}: name versions in the workspace, with their reason: {named_here:?}");
    }
}

#[test]
fn nothing_ends_because_nobody_reads_stderr() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left = vec![root.join("src"), root.join("netem/src")];
    let mut seen = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let panics = |line: &&str| !line.trim_start().starts_with("//") && line.contains("eprint");
        let found: Vec<&str> = text.lines().filter(panics).collect();
        assert!(found.is_empty(), "{}: take `samepath_netem::tell!`: {found:?}", path.display());
    }
    assert!(seen > 50, "only {seen} files seen");
}

/// An error that shows its cause in its own text must not give it to the chain as well, which is printed
/// too: what it shows is a field `cause`, and what the chain has is a field `source` or made by `from`.
#[test]
fn an_error_tells_its_cause_once() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let members = ["src", "model/src", "transport/src", "client/src", "server/src", "netem/src", "results/src"];
    let mut waiting: Vec<_> = members.iter().map(|member| root.join(member)).collect();
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for said in text.split("#[error(").skip(1) {
            seen += 1;
            let (message, rest) = said.split_once(")]").unwrap();
            let what = rest.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("//")).unwrap();
            let chained = what.contains("#[from]") || what.contains("#[source]");
            let twice =
                message.contains("{source") || message.contains("source)") || (message.contains("{0") && chained);
            assert!(!twice, "{}: #[error({message})] {what}", path.display());
        }
    }
    assert!(seen > 50, "only {seen} errors seen");
}

/// What is built in place of a published crate is that crate, but for the patch beside it; and what is said of it in
/// every record names the versions that are locked.
#[test]
fn a_patched_crate_differs_by_its_patch_alone() {
    use sha2::Digest as _;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let vendored = root.join("vendor/quinn-proto");
    let listed = std::fs::read_to_string(vendored.join("UNCHANGED.sha256")).unwrap();
    let mut known: Vec<&str> = Vec::new();
    for line in listed.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let bytes = std::fs::read(vendored.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, sum, "{name} is not as published; what is to be changed belongs into samepath.patch");
        known.push(name);
    }
    let ours = ["README.md", "PATCHED", "UNCHANGED.sha256", "samepath.patch"];
    let patch = std::fs::read_to_string(vendored.join("samepath.patch")).unwrap();
    let patched: Vec<&str> = patch.lines().filter_map(|line| line.strip_prefix("+++ b/")).collect();
    let mut waiting = vec![vendored.clone()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(&vendored).unwrap().to_str().unwrap();
        assert!(known.contains(&name) || ours.contains(&name) || patched.contains(&name), "{name} is unaccounted for");
    }
    // Each line that the patch adds is there, each that it takes away is not, in this order.
    for name in patched {
        let text = std::fs::read_to_string(vendored.join(name)).unwrap();
        let mut rest = text.as_str();
        for hunk in patch.split("\n@@ ").skip(1) {
            let lines = hunk.split_once('\n').unwrap().1.lines().filter(|line| !line.starts_with('-'));
            let after: String = lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect();
            let at = rest.find(&after).unwrap_or_else(|| panic!("{name} has not what the patch makes:\n{after}"));
            rest = &rest[at + after.len()..];
        }
    }

    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let locked = |package: &str| -> &str {
        let entry = lock.split(&format!("name = \"{package}\"\nversion = \"")).nth(1);
        entry.and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("{package} is not locked"))
    };
    let manifest = std::fs::read_to_string(vendored.join("Cargo.toml")).unwrap();
    let version = locked("quinn-proto");
    assert!(manifest.contains(&format!("version = \"{version}\"")), "the vendored crate is not version {version}");
    let stack = std::fs::read_to_string(root.join("transport/src/stack/quinn/config.rs")).unwrap();
    let said = format!("quinn {}, quinn-proto {version} patched: ", locked("quinn"));
    assert!(stack.contains(&said), "transport/src/stack/quinn/config.rs has to say `{said}`");
}

/// A test that cannot run here says so in one way, so that it is counted: `samepath_testing`.
#[test]
fn what_is_skipped_is_counted() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["src", "tests", "model", "transport", "client", "server", "netem", "results"];
    let mut waiting: Vec<_> = places.iter().map(|place| root.join(place)).collect();
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            seen += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let said = concat!("(\"skip", "ped");
            assert!(!text.contains(said), "{}: take `samepath_testing::skip!`", path.display());
        }
    }
    assert!(seen > 100, "only {seen} files seen");
}
