#!/usr/bin/env python3
"""How late packets leave the emulated link, on this machine: idle, and beside busy neighbours.

    cargo build --release && benches/lateness.py [--seconds 10] [--neighbours 2]

A paced UDP stream crosses a link with a delay; the link itself says how late each packet left against the
instant computed for it. The neighbours are programs that only count, of ordinary priority. Needs iperf3.
Let nothing else run. Wanted: idle p50 <= 10 us and p99 <= 100 us; beside two neighbours, with real-time
scheduling, p99 <= 150 us.
"""

import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SAMEPATH = os.path.join(HERE, "..", "target", "release", "samepath")
LATE = re.compile(r"left late by ([0-9.]+) ms \(median\), ([0-9.]+) ms \(p99\), ([0-9.]+) ms \(most\)")


def lateness(seconds, rate):
    command = f"iperf3 -u -b {rate} -l 1200 -t {seconds} -c $SAMEPATH_SERVER >/dev/null"
    link = [SAMEPATH, "link", "--rtt", "20ms", "--server-command", "iperf3 -s -1 >/dev/null", "--", "sh", "-c", command]
    done = subprocess.run(link, capture_output=True, text=True, timeout=seconds + 60)
    found = LATE.search(done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"the link failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return [float(figure) * 1000 for figure in found.groups()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--neighbours", type=int, default=2)
    args = parser.parse_args()
    print(f"{'what':<40} {'p50 us':>8} {'p99 us':>8} {'most us':>8}")
    for neighbours in [0, args.neighbours]:
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
        try:
            for rate in ["1M", "10M"]:
                figures = "".join(f" {figure:>8.0f}" for figure in lateness(args.seconds, rate))
                beside = f"beside {neighbours} busy neighbours" if neighbours else "alone"
                print(f"{rate + 'bit/s of 1200 bytes, ' + beside:<40}{figures}", flush=True)
        finally:
            for process in busy:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
