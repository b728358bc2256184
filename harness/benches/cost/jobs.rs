//! Two guests at once against one.

use super::lab::{Lab, median, show};
use diorama::error::{Error, Result};
use std::{process::Command, time::Instant};

/// Measures four cells afresh from checkpoints that are there, with one job and with two, in turns.
pub fn measure(lab: &Lab, runs: usize) -> Result<()> {
    let one = |again: &str, jobs: &str| -> Result<(f64, f64)> {
        let began = Instant::now();
        let before = children_cpu_s();
        let done = Command::new(env!("CARGO_BIN_EXE_diorama"))
            .env("DIORAMA_ROOT", &lab.root)
            .env("DIORAMA_AGENT", &lab.agent)
            .args([
                "run",
                "smoke",
                again,
                "--plain",
                "--jobs",
                jobs,
                "--results",
            ])
            .arg(lab.scratch.path())
            .output()
            .map_err(|e| Error::host("starting diorama").because(e))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(Error::host(format!(
                "diorama ended with {}: {said}",
                done.status
            )));
        }
        Ok((began.elapsed().as_secs_f64(), children_cpu_s() - before))
    };
    // Checkpoints, and what --verify compares with.
    one("--fresh", "1")?;
    let (mut single, mut double, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut cpu = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        let (wall_1, cpu_1) = one("--verify", "1")?;
        let (wall_2, cpu_2) = one("--verify", "2")?;
        single.push(wall_1);
        double.push(wall_2);
        ratios.push(wall_1 / wall_2);
        cpu[0].push(cpu_1);
        cpu[1].push(cpu_2);
    }
    println!("\nFour cells (smoke) from checkpoints, wall seconds ({runs} pairs in turns)");
    println!(
        "one job   {:19}  {:.2} CPU-s",
        show(&single),
        median(&cpu[0]).0
    );
    println!(
        "two jobs  {:19}  {:.2} CPU-s",
        show(&double),
        median(&cpu[1]).0
    );
    println!(
        "speed-up  {:19}  (goal 1.8 on two cores that nobody else uses)",
        show(&ratios)
    );
    Ok(())
}

/// CPU seconds of all ended children and theirs: cutime + cstime of proc_pid_stat(5).
fn children_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|f| f.parse::<f64>().ok())
        .sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}
