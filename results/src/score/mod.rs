//! Scores: what is asked of a workload, and how it is answered.
//!
//! A workload's score is a file here: the figures that say something of it, its sentences and its charts. [`of`] is the
//! one list.

mod bulk;
mod chat;
mod compression;
mod connect;
mod definition;
mod fan_out;
mod frames;
mod game_state;
mod messages;
mod page;
mod payment;
mod query;
mod rpc;
mod video_on_demand;
mod voice;
mod writes;

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
        Workload::FanOut(_) => &fan_out::SCORE,
        Workload::Connect(_) => &connect::SCORE,
        Workload::Writes(_) => &writes::SCORE,
        Workload::Query(_) => &query::SCORE,
        Workload::Payment(_) => &payment::SCORE,
        Workload::Chat(_) => &chat::SCORE,
        Workload::GameState(_) => &game_state::SCORE,
        Workload::Page(_) => &page::SCORE,
        Workload::VideoOnDemand(_) => &video_on_demand::SCORE,
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
            "kind = 'fan-out'\noutstanding = 1\ncount = 1",
            "kind = 'connect'\noutstanding = 1\ncount = 1",
            "kind = 'writes'",
            "kind = 'game-state'\ncount = 1",
            "kind = 'query'\ncount = 1",
            "kind = 'payment'\ncount = 1",
            "kind = 'chat'\nduration = '1s'",
            "kind = 'page'",
            "kind = 'video-on-demand'",
            "kind = 'voice'",
            "kind = 'video-call'",
            "kind = 'cloud-gaming'",
        ] {
            let score = super::of_workload(&toml::from_str(workload).unwrap());
            assert!(score.charts.iter().all(|chart| known.contains(chart)), "{workload}: {:?}", score.charts);
        }
    }
}
