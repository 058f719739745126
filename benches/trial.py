#!/usr/bin/env python3
"""How long a trial takes beside its workload: set-up until the client starts, and tear-down from its end.

    cargo build --release && benches/trial.py [--trials 20] [--backend tun] [--against OTHER_SAMEPATH_BINARY]

Short trials on a link of 20 Mbit/s, one after the other, at round-trip times of 60 and 1 ms; the figures are those of
trials.jsonl (`set_up_ms`, `tear_down_ms`). Most of it are the probes before and after each trial, whose number is
told: 6 ms of single ones, a train of 10 ms, and the delay, twice. Let nothing else run. Wanted: a median of both
together under 115 ms at a round-trip time of 60 ms, and under 55 ms at 1 ms. With --against another build runs as many
trials, in turn with this one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SAMEPATH = os.path.join(HERE, "..", "target", "release", "samepath")
# Round-trip time, and the bound of the median in milliseconds.
WANTED = {"60ms": 115, "1ms": 55}
# In a run; runs of the builds alternate.
TRIALS_OF_A_RUN = 5
EXPERIMENT = """
schema = 1
name = "trial"
question = "How long does a trial take beside its workload?"
repeat = {repeat}
[[part]]
name = "short"
arms = ["tcp"]
workload = {{ kind = "messages", direction = "down", streams = 1, size = "10kB", spacing = "20ms", count = 5, warmup = "20kB" }}
link = {{ rtt = "{rtt}", rate = "20Mbit", queue = "1bdp" }}
"""


def run(binary, rtt, backend, directory):
    """The trials of one run: (set-up, tear-down, probes sent)."""
    file, out = os.path.join(directory, "trial.toml"), os.path.join(directory, "run")
    with open(file, "w") as experiment:
        experiment.write(EXPERIMENT.format(rtt=rtt, repeat=TRIALS_OF_A_RUN))
    command = [binary, "run", file, "--out", out, "--jobs", "1", "--backend", backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode not in (0, 3):  # 3: trials were void, which are set up and taken down like others
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    with open(os.path.join(out, "trials.jsonl")) as lines:
        trials = [json.loads(line) for line in lines]
    probes = lambda trial: sum(way["sent"] for when in ("before", "after") for way in (trial["link"].get(when) or {}).values())
    return [(trial["set_up_ms"], trial["tear_down_ms"], probes(trial)) for trial in trials if trial["outcome"] != "failed"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--against", metavar="BINARY", help="another build of samepath, to be measured as well")
    args = parser.parse_args()
    builds = {"this build": SAMEPATH} | ({"other build": os.path.abspath(args.against)} if args.against else {})
    print(f"{'RTT':<6} {'what':<12} {'trials':>6} {'probes':>6} {'set-up':>8} {'tear-down':>10} {'both ms':>8} {'(least-most)':<16} wanted")
    for rtt, wanted in WANTED.items():
        figures = {name: [] for name in builds}
        while min(map(len, figures.values())) < args.trials:
            for name, binary in builds.items():
                with tempfile.TemporaryDirectory() as directory:
                    figures[name] += run(binary, rtt, args.backend, directory)
        for name, trials in figures.items():
            both = [set_up + tear_down for set_up, tear_down, _ in trials]
            set_up, tear_down, probes = (statistics.median(column) for column in zip(*trials))
            print(
                f"{rtt:<6} {name:<12} {len(trials):>6} {probes:>6.0f} {set_up:>8.1f} {tear_down:>10.1f} "
                f"{statistics.median(both):>8.1f} {f'{min(both):.1f}-{max(both):.1f}':<16} < {wanted}",
                flush=True,
            )


if __name__ == "__main__":
    main()
