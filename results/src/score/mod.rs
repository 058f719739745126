//! Scores: what is asked of a workload, and how it is answered.
//!
//! A workload's score is a file here: the figures that say something of it, its sentences and its charts. [`of`] is the
//! one list.

mod bulk;
mod definition;
mod frames;
mod messages;
mod rpc;
mod voice;

use samepath_model::Workload;

use crate::part::PartView;

pub(crate) use definition::Score;

/// The score of a part.
pub(crate) fn of(part: &PartView<'_>) -> &'static Score {
    of_workload(&part.cells[0].plan.workload)
}

/// The score of a workload; of several, that of the one that the others are beside.
pub(crate) fn of_workload(workload: &Workload) -> &'static Score {
    match workload.scored() {
        Workload::Bulk(bulk) => bulk::of(bulk),
        Workload::Messages(_) | Workload::Mix(_) => &messages::SCORE,
        Workload::Rpc(_) => &rpc::SCORE,
        Workload::Voice(_) => &voice::SCORE,
        Workload::VideoCall(_) => &frames::VIDEO_CALL,
        Workload::CloudGaming(_) => &frames::CLOUD_GAMING,
    }
}

#[cfg(test)]
mod tests {
    use crate::chart;

    #[test]
    fn the_charts_of_every_score_are_there() {
        let known: Vec<&str> = chart::ALL.iter().map(|chart| chart.name).collect();
        for workload in [
            "kind = 'bulk'\nduration = '1s'",
            "kind = 'bulk'\nbytes = '1kB'",
            "kind = 'bulk'\nbytes = '1MB'",
            "kind = 'messages'\ncount = 1",
            "kind = 'rpc'\noutstanding = 1\ncount = 1",
            "kind = 'voice'",
            "kind = 'video-call'",
            "kind = 'cloud-gaming'",
        ] {
            let score = super::of_workload(&toml::from_str(workload).unwrap());
            assert!(score.charts.iter().all(|chart| known.contains(chart)), "{workload}: {:?}", score.charts);
        }
    }
}
