//! The gallery's page, of made-up runs.

use super::*;
use crate::{
    compare::fixture,
    record::Results,
    scenario::{Known, Metric, Source},
};

fn source(known: Known) -> Source {
    Source {
        url: "https://lore.example/a@b".into(),
        by: "A. Reporter".into(),
        date: "2021-05-06".into(),
        setup: "fio, a drive".into(),
        claim: "small writes lost a fifth\nof their rate".into(),
        limits: "the path's length, no drive".into(),
        known,
        because: match known {
            Known::Reproduced => String::new(),
            _ => "the drive decides".into(),
        },
    }
}

/// The fixture's run on ext4 with two workloads and its first claim.
fn results(known: Known) -> Results {
    let mut results = fixture::results();
    let scenario = &mut results.scenario;
    scenario.source = Some(source(known));
    scenario.expect.truncate(1);
    scenario.filesystems.retain(|f| f.name == "ext4");
    scenario.workloads.retain(|w| w.name.ends_with("-4k"));
    results
        .cells
        .retain(|cell| cell.key.filesystem == "ext4" && cell.key.workload.ends_with("-4k"));
    results
}

fn entry(name: &str, results: &Results) -> GalleryEntry {
    GalleryEntry {
        name: format!("gallery/{name}"),
        run: GalleryRun::Ran {
            report: Box::new(Report::new(results)),
            path: format!("{}/report.md", results.run_id),
        },
    }
}

fn contradicted(known: Known) -> Results {
    let mut results = results(known);
    results.scenario.expect[0].at_least = Some(0.65);
    results
}

#[test]
fn a_page_says_of_every_entry_what_was_claimed_and_what_came_of_it() {
    let failed = GalleryEntry {
        name: "gallery/third".into(),
        run: GalleryRun::Failed("no network".into()),
    };
    let entries = [
        entry("first", &results(Known::Reproduced)),
        entry("second", &contradicted(Known::NotReproduced)),
        failed,
    ];
    insta::assert_snapshot!(gallery_markdown(&entries), @r#"
    # The gallery

    **1 of 3 REPRODUCED; gallery/second NOT REPRODUCED as known; gallery/third NOT RUN; UNEXPECTED: gallery/third: it was not run**

    *exact lane: model device, instructions clock*

    | entry | reported | verdict | claims held |
    |---|---|---|---|
    | gallery/first | A. Reporter, 2021-05-06 | REPRODUCED | 1 of 1 claim |
    | gallery/second | A. Reporter, 2021-05-06 | NOT REPRODUCED | 0 of 1 claim |
    | gallery/third |  | NOT RUN |  |

    ## ext4 and XFS direct writes: deferred and inline completion

    **REPRODUCED**: 1 of 1 claim held

    - source: A. Reporter, 2021-05-06: https://lore.example/a@b
    - measured on: fio, a drive
    - claimed: small writes lost a fifth of their rate
    - what this lane can show: the path's length, no drive

    IOPS relative to 7.2 on the same file system:

    | file system | kernel | read-4k | write-4k |
    |---|---|---:|---:|
    | ext4 | 5.10 | 1.120 | 0.774 |
    | ext4 | 6.1 | 1.121 | 0.757 |
    | ext4 | 6.12 | 1.011 | 0.678 |
    | ext4 | 6.18 | 0.992 | 0.628 |
    | ext4 | 7.2 | 1 | 1 |

    `diorama repro gallery/first`; report: [iomap-dio-1/report.md](iomap-dio-1/report.md)

    ## ext4 and XFS direct writes: deferred and inline completion

    **NOT REPRODUCED**: 0 of 1 claim held

    - source: A. Reporter, 2021-05-06: https://lore.example/a@b
    - measured on: fio, a drive
    - claimed: small writes lost a fifth of their rate
    - what this lane can show: the path's length, no drive
    - known to be: NOT REPRODUCED: the drive decides

    - 6.18/ext4/write-4k: IOPS relative to 7.2 is 0.6277, not between 0.65 and 0.85

    IOPS relative to 7.2 on the same file system:

    | file system | kernel | read-4k | write-4k |
    |---|---|---:|---:|
    | ext4 | 5.10 | 1.120 | 0.774 |
    | ext4 | 6.1 | 1.121 | 0.757 |
    | ext4 | 6.12 | 1.011 | 0.678 |
    | ext4 | 6.18 | 0.992 | 0.628 |
    | ext4 | 7.2 | 1 | 1 |

    `diorama repro gallery/second`; report: [iomap-dio-1/report.md](iomap-dio-1/report.md)

    ## gallery/third

    **NOT RUN**: no network
    "#);
}

#[test]
fn a_verdict_that_the_file_does_not_state_is_a_surprise_in_either_direction() {
    let surprise = |results: Results| entry("one", &results).surprise();
    assert_eq!(surprise(results(Known::Reproduced)), None);
    assert_eq!(surprise(contradicted(Known::NotReproduced)), None);
    assert_eq!(
        surprise(results(Known::NotReproduced)).unwrap(),
        "REPRODUCED, known as NOT REPRODUCED"
    );
    assert_eq!(
        surprise(contradicted(Known::Reproduced)).unwrap(),
        "NOT REPRODUCED, known as REPRODUCED"
    );
    assert_eq!(
        surprise(contradicted(Known::Undecided)).unwrap(),
        "NOT REPRODUCED, known as UNDECIDED"
    );
    let mut no_source = results(Known::Reproduced);
    no_source.scenario.source = None;
    assert!(surprise(no_source).is_some());
    let mut no_claims = results(Known::Reproduced);
    no_claims.scenario.expect.clear();
    assert_eq!(
        surprise(no_claims).unwrap(),
        "WITHOUT CLAIMS, known as REPRODUCED"
    );
    let entries = [entry("one", &results(Known::Undecided))];
    assert_eq!(
        gallery_summary(&entries),
        "1 of 1 REPRODUCED; UNEXPECTED: gallery/one: REPRODUCED, known as UNDECIDED"
    );
}

#[test]
fn the_table_is_that_of_the_quantity_that_the_point_is_about() {
    let table = |change: &dyn Fn(&mut Results)| {
        let mut results = fixture::results();
        results.scenario.source = Some(source(Known::Reproduced));
        results.scenario.expect.truncate(2);
        results.scenario.expect[0].point = false;
        results.scenario.expect[1].point = true;
        change(&mut results);
        gallery_markdown(&[entry("one", &results)])
    };
    assert!(table(&|_| {}).contains("\n\nIOPS relative to 7.2 on the same file system:\n\n|"));
    let value = table(&|results| {
        let claim = &mut results.scenario.expect[1];
        (claim.metric, claim.relative) = (Metric::ContextSwitchesPerIo, false);
    });
    assert!(value.contains("median and range:\n\n|"), "{value}");
    let beside = table(&|results| {
        results.scenario.expect[1].baseline_filesystem = Some("xfs".into());
    });
    assert!(
        beside.contains("IOPS relative to xfs of the same kernel:"),
        "{beside}"
    );
    assert!(!beside.contains("\n| xfs |"), "{beside}");
    assert!(beside.contains("\n| ext4 | 5.10 | "), "{beside}");
}

#[test]
fn every_document_names_its_source() {
    let results = results(Known::NotReproduced);
    let report = Report::new(&results);
    for format in [
        Format::Terminal,
        Format::Markdown,
        Format::Org,
        Format::Json,
    ] {
        for detail in [Detail::Brief, Detail::Whole] {
            let style = Style {
                detail,
                ..Style::default()
            };
            let text = String::from_utf8(render(&report, format, &style).unwrap()).unwrap();
            assert!(
                text.contains("https://lore.example/a@b"),
                "{format:?}: {text}"
            );
        }
    }
}
