//! Marks of server restarts on panels whose x axis is the time since the epoch, in seconds.

use samepath_model::Trial;
use samepath_model::restart::Restart;

use super::axis::Panel;
use super::canvas::{Canvas, Rect, Stroke, Type};
use super::theme::{INK, MUTED, SMALL};

const KILLED: &[f64] = &[3.0, 2.0];

/// The sentence that explains the marks; `None` where there are none.
pub(super) fn note(plan: &Trial) -> Option<String> {
    (!plan.restarts.is_empty()).then(|| {
        "Grey: from when a server was killed until it was started again; what its sessions came to stands below.".into()
    })
}

/// Marks the restarts of a trial.
pub(super) fn mark(canvas: &mut Canvas<'_>, panel: &Panel, plan: &Trial) {
    for Restart { flow, at, downtime } in &plan.restarts {
        let span = [at.as_secs_f64(), (*at + *downtime).as_secs_f64()].map(|at| at.min(panel.x.hi()));
        let [(from, _), (to, _)] = span.map(|at| panel.at(at, panel.y.lo()));
        let area = Rect { x: from, w: to - from, ..panel.area };
        canvas.fill(area, MUTED, 0.18);
        let stroke = Stroke { colour: INK, width: 1.0, dash: KILLED, opacity: 1.0 };
        canvas.line(&[(from, area.y), (from, area.bottom())], stroke);
        let whose = plan.competing(*flow).map_or_else(String::new, |flow| format!(" of {}", flow.name));
        canvas.text(from + 3.0, area.y + 8.0, &format!("server{whose} killed"), Type::new(SMALL, INK));
    }
}
