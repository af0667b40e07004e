"""What Snakemake says with the plugin, on a terminal and in a pipe, of jobs of a second."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from support import ROOT

SNAKEFILE = """
rule all:
    input: expand("{number}.txt", number=range(8))

rule train:
    output: "{number}.txt"
    log: "logs/{number}.log"
    message: "train run{wildcards.number}"
    shell: "exec sh job.sh {wildcards.number} > {log} 2>&1"
"""
JOB = "sleep 0.2; touch $1.txt"
BREAKS = """
if [ $1 = 3 ]; then
    echo 'warning: it is hot.'; echo 'vct: error: run3 broke; mend it.'; exit 2
fi
"""
LASTS = """
trap 'echo "vct: stopped; the same command goes on there."; exit 130' INT
echo ready > started$1; sleep 30 & wait
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "job.sh").write_text(JOB)
    profile = tmp_path / "profiles/default/config.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text((ROOT / "profiles/default/config.yaml").read_text())
    return tmp_path


COMMAND = [sys.executable, "-m", "snakemake", "--cores", "4"]


def snakemake(project, *arguments):
    """Exit code, and the lines of stdout and stderr."""
    done = subprocess.run([*COMMAND, *arguments], cwd=project, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow spec")]
    return done.returncode, done.stdout.splitlines(), said


def test_a_line_for_each_job_and_all_lines_whole(project):
    code, out, said = snakemake(project)
    assert (code, out) == (0, [])
    assert said[0] == "8 jobs: 8 train"
    line = r"\[\d/8\] train run\d +\d s( +about \d+ s left)?"
    assert all(re.fullmatch(line, each) for each in said[1:-1])
    assert [each.split("/")[0] for each in said[1:-1]] == [f"[{number}" for number in range(1, 9)]
    assert re.fullmatch(r"8 jobs done in \d+ s\.", said[-1])


def test_a_dry_run_says_what_would_run_and_why(project):
    code, out, said = snakemake(project, "-n")
    assert (code, said) == (0, [])
    names = sorted(line.split("  ")[1] for line in out[:-1])
    assert names == [f"train run{number}" for number in range(8)]
    assert all(line.endswith("  not made yet") for line in out[:-1])
    assert out[-1] == "8 jobs: 8 train. Nothing was run (-n)."
    _, with_commands, _ = snakemake(project, "-n", "-p")
    assert "    exec sh job.sh 3 > logs/3.log 2>&1" in with_commands


def test_the_last_line_of_a_failure_says_what_to_do(project):
    (project / "job.sh").write_text(BREAKS + JOB)
    code, _, said = snakemake(project, "--keep-going")
    assert code == 1
    assert said[-3:] == [
        "7 of 8 jobs are done; the same command goes on after them.",
        "Failed: train run3; its log is logs/3.log.",
        "vct: error: run3 broke; mend it.",
    ]
    assert "    warning: it is hot." in said
    assert not re.search("Traceback|RuleException|CalledProcess|non-zero", "\n".join(said))


def test_quiet_still_says_what_failed(project):
    (project / "job.sh").write_text(BREAKS + JOB)
    code, _, said = snakemake(project, "--quiet", "all")
    assert code == 1
    assert said[-2:] == [
        "Failed: train run3; its log is logs/3.log.",
        "vct: error: run3 broke; mend it.",
    ]
    assert len(said) <= 3


def test_snakemakes_own_words_on_demand(project):
    _, _, said = snakemake(project, "--logger-vct-full")
    text = "\n".join(said)
    assert "Reason: Missing output files" in text and "Job stats" in text
    assert "[1/8]" not in text


def test_all_words_are_in_its_log(project):
    snakemake(project)
    (log,) = (project / ".snakemake/log").glob("*.log")
    assert "Reason: Missing output files" in log.read_text()


def test_a_reader_that_goes_away_stops_nothing(project):
    process = subprocess.Popen(COMMAND, cwd=project, stderr=subprocess.PIPE)
    process.stderr.readline()
    process.stderr.close()
    process.wait(60)
    assert len(list(project.glob("?.txt"))) == 8


class Terminal:
    """Snakemake on a terminal of 100 columns."""

    def __init__(self, folder, *arguments):
        self.pid, self.file = pty.fork()
        if not self.pid:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(folder)
            os.execve(sys.executable, [*COMMAND, *arguments], os.environ | {"TERM": "xterm"})
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))

    def interrupt(self):
        os.write(self.file, b"\x03")

    def read(self):
        """Exit code, and all that it showed."""
        shown = b""
        while True:
            try:
                shown += os.read(self.file, 65536)
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), shown.decode()


def remaining(shown):
    """What is left of each line when all is written."""
    lines = shown.replace("\r\n", "\n").split("\n")
    return [line.split("\r")[-1].rstrip() for line in lines if line.split("\r")[-1].strip()]


def test_a_terminal_has_a_line_that_is_written_over(project):
    (project / "job.sh").write_text(
        "echo '1/2 steps (50 %), 1/s, 1 s left'; sleep 2.5; touch $1.txt"
    )
    code, shown = Terminal(project).read()
    assert code == 0
    assert re.search(r"\r\d/8 [^\n]*train run\d 50%", shown)
    ends = [line for line in remaining(shown) if line.startswith("[")]
    assert len(ends) == 8 and all(re.match(r"\[\d/8\] train run\d +\d s", line) for line in ends)
    assert remaining(shown)[-1].startswith("8 jobs done in ")


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_says_in_a_line_that_the_next_call_goes_on(project, times):
    (project / "job.sh").write_text(LASTS)
    terminal = Terminal(project)
    while len(list(project.glob("started*"))) < 4:
        time.sleep(0.05)
    for _ in range(times):
        terminal.interrupt()
        time.sleep(0.3)
    code, shown = terminal.read()
    lines = [line for line in remaining(shown) if line != "^C"]
    assert code == 1
    assert lines[-1] == "Stopped: 0 of 8 jobs are done. The same command goes on there."
    assert "Traceback" not in shown
