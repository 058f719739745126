//! Filters: which packets the conditions of a direction apply to.
//!
//! In words of pcap-filter(7), of which this is a part: `udp port 443`, `not tcp`, `dst port 53 or icmp`,
//! `tcp and greater 1000`, `flow 2`. Words beside each other are joined by `and`, which binds closer than `or`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ConditionError;
use crate::units::{ByteCount, serde_as_text};

/// Which packets the conditions of a direction apply to. All others pass as if there were none.
///
/// A later fragment of a datagram has no ports of its own; it is taken for what the first one was. Where that has not
/// been seen, no `port` and no `flow` matches it.
#[derive(Debug, Clone)]
pub struct Filter {
    /// As it was written, with single spaces.
    text: String,
    /// What it means.
    pub rule: Rule,
}

/// What a filter asks of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Nothing.
    All,
    /// This protocol above IP (and its extension headers).
    Protocol(u8),
    /// ICMP or ICMPv6.
    Icmp,
    /// IP of this version.
    Version(u8),
    /// A port in this range, both ends included.
    Port(Side, u16, u16),
    /// This address.
    Host(Side, IpAddr),
    /// So many bytes of IP packet, both ends included.
    Size(u64, u64),
    /// One of these flows, counted from 1: see [`Rule::numbers_flows`].
    Flow(u64, u64),
    /// The contrary.
    Not(Box<Rule>),
    /// All of these.
    And(Vec<Rule>),
    /// One of these, at least.
    Or(Vec<Rule>),
}

/// Of which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// One or the other.
    Either,
    /// The one who sent the packet.
    Source,
    /// The one it is for.
    Destination,
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// Bytes of the IP packet.
    pub size: u32,
    /// Protocol above IP.
    pub protocol: u8,
    /// Source and destination.
    pub addresses: Option<[IpAddr; 2]>,
    /// Source's and destination's, where the protocol has ports and they are known.
    pub ports: Option<[u16; 2]>,
    /// The number of its flow, from 1, where it has one and the rule asks for it.
    pub flow: Option<u64>,
}

impl Rule {
    /// Whether a packet is what the rule asks for.
    pub fn holds(&self, looks: &Looks) -> bool {
        match self {
            Rule::All => true,
            Rule::Protocol(protocol) => looks.protocol == *protocol,
            Rule::Icmp => matches!(looks.protocol, 1 | 58),
            Rule::Version(version) => {
                looks.addresses.is_some_and(|[source, _]| if source.is_ipv4() { *version == 4 } else { *version == 6 })
            }
            Rule::Port(side, from, to) => {
                looks.ports.is_some_and(|ports| side.one_of(ports, |port| (*from..=*to).contains(&port)))
            }
            Rule::Host(side, host) => {
                looks.addresses.is_some_and(|addresses| side.one_of(addresses, |address| address == *host))
            }
            Rule::Size(from, to) => (*from..=*to).contains(&u64::from(looks.size)),
            Rule::Flow(from, to) => looks.flow.is_some_and(|flow| (*from..=*to).contains(&flow)),
            Rule::Not(rule) => !rule.holds(looks),
            Rule::And(rules) => rules.iter().all(|rule| rule.holds(looks)),
            Rule::Or(rules) => rules.iter().any(|rule| rule.holds(looks)),
        }
    }

    /// Whether it asks for the numbers of flows. The flows (two addresses and two ports) of a direction and protocol
    /// are numbered from 1, in the order in which their first packets come.
    pub fn numbers_flows(&self) -> bool {
        self.asks(&|rule| matches!(rule, Rule::Flow(..)))
    }

    /// Whether it asks for ports, which later fragments have not.
    pub fn asks_for_ports(&self) -> bool {
        self.asks(&|rule| matches!(rule, Rule::Port(..) | Rule::Flow(..)))
    }

    fn asks(&self, what: &dyn Fn(&Rule) -> bool) -> bool {
        match self {
            Rule::Not(rule) => rule.asks(what),
            Rule::And(rules) | Rule::Or(rules) => rules.iter().any(|rule| rule.asks(what)),
            rule => what(rule),
        }
    }
}

impl Side {
    fn one_of<T: Copy>(self, [source, destination]: [T; 2], is_it: impl Fn(T) -> bool) -> bool {
        match self {
            Side::Either => is_it(source) || is_it(destination),
            Side::Source => is_it(source),
            Side::Destination => is_it(destination),
        }
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.rule == other.rule
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Filter {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut reader = Reader { words: &words };
        let read = reader.either().and_then(|rule| match reader.words.first() {
            None => Ok(rule),
            Some(word) => Err(format!("`{word}` stands where nothing more was expected")),
        });
        let fail = |problem| ConditionError::Filter { input: text.to_owned(), problem };
        let text = words.join(" ").replace("( ", "(").replace(" )", ")");
        read.map(|rule| Filter { text, rule }).map_err(fail)
    }
}

serde_as_text!(Filter);

/// The words that are still to be read.
struct Reader<'a> {
    words: &'a [&'a str],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, words: &[&str]) -> bool {
        let is_it = self.words.first().is_some_and(|word| words.contains(word));
        if is_it {
            self.next();
        }
        is_it
    }

    fn either(&mut self) -> Result<Rule, String> {
        let mut rules = vec![self.all()?];
        while self.take(&["or", "||"]) {
            rules.push(self.all()?);
        }
        Ok(if rules.len() == 1 { rules.remove(0) } else { Rule::Or(rules) })
    }

    fn all(&mut self) -> Result<Rule, String> {
        let mut rules = vec![self.one()?];
        loop {
            let is_joined = self.take(&["and", "&&"]);
            if !is_joined && matches!(self.words.first(), None | Some(&("or" | "||" | ")"))) {
                break;
            }
            rules.push(self.one()?);
        }
        Ok(if rules.len() == 1 { rules.remove(0) } else { Rule::And(rules) })
    }

    fn one(&mut self) -> Result<Rule, String> {
        let word = self.next().ok_or("a word is missing")?;
        Ok(match word {
            "not" | "!" => Rule::Not(Box::new(self.one()?)),
            "(" => {
                let rule = self.either()?;
                if self.next() != Some(")") {
                    return Err("a `)` is missing".into());
                }
                rule
            }
            "all" => Rule::All,
            "tcp" => Rule::Protocol(6),
            "udp" => Rule::Protocol(17),
            "icmp" => Rule::Icmp,
            "icmp6" => Rule::Protocol(58),
            "ip" => Rule::Version(4),
            "ip6" => Rule::Version(6),
            "proto" => {
                let number = self.next().ok_or("`proto` needs a number, as `proto 132`")?;
                Rule::Protocol(number.parse().map_err(|_| format!("`{number}` is no protocol's number (0 to 255)"))?)
            }
            "src" => self.of(Side::Source)?,
            "dst" => self.of(Side::Destination)?,
            "port" | "portrange" | "host" => {
                self.words_before(word)?;
                self.named(Side::Either, word)?
            }
            "less" => Rule::Size(0, self.bytes(word)?),
            "greater" => Rule::Size(self.bytes(word)?, u64::MAX),
            "size" => {
                let text = self.next().ok_or("`size` needs bytes, as `size 100-1400`")?;
                let (from, to) = text.split_once('-').unwrap_or((text, text));
                let [from, to] = [bytes(from)?, bytes(to)?];
                if from > to {
                    return Err(format!("`size {text}` ends before it starts"));
                }
                Rule::Size(from, to)
            }
            "flow" => {
                let (from, to) = self.range(word, "flow 2")?;
                if from == 0 {
                    return Err("flows are counted from 1".into());
                }
                Rule::Flow(from, to)
            }
            other => {
                return Err(format!(
                    "`{other}` is no word of a filter; there are: tcp, udp, icmp, icmp6, ip, ip6, proto N, [src|dst] \
                     port N[-M], [src|dst] host ADDRESS, less N, greater N, size N[-M], flow N[-M], all, not, and, or, \
                     ( )"
                ));
            }
        })
    }

    /// What follows a word that needs something.
    fn words_before(&self, word: &str) -> Result<(), String> {
        if self.words.is_empty() { Err(format!("`{word}` needs a value behind it")) } else { Ok(()) }
    }

    fn of(&mut self, side: Side) -> Result<Rule, String> {
        match self.next() {
            Some(word @ ("port" | "portrange" | "host")) => self.named(side, word),
            _ => Err("`src` and `dst` stand before `port` or `host`, as `dst port 443`".into()),
        }
    }

    fn named(&mut self, side: Side, word: &str) -> Result<Rule, String> {
        if word == "host" {
            let address = self.next().ok_or("`host` needs an address")?;
            return match address.parse() {
                Ok(address) => Ok(Rule::Host(side, address)),
                Err(_) => Err(format!("`{address}` is no IP address (names are not looked up)")),
            };
        }
        let (from, to) = self.range(word, "port 443")?;
        let port = |n: u64| u16::try_from(n).ok().filter(|n| *n > 0).ok_or(format!("`{n}` is no port (1 to 65535)"));
        Ok(Rule::Port(side, port(from)?, port(to)?))
    }

    /// `N` or `N-M`.
    fn range(&mut self, word: &str, example: &str) -> Result<(u64, u64), String> {
        let fail = |text: &str| format!("`{word} {text}`: write a number or two, as `{example}` or `{example}-999`");
        let text = self.next().ok_or_else(|| fail(""))?;
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (Ok(from), Ok(to)) = (from.parse(), to.parse()) else { return Err(fail(text)) };
        if from > to {
            return Err(format!("`{word} {text}` ends before it starts"));
        }
        Ok((from, to))
    }

    fn bytes(&mut self, word: &str) -> Result<u64, String> {
        bytes(self.next().ok_or(format!("`{word}` needs a number of bytes"))?)
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    text.parse::<ByteCount>().map(ByteCount::bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(protocol: u8, ports: [u16; 2], size: u32) -> Looks {
        let addresses = Some(["198.18.0.1".parse().unwrap(), "198.18.0.2".parse().unwrap()]);
        let ports = Some(ports).filter(|ports| *ports != [0, 0]);
        Looks { size, protocol, addresses, ports, flow: None }
    }

    fn holds(filter: &str, looks: &Looks) -> bool {
        let filter: Filter = filter.parse().unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter, "{filter}");
        filter.rule.holds(looks)
    }

    #[test]
    fn words_mean_what_they_mean_elsewhere() {
        let (quic, tcp, ping) = (looks(17, [50_000, 443], 1200), looks(6, [443, 50_000], 1500), looks(1, [0, 0], 84));
        for (filter, expected) in [
            ("udp", [true, false, false]),
            ("udp port 443", [true, false, false]),
            ("udp and port 443", [true, false, false]),
            ("port 443", [true, true, false]),
            ("src port 443", [false, true, false]),
            ("dst port 400-500", [true, false, false]),
            ("portrange 400-500", [true, true, false]),
            ("icmp", [false, false, true]),
            ("not udp", [false, true, true]),
            ("! (udp or icmp)", [false, true, false]),
            ("not (udp || icmp)", [false, true, false]),
            ("udp or tcp and less 100", [true, false, false]),
            ("(udp or tcp) and greater 1300", [false, true, false]),
            ("size 80-1200", [true, false, true]),
            ("size 1500B", [false, true, false]),
            ("host 198.18.0.1", [true, true, true]),
            ("dst host 198.18.0.1", [false, false, false]),
            ("ip", [true, true, true]),
            ("ip6", [false, false, false]),
            ("proto 6", [false, true, false]),
            ("all", [true, true, true]),
            ("not port 1", [true, true, true]),
            ("flow 1", [false, false, false]),
        ] {
            assert_eq!([&quic, &tcp, &ping].map(|looks| holds(filter, looks)), expected, "{filter}");
        }
        let second = Looks { flow: Some(2), ..quic };
        assert!(holds("udp flow 2", &second) && holds("flow 2-5", &second) && !holds("flow 3-5", &second));
        let rule = |text: &str| text.parse::<Filter>().unwrap().rule;
        assert!(rule("udp and not flow 2").numbers_flows() && !rule("udp port 2").numbers_flows());
        assert!(rule("tcp or flow 2").asks_for_ports() && !rule("udp less 90").asks_for_ports());
    }

    #[test]
    fn nonsense_is_named_with_what_there_is() {
        for (filter, words) in [
            ("", "a word is missing"),
            ("sctp", "`sctp` is no word of a filter; there are: tcp"),
            ("port", "`port` needs a value"),
            ("port x", "`port x`: write a number"),
            ("port 0", "no port"),
            ("port 70000", "no port"),
            ("port 500-400", "ends before it starts"),
            ("src 443", "as `dst port 443`"),
            ("host example.org", "no IP address"),
            ("udp and", "a word is missing"),
            ("udp or", "a word is missing"),
            ("(udp", "`)` is missing"),
            ("udp)", "nothing more was expected"),
            ("proto 300", "protocol's number"),
            ("greater x", "byte count"),
            ("size 9-8", "ends before"),
            ("flow 0", "from 1"),
        ] {
            let error = filter.parse::<Filter>().expect_err(filter).to_string();
            assert!(
                error.contains(words) && error.contains(&format!("`{filter}` is not a filter")),
                "{filter}: {error}"
            );
        }
    }
}
