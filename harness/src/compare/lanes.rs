//! The same cells in both lanes: what the kernel's path says, and what the drive says.

use super::{Cell, Comparison, compare};
use crate::{
    record::Results,
    scenario::{Metric, WorkloadSpec},
    vocabulary::Verdict,
};
use serde::Serialize;

/// A run of the exact lane beside one of the metal lane.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BothLanes {
    /// Index of the exact lane's run.
    pub exact: usize,
    /// Index of the metal lane's.
    pub metal: usize,
    /// The kernel that both are compared with.
    pub baseline: String,
    /// Cells that both have, in the exact run's order.
    pub cells: Vec<InBoth>,
}

impl BothLanes {
    /// Whether any cell has a verdict in both.
    #[must_use]
    pub fn answers(&self) -> bool {
        let undecided = |cell: &InBoth| cell.together == Together::Undecided;
        !self.cells.iter().all(undecided)
    }
}

/// A cell that was measured in both lanes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InBoth {
    /// Name of the kernel.
    pub kernel: String,
    /// Name of the file system.
    pub filesystem: String,
    /// Name of the workload.
    pub workload: String,
    /// Instructions per I/O in the exact lane, relative to the baseline; where they were not counted, its
    /// IOPS.
    pub path: Side,
    /// IOPS in the metal lane, relative to the baseline.
    pub drive: Side,
    /// What to make of both.
    pub together: Together,
    /// Context switches per I/O, in the exact and in the metal lane.
    pub context_switches: [Option<f64>; 2],
}

/// What one lane says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Of what.
    pub metric: Metric,
    /// To the baseline.
    pub ratio: f64,
    /// What may be concluded in that lane.
    pub verdict: Verdict,
}

/// Whether both lanes say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Together {
    /// Both the same direction, or both none.
    Agree,
    /// Opposite directions.
    Contradict,
    /// The path's length differs and the drive's rate does not: something else bounds it.
    NotSeen,
    /// The rate differs and the path's length does not: the cause is not in the number of instructions.
    NotOfThePath,
    /// One of them allows no conclusion.
    Undecided,
}

impl Together {
    /// As reports write it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Together::Agree => "agree",
            Together::Contradict => "CONTRADICT",
            Together::NotSeen => "not seen on the drive",
            Together::NotOfThePath => "not by path length",
            Together::Undecided => "undecided",
        }
    }

    fn of(path: Option<Direction>, drive: Option<Direction>) -> Together {
        match (path, drive) {
            (None, _) | (_, None) => Together::Undecided,
            (Some(a), Some(b)) if a == b => Together::Agree,
            (Some(Direction::Same), _) => Together::NotOfThePath,
            (_, Some(Direction::Same)) => Together::NotSeen,
            _ => Together::Contradict,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Worse,
    Same,
    Better,
}

impl Direction {
    fn of(verdict: &Verdict) -> Option<Direction> {
        match verdict {
            Verdict::Regressed => Some(Direction::Worse),
            Verdict::Improved => Some(Direction::Better),
            Verdict::Same => Some(Direction::Same),
            _ => None,
        }
    }
}

/// The first run of each lane side by side, each against its own baseline; `None` where there are not
/// both, or they have no cell in common: the same kernel's release, and a workload that does the same to
/// a file system of the same name, whatever its size and length.
#[must_use]
pub fn both_lanes(runs: &[&Results]) -> Option<BothLanes> {
    let first = |exact: bool| {
        let mut lanes = runs.iter().map(|run| run.scenario.lane());
        lanes.position(|lane| lane.is_exact() == exact)
    };
    let (exact, metal) = (first(true)?, first(false)?);
    let (a, b) = (runs[exact], runs[metal]);
    if a.scenario.baseline != b.scenario.baseline {
        return None;
    }
    let (path, drive) = (compare(&[a]), compare(&[b]));
    let cells = path.cells.iter().filter_map(|cell| {
        let other = same(a, b, &drive, cell)?;
        let (path, minimum) = path_of(cell)?;
        let rate = other.against.get(&Metric::Iops)?;
        let ratio = rate.ratio?;
        // A path that is longer by less than the drive's own minimum effect cannot be seen there.
        let minimum = minimum.max(ratio.resolution);
        let small = (path.ratio.ln()).abs() < minimum.ln_1p();
        let by_path = match small {
            true => Some(Direction::Same),
            false => Direction::of(&path.verdict),
        };
        let switches = |cell: &Cell| {
            let figure = cell.figures.get(&Metric::ContextSwitchesPerIo);
            figure.map(|figure| figure.median)
        };
        Some(InBoth {
            kernel: cell.key.subject.to_string(),
            filesystem: cell.key.filesystem.clone(),
            workload: cell.key.workload.clone(),
            together: Together::of(by_path, Direction::of(&rate.verdict)),
            path,
            drive: Side {
                metric: Metric::Iops,
                ratio: ratio.value,
                verdict: rate.verdict.clone(),
            },
            context_switches: [switches(cell), switches(other)],
        })
    });
    let cells: Vec<InBoth> = cells.collect();
    (!cells.is_empty()).then(|| BothLanes {
        exact,
        metal,
        baseline: a.scenario.baseline.clone(),
        cells,
    })
}

/// What the exact lane says of a cell, and its resolution.
fn path_of(cell: &Cell) -> Option<(Side, f64)> {
    [Metric::PathLength, Metric::Iops]
        .into_iter()
        .find_map(|metric| {
            let against = cell.against.get(&metric)?;
            let ratio = against.ratio?;
            let side = Side {
                metric,
                ratio: ratio.value,
                verdict: against.verdict.clone(),
            };
            Some((side, ratio.resolution))
        })
}

/// The metal lane's cell that does the same.
fn same<'a>(a: &Results, b: &Results, drive: &'a Comparison, cell: &Cell) -> Option<&'a Cell> {
    let key = &cell.key;
    let workload = |run: &'_ Results| {
        let scenario = run.scenario.of(&key.subject);
        let mut workloads = scenario.workloads.iter();
        workloads.find(|w| w.name == key.workload).map(does)
    };
    let release = |run: &Results| {
        let kernel = run.kernels.iter().find(|k| k.name == key.subject.kernel);
        kernel.and_then(|kernel| kernel.release.clone())
    };
    if workload(a)? != workload(b)? || release(a) != release(b) {
        return None;
    }
    drive.cells.iter().find(|other| {
        other.key.subject == key.subject
            && other.key.filesystem == key.filesystem
            && other.key.workload == key.workload
    })
}

/// What a workload does to a file, but for how large that is and how long it takes. Whether fio does it
/// or an engine of ours decides nothing about direction.
fn does(workload: &WorkloadSpec) -> impl PartialEq + use<> {
    let job = &workload.job;
    (
        job.engine,
        job.rw,
        job.rwmixread,
        job.block_size,
        job.iodepth,
        job.numjobs,
        (job.shares_a_file(), job.overlaps()),
        job.sync,
        job.fdatasync,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::fixture;

    fn told(both: &BothLanes) -> String {
        let line = |cell: &InBoth| {
            let side = |side: &Side| format!("{:.3} {}", side.ratio, side.verdict.word());
            format!(
                "{}/{}/{}: {}, {}: {}",
                cell.kernel,
                cell.filesystem,
                cell.workload,
                side(&cell.path),
                side(&cell.drive),
                cell.together.words()
            )
        };
        both.cells.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_first_run_of_each_lane_is_taken_each_against_its_own_baseline() {
        let (exact, metal) = (fixture::results(), fixture::session(8, 1.0));
        let both = both_lanes(&[&metal, &metal, &exact]).unwrap();
        assert_eq!((both.exact, both.metal), (2, 0));
        insta::assert_snapshot!(told(&both), @"
        6.12/ext4/read-4k: 0.987 improved, 0.994 same: agree
        6.12/ext4/write-4k: 1.539 regressed, 0.680 regressed: agree
        ");
        assert_eq!(both_lanes(&[&exact, &exact]), None);
    }

    #[test]
    fn what_does_something_else_or_is_another_kernel_is_not_the_same_cell() {
        let (exact, metal) = (fixture::results(), fixture::session(8, 1.0));
        let with = |change: &dyn Fn(&mut Results)| {
            let mut metal = metal.clone();
            change(&mut metal);
            both_lanes(&[&exact, &metal]).map_or(0, |both| both.cells.len())
        };
        assert_eq!(with(&|_| ()), 2);
        let longer = |run: &mut Results| {
            for workload in &mut run.scenario.workloads {
                workload.job.file_size *= 2;
            }
        };
        assert_eq!(with(&longer), 2);
        assert_eq!(with(&|run| run.scenario.workloads[0].job.iodepth = 1), 1);
        let release = |run: &mut Results| run.kernels[0].release = Some("6.12.1".into());
        assert_eq!(with(&release), 0);
        assert_eq!(with(&|run| run.scenario.rebase("6.12")), 0);
    }

    #[test]
    fn directions_are_put_together() {
        use Direction::{Better, Same, Worse};
        let of = |path, drive| Together::of(path, drive).words();
        assert_eq!(of(Some(Worse), Some(Worse)), "agree");
        assert_eq!(of(Some(Same), Some(Same)), "agree");
        assert_eq!(of(Some(Better), Some(Worse)), "CONTRADICT");
        assert_eq!(of(Some(Worse), Some(Same)), "not seen on the drive");
        assert_eq!(of(Some(Same), Some(Better)), "not by path length");
        assert_eq!(of(Some(Worse), None), "undecided");
    }
}
