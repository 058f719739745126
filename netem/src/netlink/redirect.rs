//! Has whatever comes in at one device come in at another instead: an `ingress` queueing discipline with one
//! filter (`u32`, which all packets pass) and one action (`mirred`), as in `linux/pkt_cls.h` and
//! `linux/tc_act/tc_mirred.h`. What `tc filter add dev A ingress u32 match u32 0 0 action mirred ingress redirect
//! dev B` would write.

use std::io;

use super::{Message, Netlink};

/// `TC_H_INGRESS`, as a parent, and the handle that such a discipline has.
const INGRESS: (u32, u32) = (0xffff_fff1, 0xffff_0000);
/// `TCA_KIND` and `TCA_OPTIONS`.
const KIND: u16 = 1;
/// See [`KIND`].
const OPTIONS: u16 = 2;
/// `TCA_U32_SEL` and `TCA_U32_ACT`.
const U32_SELECTOR: u16 = 5;
/// See [`U32_SELECTOR`].
const U32_ACTIONS: u16 = 7;
/// `TCA_MIRRED_PARMS`.
const MIRRED_PARAMETERS: u16 = 2;
/// `TCA_INGRESS_REDIR`.
const INGRESS_REDIRECT: u32 = 3;
/// `TC_ACT_STOLEN`: nobody else sees the packet.
const STOLEN: u32 = 4;

impl Netlink {
    /// From now on what comes in at the device `from` comes in at the device `to` of the same namespace.
    ///
    /// # Errors
    /// What the kernel says; one that lacks these parts says `ENOENT` or `EOPNOTSUPP`.
    pub(crate) fn redirect_incoming(&mut self, from: u32, to: u32) -> io::Result<()> {
        let mut discipline = Message::default();
        discipline.traffic_header(from, INGRESS.1, INGRESS.0, 0);
        discipline.text(KIND, "ingress");
        self.request(libc::RTM_NEWQDISC, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &discipline)?;
        self.request(libc::RTM_NEWTFILTER, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &filter(from, to))
    }
}

fn filter(from: u32, to: u32) -> Message {
    // Priority 1, all protocols.
    let mut filter = Message::default();
    filter.traffic_header(from, 0, INGRESS.1, 1 << 16 | u32::from((libc::ETH_P_ALL as u16).to_be()));
    filter.text(KIND, "u32");
    filter.nest(OPTIONS, |options| {
        // struct tc_u32_sel: terminal, with one key of struct tc_u32_key, which has no bit to compare.
        let mut selector = [0; 32];
        (selector[0], selector[2]) = (1, 1);
        options.attribute(U32_SELECTOR, &selector);
        options.nest(U32_ACTIONS, |actions| {
            actions.nest(1, |action| {
                action.text(KIND, "mirred");
                // struct tc_mirred: index, capabilities, verdict, two counts, what is done, where to.
                let words = [0, 0, STOLEN, 0, 0, INGRESS_REDIRECT, to];
                action.nest(OPTIONS, |mirred| {
                    mirred.attribute(MIRRED_PARAMETERS, &words.map(u32::to_ne_bytes).concat());
                });
            });
        });
    });
    filter
}
