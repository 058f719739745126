//! Resolution of a link's specification: every value decided, impossible ones refused.

use super::filter::Rule;
use super::{
    Aqm, Blackhole, Change, ConditionError, Conditions, ConditionsSpec, DEFAULT_QUEUE, Direction, Distribution,
    Framing, Generator, Link, LinkSpec, NETEM_LIMIT, Pause, RateTrace, Slot, TraceForm,
};
use crate::units::{BitRate, Duration};

/// The smallest MTU. Linux's TCP sends no segment below 48 bytes with its options (`tcp_min_snd_mss`), which take 88
/// with the headers of IPv4 and TCP; probes take 100.
pub const MIN_MTU: u16 = 100;

/// Longer delays than this are surely a slip of the unit.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(60);

impl ConditionsSpec {
    /// Decides every value of one direction.
    fn decide(self, generator: Generator) -> Conditions {
        let has_bottleneck = self.rate.is_some() || self.rate_trace.is_some();
        let netem = generator == Generator::Netem;
        Conditions {
            filter: self.filter,
            delay: self.delay.unwrap_or_default(),
            jitter: self.jitter.unwrap_or_default(),
            distribution: self.distribution.unwrap_or_default(),
            keep_order: self.keep_order.unwrap_or_default(),
            rate: self.rate,
            stopped: false,
            overhead: self.overhead.unwrap_or_default(),
            rate_trace: self.rate_trace,
            queue: (has_bottleneck && !netem).then(|| self.queue.unwrap_or(DEFAULT_QUEUE)),
            aqm: if has_bottleneck { self.aqm.unwrap_or_default() } else { Aqm::None },
            limit: self.limit.or(netem.then_some(NETEM_LIMIT)),
            slot: self.slot,
            loss: self.loss.unwrap_or_default(),
            ecn: self.ecn.unwrap_or_default(),
            duplicate: self.duplicate.unwrap_or_default(),
            corrupt: self.corrupt.unwrap_or_default(),
            reorder: self.reorder.unwrap_or_default(),
            blackhole: self.blackhole.unwrap_or_default(),
            bleach: self.bleach.unwrap_or_default(),
            drops: self.drop,
            outages: self.outage,
            changes: self.change,
        }
    }
}

impl LinkSpec {
    /// Decides every value.
    ///
    /// # Errors
    /// Names the conditions that cannot be, and what to write instead.
    pub fn resolve(&self) -> Result<Link, ConditionError> {
        let impossible = |problem: String| Err(ConditionError::Impossible(problem));
        if self.rtt.is_some() && self.delay.is_some() {
            return impossible("`rtt` (half each way) and `delay` (each way) exclude each other; give one".into());
        }
        let base = match &self.profile {
            None => LinkSpec::default(),
            Some(name) => crate::profile::find(name).map_err(ConditionError::Impossible)?,
        };
        let mtu = self.mtu.or(base.mtu).unwrap_or(1500);
        if mtu < MIN_MTU {
            return impossible(format!("an `mtu` of {mtu} is too small for TCP; give at least {MIN_MTU}"));
        }
        let generator = self.generator.or(base.generator).unwrap_or_default();
        let decide = |own: &ConditionsSpec, of_profile: &ConditionsSpec, direction: Direction| {
            let said = own.clone().in_place_of(self.both());
            let mut of_base = of_profile.clone().in_place_of(base.both());
            if generator == Generator::Netem {
                of_base.queue = None;
            }
            let spec = said.clone().in_place_of(of_base);
            refuse_excluding(&said, &spec, generator, direction)?;
            Ok::<_, ConditionError>(spec.decide(generator))
        };
        let link = Link {
            up: decide(&self.up, &base.up, Direction::Up)?,
            down: decide(&self.down, &base.down, Direction::Down)?,
            mtu,
            loss_key: self.loss_key.or(base.loss_key).unwrap_or_default(),
            generator,
            rebind: if self.rebind.is_empty() { base.rebind } else { self.rebind.clone() },
        };
        for direction in Direction::BOTH {
            let conditions = link.direction(direction);
            refuse_impossible(conditions, direction, None)?;
            for time in changed_at(conditions) {
                refuse_impossible(&conditions.at(time), direction, Some(time))?;
            }
            refuse_changes(conditions, generator, direction)?;
        }
        Ok(link)
    }
}

impl LinkSpec {
    /// Refuses words of `said` that do nothing in these conditions, `said` among them: whoever types them expects
    /// something. What runs have recorded is none of its business, so [`resolve`](Self::resolve) takes them.
    ///
    /// # Errors
    /// Names the word, and what to write instead.
    pub fn refuse_idle(&self, said: &LinkSpec) -> Result<(), ConditionError> {
        let impossible = |problem: String| Err(ConditionError::Impossible(problem));
        let base = match &self.profile {
            None => LinkSpec::default(),
            Some(name) => crate::profile::find(name).map_err(ConditionError::Impossible)?,
        };
        if said.loss_key.is_some() && self.generator.or(base.generator) == Some(Generator::Netem) {
            return impossible(
                "`loss-key` does not go with `generator` netem, whose draws follow from one packet to the next; leave \
                 `loss-key` out, or take `generator` counter"
                    .into(),
            );
        }
        let whole = |own: &ConditionsSpec, of_profile: &ConditionsSpec| {
            own.clone().over(self.both()).over(of_profile.clone().over(base.both()))
        };
        let (up, down) = (whole(&self.up, &base.up), whole(&self.down, &base.down));
        for (words, reached, place) in
            [(&said.both(), &[&up, &down][..], ""), (&said.up, &[&up], " (up)"), (&said.down, &[&down], " (down)")]
        {
            let says =
                |word: fn(&ConditionsSpec) -> bool| word(words) || words.change.iter().any(|change| word(&change.set));
            let holds = |needed: fn(&ConditionsSpec) -> bool| {
                reached.iter().any(|spec| needed(spec) || spec.change.iter().any(|change| needed(&change.set)))
            };
            if says(|spec| spec.distribution.is_some()) && !holds(|spec| spec.jitter.is_some()) {
                return impossible(format!(
                    "`distribution` without jitter{place}: add `jitter`, or leave `distribution` out"
                ));
            }
            if says(|spec| spec.keep_order == Some(true)) && !holds(|spec| spec.jitter.is_some()) {
                return impossible(format!(
                    "`keep-order` without jitter{place}, whose order it keeps: add `jitter`, or leave `keep-order` out"
                ));
            }
            let is_bare = reached.iter().all(|spec| {
                let rest = ConditionsSpec { filter: None, ..(**spec).clone() };
                rest.decide(Generator::Counter) == Conditions::transparent()
            });
            let tells_apart = words.filter.as_ref().is_some_and(|filter| filter.rule != Rule::All);
            if tells_apart && is_bare && self.rebind.is_empty() && base.rebind.is_empty() {
                return impossible(format!(
                    "`filter` without conditions{place} that it could keep from other packets: add some, or leave \
                     `filter` out"
                ));
            }
            let mtu = u64::from(self.mtu.or(base.mtu).unwrap_or(1500));
            if let Some(Blackhole::Above(bytes)) = words.blackhole.filter(|hole| !hole.swallows(mtu as u32)) {
                return impossible(format!(
                    "a `blackhole` above {bytes}{place} swallows nothing where the largest packet has {mtu} bytes (`mtu`): \
                     give less, as 1300B"
                ));
            }
            if says(|spec| spec.ecn == Some(true)) && !holds(|spec| spec.loss.is_some()) {
                return impossible(format!(
                    "`ecn` without loss{place}, in whose place it marks: add `loss`, or leave `ecn` out (`aqm` marks by \
                     itself: `codel ecn`, `threshold SIZE`)"
                ));
            }
        }
        Ok(())
    }
}

/// Refuses conditions that exclude each other: `said` is what was typed, `spec` with the profile's.
fn refuse_excluding(
    said: &ConditionsSpec,
    spec: &ConditionsSpec,
    generator: Generator,
    direction: Direction,
) -> Result<(), ConditionError> {
    let impossible = |problem: String| Err(ConditionError::Impossible(problem));
    if let Some(RateTrace::File { path, .. }) = &spec.rate_trace {
        return impossible(format!("the rate trace `{path}` has not been read"));
    }
    if let Some(Distribution::File(path)) = &spec.distribution {
        return impossible(format!("the table of delays `{path}` has not been read"));
    }
    if let Some(Slot { pause: Pause::Distributed { distribution: Distribution::File(path), .. }, .. }) = &spec.slot {
        return impossible(format!("the table of pauses `{path}` has not been read"));
    }
    if said.rate.is_some() && said.rate_trace.is_some() {
        return impossible(format!("`rate` and `rate-trace` exclude each other ({direction}); give one"));
    }
    let has_bottleneck = spec.rate.is_some() || spec.rate_trace.is_some();
    for (name, there) in [
        ("queue", said.queue.is_some()),
        ("aqm", said.aqm.is_some_and(|aqm| aqm != Aqm::None)),
        ("overhead", said.overhead.is_some()),
    ] {
        if there && !has_bottleneck {
            return impossible(format!("`{name}` without a rate ({direction}): add `rate`, or leave `{name}` out"));
        }
    }
    let mahimahi = spec.rate_trace.as_ref().and_then(RateTrace::read).filter(|t| *t.form() == TraceForm::Mahimahi);
    if spec.overhead.is_some_and(|overhead| overhead != Framing::default()) && spec.rate.is_none() && mahimahi.is_some()
    {
        return impossible(format!(
            "`overhead` does not go with a `rate-trace` in mahimahi's form ({direction}), whose opportunities have a \
             size of their own; leave one out"
        ));
    }
    if generator == Generator::Netem {
        if let Some(Slot { pause: Pause::Distributed { distribution, .. }, .. }) = &spec.slot
            && *distribution != Distribution::Uniform
        {
            return impossible(format!(
                "`slot` by a table does not go with `generator` netem ({direction}): the kernel takes a draw from the \
                 seeded sequence at the instant at which a slot opens, so what the seed decides depends on time; write \
                 the shortest and the longest pause, or take `generator` counter"
            ));
        }
        for (name, there) in [
            ("queue", said.queue.is_some()),
            ("aqm", spec.aqm.is_some_and(|aqm| aqm != Aqm::None)),
            ("rate-trace", spec.rate_trace.is_some()),
        ] {
            if there {
                return impossible(format!(
                    "netem has no `{name}` ({direction}): leave it out (netem's one queue has a `limit`), or take \
                     `generator` counter"
                ));
            }
        }
    }
    if spec.limit == Some(0) {
        return impossible(format!("a `limit` of 0 lets nothing pass ({direction}); give at least 1"));
    }
    Ok(())
}

/// Refuses conditions that no link can have, at the start or at a time.
fn refuse_impossible(c: &Conditions, direction: Direction, at: Option<Duration>) -> Result<(), ConditionError> {
    let place = at.map_or(direction.to_string(), |at| format!("{direction}, from {at}"));
    let impossible = |problem: String| Err(ConditionError::Impossible(problem));
    if c.jitter.spread > c.delay {
        return impossible(format!(
            "a jitter of {} is more than the delay of {} ({place}): a packet cannot arrive before it was sent",
            c.jitter.spread, c.delay
        ));
    }
    if !c.reorder.is_never() && c.delay == Duration::ZERO {
        return impossible(format!("reordering needs a delay to skip ({place}): add `rtt` or `delay`"));
    }
    if !c.reorder.is_never() && c.keep_order {
        return impossible(format!("`reorder` and `keep-order` exclude each other ({place}); leave one out"));
    }
    if c.delay > MAX_DELAY {
        return impossible(format!("a delay of {} ({place}); at most {MAX_DELAY} is possible", c.delay));
    }
    Ok(())
}

/// When changes have set what they set; of those that come again, so often that what they make of each other is seen.
fn changed_at(c: &Conditions) -> impl Iterator<Item = Duration> {
    const TIMES: u64 = 20;
    c.changes.iter().flat_map(|change| {
        let again = change.every.map_or(0..1, |_| 0..TIMES);
        again.flat_map(|n| {
            let at = change.at + change.every.unwrap_or_default() * n;
            [at, at + change.span()]
        })
    })
}

/// Refuses changes that make no sense of what holds before them.
fn refuse_changes(c: &Conditions, generator: Generator, direction: Direction) -> Result<(), ConditionError> {
    let impossible = |change: &Change, problem: &str| {
        Err(ConditionError::Impossible(format!("the change `{change}` ({direction}): {problem}")))
    };
    for change in &c.changes {
        let set = &change.set;
        if set.rate.is_some() && c.rate_trace.is_some() {
            return impossible(change, "the rate follows a trace; leave `rate` out");
        }
        if set.rate == Some(BitRate::new(0)) && generator == Generator::Netem {
            return impossible(change, "netem has no rate of 0; say `outage`, or take `generator` counter");
        }
        if set.rate == Some(BitRate::new(0)) && c.rate.is_none() {
            return impossible(change, "there is no rate whose queue could fill; add `rate`, or say `outage`");
        }
        if set.rate.is_some() && c.rate.is_none() && change.until.is_some() {
            return impossible(change, "there is no rate to start from; add `rate`");
        }
        if (set.queue.is_some() || set.aqm.is_some() || set.overhead.is_some())
            && c.mean_rate().is_none()
            && set.rate.is_none()
        {
            return impossible(change, "a queue without a rate; add `rate`");
        }
        if generator == Generator::Netem && (set.queue.is_some() || set.aqm.is_some()) {
            return impossible(change, "netem has no queue apart from its delay; leave it out");
        }
        if let Some(Distribution::File(path)) = &set.distribution {
            return impossible(change, &format!("the table of delays `{path}` has not been read"));
        }
    }
    Ok(())
}
