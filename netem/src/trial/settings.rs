//! What settings that were not granted mean for a trial.

use samepath_model::record::{EndReport, Setting};
use samepath_model::setting::{OF_SERVER, SettingKind};
use samepath_model::{Tolerance, VoidKind, VoidReason};

/// The kernel setting that bounds TCP's send buffer.
const SEND_BUFFER: &str = "net.ipv4.tcp_wmem";

/// Share of its time that a sender may wait for a send buffer that is smaller than was asked for.
const MOST_WAITED: f64 = 0.01;

/// What is said against a trial whose ends and link have these settings: each that decides the comparison, was asked
/// for and is not in force, unless the experiment allows it; and a buffer that is too small, where the sender waited
/// for it. (A receive buffer that was too small shows in what it dropped.)
pub(super) fn verdict(ends: &[(String, &EndReport)], link: &[Setting], tolerance: &Tolerance) -> Vec<VoidReason> {
    let allowed = |name: &str| {
        let name = name.strip_prefix(OF_SERVER).unwrap_or(name);
        tolerance.ungranted.iter().any(|allowed| allowed.name() == name)
    };
    let of_ends =
        ends.iter().flat_map(|(end, report)| report.settings.iter().map(move |setting| (end.as_str(), setting)));
    let all = of_ends.chain(link.iter().map(|setting| ("link", setting)));
    let mut void: Vec<VoidReason> = all
        .filter(|(_, setting)| setting.kind == SettingKind::Equal && !allowed(&setting.name))
        .filter_map(|(whose, setting)| {
            let (name, asked) = (&setting.name, setting.refused()?);
            let words = format!(
                "the {whose}'s setting {name} is {} in place of {asked}, and arms must be equal in it; grant it (see \
                 `samepath doctor`), or allow it in the experiment with `ungranted` in [tolerance]",
                setting.effective
            );
            Some(VoidReason::new(VoidKind::Setting, words))
        })
        .collect();
    let small = link.iter().find(|setting| setting.name.ends_with(SEND_BUFFER) && setting.refused().is_some());
    for (end, report) in ends {
        let waited = report.buffer_limited_us.unwrap_or(0).saturating_mul(1_000) as f64 / report.wall_ns.max(1) as f64;
        if let Some(setting) = small.filter(|_| waited > MOST_WAITED) {
            let words = format!(
                "the {end} waited for its send buffer for {:.0} % of the time (bound {:.0} %): {} is {}, {} was asked",
                waited * 100.0,
                MOST_WAITED * 100.0,
                setting.name,
                setting.effective,
                setting.asked.as_deref().unwrap_or_default()
            );
            void.push(VoidReason::new(VoidKind::Setting, words));
        }
    }
    void
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(settings: Vec<Setting>, buffer_limited_us: Option<u64>) -> EndReport {
        EndReport { settings: settings.into(), wall_ns: 1_000_000_000, buffer_limited_us, ..EndReport::default() }
    }

    fn setting(name: &str, asked: &str, effective: &str) -> Setting {
        Setting::new(name, Some(asked.to_owned()), effective)
    }

    fn said(client: &EndReport, link: &[Setting], ungranted: &[&str]) -> String {
        let ungranted = ungranted.iter().map(|name| name.parse().expect("it decides a comparison")).collect();
        let tolerance = Tolerance { ungranted, ..Tolerance::default() };
        verdict(&[("client".into(), client), ("server".into(), &EndReport::default())], link, &tolerance)
            .iter()
            .map(|reason| reason.words.clone())
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn an_ungranted_setting_voids_unless_allowed() {
        let client = end(vec![setting("tcp.congestion-control", "cubic", "bbr")], None);
        let link = [setting("net.ipv4.tcp_comp_sack_nr", "0", "44 (could not be set: read-only file system)")];
        let told = said(&client, &link, &[]);
        assert!(told.contains("client's setting tcp.congestion-control is bbr in place of cubic"), "{told}");
        assert!(told.contains("link's setting net.ipv4.tcp_comp_sack_nr is 44 (could not"), "{told}");
        assert_eq!(said(&client, &link, &["tcp.congestion-control", "net.ipv4.tcp_comp_sack_nr"]), "");
        let server = [setting("server net.ipv4.tcp_sack", "1", "0")];
        assert!(said(&end(vec![], None), &server, &[]).contains("server net.ipv4.tcp_sack is 0"));
        assert_eq!(said(&end(vec![], None), &server, &["net.ipv4.tcp_sack"]), "");
    }

    #[test]
    fn a_limit_that_was_reached_voids_the_trial() {
        let client = |waited| end(vec![setting("udp.receive-buffer", "8388608", "212992")], Some(waited));
        let small = [setting("net.ipv4.tcp_wmem", "4096 16384 6291456", "4096 16384 65536")];
        assert_eq!(said(&client(9_000), &small, &[]), "", "it was large enough");
        let told = said(&client(200_000), &small, &[]);
        assert!(told.contains("client waited for its send buffer for 20 %") && told.contains("65536"), "{told}");
        let granted = [setting("net.ipv4.tcp_wmem", "4096 16384 6291456", "4096 16384 6291456")];
        assert_eq!(said(&client(200_000), &granted, &[]), "", "it has what was asked for");
    }
}
