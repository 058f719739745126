#!/usr/bin/env python3
"""Samepath beside its peers, on this machine, in one run.

    cargo build --release && benches/peers.py [--rounds 5] [--seconds 3] [--quinn-perf PATH]

Each round measures the peer and Samepath one after the other, in turn; the table gives the median of
each and of the round-by-round ratios. Needs iperf3; QUIC is compared with quinn's own perf tool
(package `quinn-perf` of the quinn repository, its `perf` directory, built with --release) if its
path is given. All traffic stays on loopback or in namespaces that samepath itself makes. A
link without conditions passes super-packets on whole; fast mode decides on each of their segments; exact mode
hands each over alone, too.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SAMEPATH = os.path.join(HERE, "..", "target", "release", "samepath")
TOKEN = "benchmark"


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout


class Server:
    """A server that is up when the constructor returns, and gone when the block ends."""

    def __init__(self, command, ready, env=None):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **(env or {})}
        )
        self.line = ""
        while ready and not re.search(ready, self.line):
            self.line = self.process.stdout.readline()
            if not self.line:
                sys.exit(f"{' '.join(command)} ended early")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


def iperf3(*flags):
    with Server(["iperf3", "-s", "-1", "-p", "5299", "--forceflush"], "listening"):
        return json.loads(run(["iperf3", "-c", "127.0.0.1", "-p", "5299", "-J", *flags]))["end"]


def samepath(arm, seconds, *flags):
    server = Server([SAMEPATH, "server", "--listen", "127.0.0.1:0", "--json"], "ready", {"SAMEPATH_TOKEN": TOKEN})
    with server:
        control = json.loads(server.line)["control"]
        client = [SAMEPATH, "client", control, "--arm", arm, "--workload", "bulk", "--duration", f"{seconds}s"]
        return json.loads(run([*client, "--json", *flags], env={**os.environ, "SAMEPATH_TOKEN": TOKEN}))["end"]


def tcp(args):
    peer = iperf3("-t", str(args.seconds))["sum_received"]["bits_per_second"]
    ours = samepath("tcp", args.seconds, "--direction", "up")["sum_received"]["bits_per_second"]
    return peer / 1e9, ours / 1e9


def quic(args):
    with Server([args.quinn_perf, "server", "--listen", "127.0.0.1:4999"], None):
        time.sleep(0.5)  # it prints nothing when it is ready
        flags = ["--duration", str(args.seconds), "--upload-size", "0", "--download-size", "100G", "--json", "-"]
        text = run([args.quinn_perf, "client", "localhost:4999", "--ip", "127.0.0.1", *flags])
    sums = [interval["sum"] for interval in json.loads(text[text.index("{"):])["intervals"]]
    peer = sum(each["bytes"] for each in sums) * 8 / sum(each["seconds"] for each in sums)
    ours = samepath("quic", args.seconds)["sum_received"]["bits_per_second"]
    return peer / 1e9, ours / 1e9


def udp(args):
    end = iperf3("-u", "-b", "0", "-l", "1200", "-t", str(args.seconds))["sum"]
    peer = (end["packets"] - end["lost_packets"]) / end["seconds"]
    end = samepath("udp", args.seconds, "--direction", "up", "--datagram", "1200B")["sum"]
    ours = (end["packets"] - end["lost_packets"]) / end["seconds"]
    return peer / 1e3, ours / 1e3


def link_rate(args, *conditions):
    command = "iperf3 -J -t {} -c $SAMEPATH_SERVER".format(args.seconds)
    text = run([SAMEPATH, "link", "--quiet", *conditions, "--server-command", "iperf3 -s -1", "--", "sh", "-c", command])
    return json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e9


def link(args):
    return link_rate(args, "--backend", "none"), link_rate(args)


def exact_link(args):
    with tempfile.TemporaryDirectory() as directory:
        bare = link_rate(args, "--backend", "none")
        return bare, link_rate(args, "--mode", "exact", "--ledger", os.path.join(directory, "ledger.parquet"))


def fast_link(args):
    return link_rate(args, "--backend", "none"), link_rate(args, "--rtt", "1ms", "--mode", "fast")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--quinn-perf", metavar="PATH")
    args = parser.parse_args()
    contests = [
        ("tcp bulk, loopback", "iperf3", "Gbit/s", 0.8, tcp),
        ("udp 1200 B, received, loopback", "iperf3 -u -b 0", "k/s", 1.5, udp),
        ("iperf3 across the link", "bare veth pair", "Gbit/s", 0.4, link),
        ("the same, --rtt 1ms, fast mode", "bare veth pair", "Gbit/s", 1.0, fast_link),
        ("the same, exact mode, ledger", "bare veth pair", "Gbit/s", 0.5, exact_link),
    ]
    if args.quinn_perf:
        contests.insert(1, ("quic download, loopback", "quinn-perf", "Gbit/s", 1.0, quic))
    print(f"{'what':<32} {'peer':<16} {'unit':<7} {'peer':>8} {'ours':>8} {'ratio':>7} {'(all)':<32} wanted")
    for what, peer_name, unit, wanted, contest in contests:
        rounds = [contest(args) for _ in range(args.rounds)]
        ratios = [ours / peer for peer, ours in rounds]
        peer, ours = (statistics.median(side) for side in zip(*rounds))
        everyone = " ".join(f"{ratio:.2f}" for ratio in ratios)
        median = statistics.median(ratios)
        print(f"{what:<32} {peer_name:<16} {unit:<7} {peer:>8.2f} {ours:>8.2f} {median:>7.2f} {everyone:<32} {'>= ' + str(wanted) if wanted else ''}",
              flush=True)


if __name__ == "__main__":
    main()
