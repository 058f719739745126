#!/usr/bin/env python3
"""What must hold of Samepath's speed, size and steadiness: a row each, with figure and bound.

    benches/bounds.py --list              what there is, and how long it takes
    benches/bounds.py [ROW...]            these rows, or all of them one after the other

A row prints `ok` or `NOT OK`, its name, what was measured, the figure and the bound; the exit status is 1 where one is
not kept. Nothing else should run on the machine. Needs the release build (`cargo build --release`), which the row
`build` makes in a clone of its own. docs/performance.md says what each row stands for.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SAMEPATH = os.environ.get("SAMEPATH_PROGRAM", os.path.join(ROOT, "target", "release", "samepath"))
# CPU seconds of `cargo build --release --locked` from an empty target before its cost was looked at.
BUILD_BEFORE = 783


def call(command, quiet=True, **more):
    """Exit status, seconds, and what was said on both outputs."""
    begun = time.monotonic()
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if not quiet:
        print(done.stdout, end="")
    return done.returncode, time.monotonic() - begun, done.stdout


def records(run):
    with open(os.path.join(run, "trials.jsonl")) as lines:
        return [json.loads(line) for line in lines]


def counting(run):
    return [record for record in records(run) if record["outcome"] == "done"]


def peak_mb(command, **more):
    """Exit status, and the largest resident size of the command or of a process below it, in megabytes (10^6)."""
    script = (
        "import resource, subprocess, sys\n"
        "status = subprocess.call(sys.argv[1:], stdout=sys.stderr)\n"
        "print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more)
    status, kib = done.stdout.split()
    return int(status), int(kib) * 1024 / 1e6


def experiment(directory, name, text):
    path = os.path.join(directory, name + ".toml")
    with open(path, "w") as file:
        file.write('schema = 1\nname = "' + name + '"\nquestion = "?"\n' + text)
    return path


def at_most(what, figure, bound, unit):
    yield what, f"{figure:.4g} {unit}", f"at most {bound} {unit}", figure <= bound


def within_time_and_well(what, status, seconds, bound):
    yield what, f"{seconds:.0f} s, status {status}", f"under {bound} s, status 0", seconds < bound and status == 0


def default_run(directory):
    status, seconds, _ = call([SAMEPATH, "run", "--out", os.path.join(directory, "run")])
    attempts = len(records(os.path.join(directory, "run")))
    yield from within_time_and_well(f"the default run, idle ({attempts} attempts)", status, seconds, 90)


def busy_run(directory):
    """Beside a compile of one job, which is begun anew as often as it ends."""
    compile = "while :; do rm -rf \"$0\"; cargo build --locked -j 1 -q --target-dir \"$0\" || exit; done"
    neighbour = subprocess.Popen(
        ["sh", "-c", compile, os.path.join(directory, "target")],
        cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        for turn in range(1, 6):
            run = os.path.join(directory, f"busy-{turn}")
            status, seconds, _ = call([SAMEPATH, "run", "--out", run])
            lines = records(run)
            again = len(lines) - len({record["trial"]["id"] for record in lines})
            what = f"the default run beside a compile, {turn} of 5 ({again} attempts void and run again)"
            yield from within_time_and_well(what, status, seconds, 120)
            if neighbour.poll() is not None:
                yield "the compile beside it", f"ended with {neighbour.returncode}", "runs throughout", False
    finally:
        os.killpg(neighbour.pid, 15)
        neighbour.wait()


def build(directory):
    clone = os.path.join(directory, "clone")
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    subprocess.run(["cargo", "fetch", "-q", "--locked"], cwd=clone, check=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("CARGO_TARGET_DIR", "CARGO_BUILD_JOBS")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, seconds, said = call(["cargo", "build", "--release", "--locked"], cwd=clone, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status != 0:
        sys.exit(said)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    yield from within_time_and_well("the release build of a fresh clone", status, seconds, 300)
    yield from at_most("its CPU time", cpu, round(0.6 * BUILD_BEFORE), "s")
    size = os.path.getsize(os.path.join(clone, "target", "release", "samepath")) / 1e6
    yield "the program's size", f"{size:.0f} MB", "(said, not judged)", True


def set_up(directory):
    for rtt, bound in (("60ms", 115), ("1ms", 55)):
        path = experiment(directory, "set-up-" + rtt, f"""repeat = 21
[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = {{ kind = "bulk", bytes = "20kB" }}
link = {{ rtt = "{rtt}", rate = "20Mbit" }}
""")
        run = os.path.join(directory, "set-up-" + rtt + "-run")
        call([SAMEPATH, "run", path, "--jobs", "1", "--out", run])
        times = [record["set_up_ms"] + record["tear_down_ms"] for record in counting(run)]
        what = f"set-up and tear-down at RTT {rtt}, median of {len(times)}"
        yield from at_most(what, statistics.median(times), bound, "ms")


def trace(directory):
    trace = os.path.join(directory, "long.trace")
    with open(trace, "w") as file:
        for millisecond in range(1, 375_001):
            file.write(f"{millisecond}\n" * 8)
    path = experiment(directory, "trace", """repeat = 4
[[part]]
name = "bulk"
arms = ["tcp", "quic"]
workload = { kind = "bulk", bytes = "100kB" }
link = { rtt = "20ms", rate-trace = "long.trace" }
""")
    run = os.path.join(directory, "trace-run")
    call([SAMEPATH, "run", path, "--out", run], cwd=directory)
    status, peak = peak_mb([SAMEPATH, "report", run])
    what = f"`report` of 8 trials with a trace of 3 million lines (status {status})"
    yield from at_most(what, peak if status == 0 else float("inf"), 150, "MB")
    with open(os.path.join(run, "trials.jsonl")) as lines:
        yield from at_most("the longest line of its trials.jsonl", max(map(len, lines)) / 1e3, 60, "kB")


def report(directory):
    path = experiment(directory, "many", """repeat = 50
[[part]]
name = "messages"
arms = ["tcp", "quic"]
axes = { loss = ["0%", "1%", "3%"] }
workload = { kind = "messages", streams = 4, size = "5kB", spacing = "5ms", duration = "300ms" }
link = { rtt = "20ms", rate = "20Mbit" }
""")
    run = os.path.join(directory, "many-run")
    call([SAMEPATH, "run", path, "--retries", "0", "--out", run])
    status, seconds, _ = call([SAMEPATH, "report", run])
    what = f"`report` of {len(records(run))} trials, {len(counting(run))} of which count"
    yield from within_time_and_well(what, status, seconds, 5)


def long_fat(directory):
    """The client's memory as its trial runs: 15 MB are under way, and slow start has overshot."""
    for arm in ("quic", "tcp"):
        path = experiment(directory, "long-fat-" + arm, f"""repeat = 1
[[part]]
name = "bulk"
arms = ["{arm}"]
workload = {{ kind = "bulk", duration = "20s" }}
link = {{ rtt = "600ms", rate = "200Mbit" }}
""")
        run = os.path.join(directory, "long-fat-" + arm + "-run")
        started = subprocess.Popen([SAMEPATH, "run", path, "--retries", "0", "--out", run], stdout=subprocess.DEVNULL)
        peak = 0
        while started.poll() is None:
            peak = max([peak, *client_sizes(run)])
            time.sleep(0.02)
        record = records(run)[-1]
        goodput = (record["summary"] or {}).get("goodput_bits_per_second") or 0
        what = f"the client's memory, {arm}, 200 Mbit/s and 600 ms for 20 s ({goodput / 1e6:.0f} Mbit/s of payload)"
        # A trial that the machine voids has come to its end all the same.
        outcome, mb = record["outcome"], peak * 1024 / 1e6
        yield what, f"{mb:.0f} MB, {outcome}", "under 64 MB, not failed", outcome != "failed" and 0 < mb < 64


def client_sizes(run):
    """The largest resident sizes so far, in KiB, of the clients whose trial's files are in this run."""
    for process in os.listdir("/proc"):
        try:
            with open(f"/proc/{process}/cmdline") as file:
                words = file.read().split("\0")
            if len(words) > 1 and words[1] == "client" and any(run in word for word in words):
                with open(f"/proc/{process}/status") as file:
                    yield int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
        except (OSError, AttributeError, ValueError):
            pass  # it is none, or has ended


def validate(directory):
    status, seconds, said = call([SAMEPATH, "validate"], quiet=False)
    told = [line for line in said.splitlines() if "comparisons agree" in line]
    yield "the lab against theory, complete", f"{told[-1] if told else 'none'}, {seconds:.0f} s", "status 0", status == 0


def quick(directory):
    status, seconds, _ = call([SAMEPATH, "validate", "--quick"])
    yield from within_time_and_well("the lab against theory, quick", status, seconds, 180)


def suite(directory):
    subprocess.run(["cargo", "test", "--workspace", "--locked", "--no-run", "-q"], cwd=ROOT, check=True)
    status, seconds, _ = call(["cargo", "test", "--workspace", "--locked", "-q"], cwd=ROOT)
    yield from within_time_and_well("the whole suite, after its build", status, seconds, 300)


def ci(directory):
    environment = {**os.environ, "CARGO_TARGET_DIR": os.path.join(directory, "target")}
    status, seconds, _ = call([os.path.join(ROOT, ".ci", "run")], env=environment)
    yield from within_time_and_well("`.ci/run` from an empty target", status, seconds, 35 * 60)


# Name: function, about how many minutes.
ROWS = {
    "run": (default_run, 2),
    "run-busy": (busy_run, 10),
    "set-up": (set_up, 1),
    "trace": (trace, 1),
    "report": (report, 2),
    "long-fat": (long_fat, 1),
    "quick": (quick, 3),
    "validate": (validate, 30),
    "build": (build, 5),
    "suite": (suite, 8),
    "ci": (ci, 30),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--list", action="store_true", help="name the rows")
    args = parser.parse_args()
    if args.list:
        for name, (_, minutes) in ROWS.items():
            print(f"{name:<10} some {minutes} min")
        return 0
    for name in args.rows:
        if name not in ROWS:
            sys.exit(f"there is no row `{name}`; choose from: {', '.join(ROWS)}")
    kept = True
    for name in args.rows or ROWS:
        with tempfile.TemporaryDirectory() as directory:
            for what, figure, bound, ok in ROWS[name][0](directory):
                kept &= ok
                print(f"{'ok' if ok else 'NOT OK':<6} {name:<9} {what}: {figure} ({bound})", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
