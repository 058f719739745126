//! A relay between client and server that keeps every datagram and drops some: what is on the wire, in
//! the order in which it was there.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::offline::Sender;

type Kept = Vec<(Sender, Vec<u8>)>;

pub(crate) struct Relay {
    kept: Arc<Mutex<Kept>>,
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// From `listen` on to `server`; every `drop_each`-th datagram that is full is not passed on.
    pub(crate) fn start(listen: SocketAddr, server: SocketAddr, drop_each: usize) -> std::io::Result<Relay> {
        let (front, back) = (UdpSocket::bind(listen)?, UdpSocket::bind((listen.ip(), 0))?);
        back.connect(server)?;
        for socket in [&front, &back] {
            nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::RcvBuf, &(4 << 20))
                .map_err(std::io::Error::from)?;
            // So that a thread sees that it is over; nothing is measured by it.
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        }
        let (kept, done) = (Arc::new(Mutex::new(Kept::new())), Arc::new(AtomicBool::new(false)));
        let client = Arc::new(Mutex::new(None::<SocketAddr>));
        let pass = |sender: Sender, from: UdpSocket, to: UdpSocket| {
            let (kept, done, client) = (kept.clone(), done.clone(), client.clone());
            std::thread::spawn(move || {
                let (mut buffer, mut full) = (vec![0; 65_536], 0);
                while !done.load(Ordering::Relaxed) {
                    let Ok((length, source)) = from.recv_from(&mut buffer) else { continue };
                    let datagram = &buffer[..length];
                    kept.lock().unwrap().push((sender, datagram.to_vec()));
                    full += usize::from(length > 1200 && datagram[0] & 0x80 == 0);
                    if length > 1200 && full % drop_each == drop_each - 1 {
                        continue;
                    }
                    // What cannot be sent is lost, as on any wire.
                    let _ = match sender {
                        Sender::Client => {
                            *client.lock().unwrap() = Some(source);
                            to.send(datagram)
                        }
                        Sender::Server => match *client.lock().unwrap() {
                            Some(client) => to.send_to(datagram, client),
                            None => continue,
                        },
                    };
                }
            })
        };
        let threads =
            vec![pass(Sender::Client, front.try_clone()?, back.try_clone()?), pass(Sender::Server, back, front)];
        Ok(Relay { kept, done, threads })
    }

    /// Ends it and hands over what it kept.
    pub(crate) fn finish(self) -> Kept {
        self.done.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut self.kept.lock().unwrap())
    }
}
