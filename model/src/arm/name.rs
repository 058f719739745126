//! The grammar of an arm's name: `[application/]transport[@stack][/mapping][+feature...]`.

use std::fmt;

use super::feature::{FEATURES, Features};
use super::table::{ARMS, ArmRow};

/// A name that is no arm's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ArmError {
    /// As typed.
    arm: String,
    part: Part,
    /// What stands there.
    unknown: String,
    /// What has no such part, as typed; empty where nothing has.
    of: String,
    /// What may stand there, or stand in the arm's place.
    choices: Vec<&'static str>,
}

/// A part of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Application,
    Transport,
    Stack,
    Mapping,
    Feature,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Part::Application => "application protocol",
            Part::Transport => "transport",
            Part::Stack => "stack",
            Part::Mapping => "mapping",
            Part::Feature => "feature",
        }
    }
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ArmError { arm, part, unknown, of, choices } = self;
        let part = part.name();
        write!(f, "there is no arm `{arm}`")?;
        if !of.is_empty() {
            write!(f, ": `{of}` has no {part} `{unknown}`")?;
        } else if arm != unknown {
            write!(f, ": there is no {part} `{unknown}`")?;
        }
        match choices.as_slice() {
            [] => write!(f, "; leave it out, for no {part} is built"),
            choices => write!(f, "; choose from: {}", choices.join(", ")),
        }
    }
}

/// Reads a name: the place of its row in [`ARMS`], and its features. A part that is left out is that of the first row
/// that has the parts before it.
pub(super) fn parse(arm: &str) -> Result<(usize, Features), ArmError> {
    let error = |part: Part, unknown: &str, of: &str, choices: Vec<&'static str>| ArmError {
        arm: arm.to_owned(),
        part,
        unknown: unknown.to_owned(),
        of: of.to_owned(),
        choices,
    };
    let (plain, features) = arm.split_once('+').map_or((arm, None), |(plain, features)| (plain, Some(features)));
    let features = features.into_iter().flat_map(|features| features.split('+'));

    let row = match ARMS.iter().position(|row| row.name == plain) {
        Some(row) => row,
        None => {
            let parts = Parts::of(plain);
            let mut rows: Vec<usize> = (0..ARMS.len()).collect();
            let all = || ARMS.iter().map(|row| row.name).collect();
            keep(&mut rows, parts.application, |row| row.application.name())
                .map_err(|choices| error(Part::Application, parts.application.unwrap_or_default(), "", choices))?;
            keep(&mut rows, Some(parts.transport), |row| row.transport.name())
                .map_err(|_| error(Part::Transport, parts.transport, "", all()))?;
            keep(&mut rows, parts.stack, |row| row.stack.name())
                .map_err(|choices| error(Part::Stack, parts.stack.unwrap_or_default(), parts.transport, choices))?;
            keep(&mut rows, parts.mapping, |row| row.mapping.name())
                .map_err(|choices| error(Part::Mapping, parts.mapping.unwrap_or_default(), parts.before, choices))?;
            rows[0]
        }
    };
    let features = Features::parse(features, FEATURES)
        .map_err(|unknown| error(Part::Feature, unknown, "", FEATURES.iter().map(|row| row.name).collect()))?;
    Ok((row, features))
}

/// A name taken apart, without its features.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    application: Option<&'a str>,
    transport: &'a str,
    stack: Option<&'a str>,
    mapping: Option<&'a str>,
    /// All before the mapping.
    before: &'a str,
}

impl<'a> Parts<'a> {
    fn of(plain: &'a str) -> Parts<'a> {
        let without_stack = |text: &'a str| text.split('@').next().unwrap_or_default();
        let is = |text: &str, column: fn(&ArmRow) -> &'static str| ARMS.iter().any(|row| column(row) == text);
        let is_transport = |text: &'a str| is(without_stack(text), |row| row.transport.name());
        let is_application = |text: &str| is(text, |row| row.application.name());

        // Of two names the first is a transport or its application protocol: whichever of them is known says which.
        let (application, rest) = match plain.split_once('/') {
            Some((first, rest))
                if !is_transport(first)
                    && (is_application(first) || rest.split('/').next().is_some_and(is_transport)) =>
            {
                (Some(first), rest)
            }
            _ => (None, plain),
        };
        let (carrier, mapping) =
            rest.split_once('/').map_or((rest, None), |(carrier, mapping)| (carrier, Some(mapping)));
        let (transport, stack) =
            carrier.split_once('@').map_or((carrier, None), |(transport, stack)| (transport, Some(stack)));
        let before = &plain[..plain.len() - mapping.map_or(0, |mapping| mapping.len() + 1)];
        Parts { application, transport, stack, mapping, before }
    }
}

/// Keeps the rows that have this in a column, or what the first one has; where none does, what they have instead.
fn keep(
    rows: &mut Vec<usize>,
    wanted: Option<&str>,
    column: fn(&ArmRow) -> &'static str,
) -> Result<(), Vec<&'static str>> {
    let mut choices: Vec<&'static str> = Vec::new();
    for &row in rows.iter() {
        let name = column(&ARMS[row]);
        if !choices.contains(&name) {
            choices.push(name);
        }
    }
    let wanted = wanted.unwrap_or(choices[0]);
    rows.retain(|&row| column(&ARMS[row]) == wanted);
    if rows.is_empty() { Err(choices) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str) -> String {
        parse(name).map_or_else(|error| error.to_string(), |(row, _)| ARMS[row].name.to_owned())
    }

    #[test]
    fn every_spelling_of_a_row_leads_to_it() {
        for (place, row) in ARMS.iter().enumerate() {
            let found = Ok((place, Features::default()));
            assert_eq!(parse(row.name), found, "{}", row.name);
            assert_eq!(parse(&row.spelled_out()), found, "{}", row.spelled_out());
            // No spelling that leads to it is shorter than its name.
            for left_out in 0..8 {
                let part = |bit: u8, text: String| if left_out & bit == 0 { text } else { String::new() };
                let spelling = part(1, format!("{}/", row.application))
                    + row.transport.name()
                    + &part(2, format!("@{}", row.stack))
                    + &part(4, format!("/{}", row.mapping));
                let leads_to_it = parse(&spelling) == found;
                assert!(!leads_to_it || spelling.len() >= row.name.len(), "{spelling} is {}", row.name);
            }
        }
        for (spelling, name) in [
            ("tcp/shared", "tcp"),
            ("raw/tcp", "tcp"),
            ("tls@rustls/per-stream", "tls/per-stream"),
            ("raw/quic@quinn", "quic"),
            ("quic/per-stream", "quic"),
            ("udp@kernel", "udp"),
        ] {
            assert_eq!(said(spelling), name, "{spelling}");
        }
    }

    #[test]
    fn an_unknown_part_is_named_with_the_known_ones() {
        let arms = "tcp, tcp/per-stream, tcp/per-message, tls, tls/per-stream, tls/per-message, \
                    quic, quic/shared, quic/per-message, quic/datagram, udp";
        for (name, message) in [
            ("sctp", format!("there is no arm `sctp`; choose from: {arms}")),
            ("", format!("there is no arm ``; choose from: {arms}")),
            ("TCP", format!("there is no arm `TCP`; choose from: {arms}")),
            ("sctp/shared", format!("there is no arm `sctp/shared`: there is no transport `sctp`; choose from: {arms}")),
            ("raw/sctp", format!("there is no arm `raw/sctp`: there is no transport `sctp`; choose from: {arms}")),
            (
                "gopher/tls/shared",
                "there is no arm `gopher/tls/shared`: there is no application protocol `gopher`; choose from: raw".into(),
            ),
            ("tcp@quinn", "there is no arm `tcp@quinn`: `tcp` has no stack `quinn`; choose from: kernel".into()),
            ("quic@", "there is no arm `quic@`: `quic` has no stack ``; choose from: quinn".into()),
            (
                "quic/pigeon",
                "there is no arm `quic/pigeon`: `quic` has no mapping `pigeon`; choose from: per-stream, shared, \
                 per-message, datagram"
                    .into(),
            ),
            (
                "raw/udp@kernel/shared",
                "there is no arm `raw/udp@kernel/shared`: `raw/udp@kernel` has no mapping `shared`; choose from: datagram"
                    .into(),
            ),
            (
                "tls/shared/shared",
                "there is no arm `tls/shared/shared`: `tls` has no mapping `shared/shared`; choose from: shared, \
                 per-stream, per-message"
                    .into(),
            ),
        ] {
            assert_eq!(said(name), message);
        }
    }

    #[test]
    fn an_unknown_feature_is_named_with_the_known_ones() {
        let built: Vec<&str> = FEATURES.iter().map(|row| row.name).collect();
        let remedy = match built.as_slice() {
            [] => "leave it out, for no feature is built".to_owned(),
            built => format!("choose from: {}", built.join(", ")),
        };
        for (name, feature) in [("tcp+teleport", "teleport"), ("quic/shared+", ""), ("raw/tls+ teleport", " teleport")]
        {
            let message = format!("there is no arm `{name}`: there is no feature `{feature}`; {remedy}");
            assert_eq!(said(name), message);
        }
    }
}
