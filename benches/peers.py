#!/usr/bin/env python3
"""Samepath beside its peers, on this machine, in one run.

    cargo build --release && benches/peers.py [--rounds 5] [--seconds 3] [--quinn-perf PATH] [--only WORDS]
    benches/peers.py --against OTHER_SAMEPATH_BINARY

Each round measures the peer and Samepath one after the other, in turn; the table gives the median of
each and of the round-by-round ratios. Needs iperf3; QUIC is compared with quinn's own perf tool
(package `quinn-perf` of the quinn repository, its `perf` directory, built with --release) if its
path is given. All traffic stays on loopback or in namespaces that samepath itself makes. A
link without conditions passes super-packets on whole; fast mode decides on each of their segments; exact mode
hands each over alone, too.

With --against each round measures another build of Samepath as well, right after this one and in the next round
right before it; a second line a row gives this one's speed in terms of the other's: median, least and most of the
round-by-round ratios.
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


# What is compared: a contest gives the speed of its peer, and that of a build of Samepath.


def iperf3(*flags):
    with Server(["iperf3", "-s", "-1", "-p", "5299", "--forceflush"], "listening"):
        return json.loads(run(["iperf3", "-c", "127.0.0.1", "-p", "5299", "-J", *flags]))["end"]


def samepath(binary, arm, seconds, *flags):
    server = Server([binary, "server", "--listen", "127.0.0.1:0", "--json"], "ready", {"SAMEPATH_TOKEN": TOKEN})
    with server:
        control = json.loads(server.line)["control"]
        client = [binary, "client", control, "--arm", arm, "--workload", "bulk", "--duration", f"{seconds}s"]
        return json.loads(run([*client, "--json", *flags], env={**os.environ, "SAMEPATH_TOKEN": TOKEN}))["end"]


class Tcp:
    name, peer_name, unit, wanted = "tcp bulk, loopback", "iperf3", "Gbit/s", 1.0

    def peer(self, args):
        return iperf3("-t", str(args.seconds))["sum_received"]["bits_per_second"] / 1e9

    def ours(self, binary, args):
        return samepath(binary, "tcp", args.seconds, "--direction", "up")["sum_received"]["bits_per_second"] / 1e9


class Quic:
    name, peer_name, unit, wanted = "quic download, loopback", "quinn-perf", "Gbit/s", 1.0

    def peer(self, args):
        with Server([args.quinn_perf, "server", "--listen", "127.0.0.1:4999"], None):
            time.sleep(0.5)  # it prints nothing when it is ready
            flags = ["--duration", str(args.seconds), "--upload-size", "0", "--download-size", "100G", "--json", "-"]
            text = run([args.quinn_perf, "client", "localhost:4999", "--ip", "127.0.0.1", *flags])
        sums = [interval["sum"] for interval in json.loads(text[text.index("{"):])["intervals"]]
        return sum(each["bytes"] for each in sums) * 8 / sum(each["seconds"] for each in sums) / 1e9

    def ours(self, binary, args):
        return samepath(binary, "quic", args.seconds)["sum_received"]["bits_per_second"] / 1e9


class Udp:
    name, peer_name, unit, wanted = "udp 1200 B, received, loopback", "iperf3 -u -b 0", "k/s", 1.5

    def received(self, end):
        return (end["packets"] - end["lost_packets"]) / end["seconds"] / 1e3

    def peer(self, args):
        return self.received(iperf3("-u", "-b", "0", "-l", "1200", "-t", str(args.seconds))["sum"])

    def ours(self, binary, args):
        return self.received(samepath(binary, "udp", args.seconds, "--direction", "up", "--datagram", "1200B")["sum"])


class Link:
    peer_name, unit = "bare veth pair", "Gbit/s"

    def __init__(self, name, wanted, *conditions, ledger=False):
        self.name, self.wanted, self.conditions, self.ledger = name, wanted, conditions, ledger

    def rate(self, binary, args, *conditions):
        command = f"iperf3 -J -t {args.seconds} -c $SAMEPATH_SERVER"
        link = [binary, "link", "--quiet", *conditions, "--server-command", "iperf3 -s -1", "--", "sh", "-c", command]
        return json.loads(run(link))["end"]["sum_received"]["bits_per_second"] / 1e9

    def peer(self, args):
        return self.rate(SAMEPATH, args, "--backend", "none")

    def ours(self, binary, args):
        with tempfile.TemporaryDirectory() as directory:
            ledger = ["--ledger", os.path.join(directory, "ledger.parquet")] if self.ledger else []
            return self.rate(binary, args, *self.conditions, *ledger)


CONTESTS = [
    Tcp(),
    Quic(),
    Udp(),
    Link("iperf3 across the link", 0.4),
    Link("the same, --rtt 1ms, fast mode", 1.0, "--rtt", "1ms", "--mode", "fast"),
    Link("the same, exact mode, ledger", 0.5, "--mode", "exact", ledger=True),
    Link(
        "the same, --rtt 1ms, 10 Gbit/s, 4 MiB",
        0.5,
        *["--mode", "exact", "--rtt", "1ms", "--rate", "10Gbit", "--queue", "4MiB"],
        ledger=True,
    ),
]


def compete(contest, args):
    """All rounds: of each the peer's speed, this build's, and the other's where there is one."""
    rounds = []
    for number in range(args.rounds):
        builds = [SAMEPATH] + ([args.against] if args.against else [])
        # Whoever is first meets the machine as the peer left it: that is each in turn.
        order = builds if number % 2 == 0 else builds[::-1]
        peer = contest.peer(args)
        speed = {build: contest.ours(build, args) for build in order}
        rounds.append([peer, *(speed[build] for build in builds)])
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--quinn-perf", metavar="PATH")
    parser.add_argument("--against", metavar="BINARY", help="another build of samepath, to be measured as well")
    parser.add_argument("--only", metavar="WORDS", default="", help="only the rows whose name has these words")
    args = parser.parse_args()
    if args.against:
        args.against = os.path.abspath(args.against)
        if os.path.samefile(args.against, SAMEPATH):
            sys.exit(f"{args.against} is this build itself; give --against another one, kept elsewhere")
    print(f"{'what':<38} {'peer':<16} {'unit':<7} {'peer':>8} {'ours':>8} {'ratio':>7} {'(all)':<32} wanted")
    for contest in CONTESTS:
        if args.only not in contest.name or (isinstance(contest, Quic) and not args.quinn_perf):
            continue
        rounds = compete(contest, args)
        peer, ours = (statistics.median(side) for side in list(zip(*rounds))[:2])
        ratios = [each[1] / each[0] for each in rounds]
        everyone = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"{contest.name:<38} {contest.peer_name:<16} {contest.unit:<7} {peer:>8.2f} {ours:>8.2f} "
            f"{statistics.median(ratios):>7.2f} {everyone:<32} >= {contest.wanted}",
            flush=True,
        )
        if args.against:
            other = statistics.median(each[2] for each in rounds)
            ratios = [each[1] / each[2] for each in rounds]
            print(
                f"{'  against the other build':<38} {'other build':<16} {contest.unit:<7} {other:>8.2f} {ours:>8.2f} "
                f"{statistics.median(ratios):>7.2f} {f'{min(ratios):.2f}-{max(ratios):.2f}':<32} >= 0.98",
                flush=True,
            )


if __name__ == "__main__":
    main()
