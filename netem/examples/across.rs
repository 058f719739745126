//! Runs a command across a link, without the rest of the lab:
//! `across BACKEND RTT [RATE] [--server CMD] -- CMD...`

use samepath_model::link::LinkSpec;
use samepath_netem::shell::{LinkPlan, run};

fn main() {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let at = arguments.iter().position(|word| word == "--").expect("a command after --");
    let command = arguments.split_off(at + 1);
    let words: Vec<String> = arguments.into_iter().map(|word| word.into_string().expect("plain words")).collect();
    let mut words = words.into_iter();
    let backend = words.next().expect("a backend").parse().expect("a backend");
    let mut spec = LinkSpec::default();
    let mut server_command = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value");
        match word.as_str() {
            "--rtt" => spec.rtt = Some(value().parse().expect("a time")),
            "--rate" => spec.rate = Some(value().parse().expect("a rate")),
            "--loss" => spec.loss = Some(value().parse().expect("a loss rule")),
            "--server" => server_command = Some(value()),
            _ => break,
        }
    }
    let link = spec.resolve().expect("a link that can be");
    let plan = LinkPlan { link, seed: 1, backend, server_command, command, ledger: None, quiet: false };
    match run(plan) {
        Ok(status) => std::process::exit(status),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
