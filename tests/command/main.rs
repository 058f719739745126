//! The built command, as its users call it.
//!
//! | module | what it tries |
//! | --- | --- |
//! | `bad_input` | wrong flags, units, files, directories: message, remedy, exit status |
//! | `output` | standard output that nobody reads any more, or that cannot be written |
//! | `shards` | which part of the trials a batch system's task takes |
//! | `host` | machines whose /proc is read-only, and those that permit few open files |
//! | `unsupported` | machines that do not permit what a link needs |
//! | `again` | what the machine voided is run again |
//! | `backends` | whole runs on the kernel's netem, and without emulation |
//! | `rpc` | requests and responses over each transport, before slow servers and on lossy links |
//! | `compression` | responses that are compressed: bytes on the wire, CPU time, what cannot be compressed |
//! | `fan_out` | operations that need several services, near and far, in parallel and in sequence |
//! | `game_state` | the age of states of which only the newest counts, against theory |
//! | `query` | queries that are tried again, against theory, and on new connections |
//! | `chat` | conversations, whole and in order or not, and their keep-alives |
//! | `connect` | connections for each exchange: ports, TIME-WAIT, and what fails without them |
//! | `writes` | what small writes become on their way |
//! | `page` | web pages: the round trips that they take, and what goes first |
//! | `video_on_demand` | films that play while they come, where the link carries too little and where it carries enough |
//! | `voice` | calls over each transport: their rating, and what of them is missing |
//! | `video_call` | frames with a deadline: whole as their packets are, repaired, asked for |
//! | `cloud_gaming` | the picture of a game, and input the other way |
//! | `run` | experiments from file to report; interruption, resumption, failed trials |
//! | `expectations` | what an experiment expects: verdicts, exit status, JUnit XML |
//! | `start` | arms that start equal: losses, windows, settings |
//! | `experiments` | every experiment that ships |
//! | `flows` | several flows on one link |
//! | `conditions` | filters, rebinding, black holes and the like, as programs across the link meet them |
//! | `capture` | captures of links and trials, as other programs read them |
//! | `link` | other programs across the link |
//! | `link_ends` | what there is at a link's ends: servers that are waited for, ports of the host, settings |
//! | `link_control` | running links, watched and adjusted from another terminal |
//! | `traces` | rate traces: their forms, and one copy a run |
//! | `secrets` | what lies beside a capture: keys and QUIC logs |
//! | `explain` | why a message was late, by the packet it waited for |
//! | `ends` | server and client between any two addresses |
//! | `paths` | hosts of several addresses, hops of a smaller MTU, long fat paths, what holds a message |

mod again;
mod backends;
mod bad_input;
mod capture;
mod chat;
mod cloud_gaming;
mod compression;
mod conditions;
mod connect;
mod datagrams;
mod ends;
mod expectations;
mod experiments;
mod explain;
mod fan_out;
mod flows;
mod game_state;
mod host;
mod link;
mod link_control;
mod link_ends;
mod output;
mod page;
mod paths;
mod payment;
mod query;
mod rpc;
mod run;
mod secrets;
mod shards;
mod start;
mod support;
mod traces;
mod unsupported;
mod video_call;
mod video_on_demand;
mod voice;
mod which_transport;
mod writes;
