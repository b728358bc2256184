//! Snapshots of every format, and rules that hold in all of them.

use super::*;
use crate::{
    compare::METRICS,
    compare::fixture,
    scenario::{Clock, DeviceKind, Lane},
};

fn text(report: &Report, format: Format, style: &Style) -> String {
    String::from_utf8(render(report, format, style).unwrap()).unwrap()
}

fn plain(report: &Report, format: Format) -> String {
    text(report, format, &Style::default())
}

/// Every format but the one that is no text.
fn texts() -> impl Iterator<Item = Format> {
    (Format::ALL.into_iter()).filter(|format| *format != Format::Png)
}

#[test]
fn terminal() {
    let good = Report::new(&fixture::results());
    insta::assert_snapshot!("terminal", plain(&good, Format::Terminal));
    let bad = Report::new(&fixture::with_failures());
    insta::assert_snapshot!("terminal_failures", plain(&bad, Format::Terminal));
}

#[test]
fn markdown() {
    let good = Report::new(&fixture::results());
    insta::assert_snapshot!("markdown", plain(&good, Format::Markdown));
    let bad = Report::new(&fixture::with_failures());
    insta::assert_snapshot!("markdown_failures", plain(&bad, Format::Markdown));
}

#[test]
fn org() {
    let report = Report::new(&fixture::with_failures());
    insta::assert_snapshot!("org", plain(&report, Format::Org));
}

#[test]
fn csv() {
    let report = Report::new(&fixture::with_failures());
    insta::assert_snapshot!("csv", plain(&report, Format::Csv));
}

#[test]
fn junit() {
    let report = Report::new(&fixture::with_failures());
    insta::assert_snapshot!("junit", plain(&report, Format::Junit));
}

/// The fixture's kernels and ratios, as if its four workloads were one at four queue depths.
fn over_depth() -> crate::record::Results {
    let mut results = fixture::results();
    results.scenario.title = "4k writes by queue depth".into();
    let model = results.scenario.workloads[0].job.clone();
    for (workload, depth) in results.scenario.workloads.iter_mut().zip([2, 1, 4, 32]) {
        workload.job = diorama_wire::Workload {
            iodepth: depth,
            ..model.clone()
        };
    }
    results
}

#[test]
fn workloads_that_differ_in_depth_alone_are_lines_over_it() {
    let report = Report::new(&over_depth());
    let axis = report.axis.as_ref().expect("an axis");
    let depths: Vec<u32> = axis.points.iter().map(|(_, depth)| *depth).collect();
    assert_eq!((axis.key, depths), (AxisKey::Iodepth, vec![2, 1, 4, 32]));
    insta::assert_snapshot!("svg_depths", plain(&report, Format::Svg));
    // Anything else that differs makes them groups of bars again.
    let mut other = over_depth();
    other.scenario.workloads[3].job.block_size *= 2;
    assert_eq!(Report::new(&other).axis, None);
    let mut single = over_depth();
    single.scenario.workloads.truncate(1);
    assert_eq!(Report::new(&single).axis, None);
}

#[test]
fn workloads_that_differ_in_block_size_alone_are_lines_over_it() {
    let mut results = over_depth();
    results.scenario.title = "Direct writes by block size".into();
    let sizes = [4096, 8192, 12_288, 16_384];
    for (workload, size) in results.scenario.workloads.iter_mut().zip(sizes) {
        (workload.job.iodepth, workload.job.block_size) = (64, size);
        workload.job.file_size = (64 << 20) / u64::from(size) * u64::from(size);
    }
    insta::assert_snapshot!("svg_sizes", plain(&Report::new(&results), Format::Svg));
}

#[test]
fn a_line_breaks_off_where_a_cell_has_no_ratio() {
    let whole = Report::new(&over_depth());
    let mut results = over_depth();
    let cell = results.cells.iter_mut().find(|c| c.key.subject.is("6.12"));
    cell.expect("a cell").outcome = crate::record::Outcome::TimedOut {
        phase: "format".into(),
        after_s: 60.0,
        console: vec![],
    };
    let broken = Report::new(&results);
    let dots = |report: &Report| {
        let svg = chart::render(report);
        (
            svg.matches("<circle").count(),
            svg.matches("TIMED OUT").count(),
        )
    };
    let (before, after) = (dots(&whole), dots(&broken));
    assert_eq!(
        (after.0 + 1, before.1),
        (before.0, 0),
        "{before:?} {after:?}"
    );
    assert!(after.1 > 0, "{after:?}");
}

#[test]
fn svg() {
    let report = Report::new(&fixture::with_failures());
    insta::assert_snapshot!("svg", plain(&report, Format::Svg));
}

#[test]
fn two_runs_are_one_report() {
    let (a, mut b) = (fixture::results(), fixture::results());
    b.run_id = "iomap-dio-2".into();
    let report = Report::of_runs(&a, &[&b]);
    insta::assert_snapshot!("two_runs", plain(&report, Format::Terminal));
}

#[test]
fn a_narrow_terminal_is_never_overrun_and_loses_nothing() {
    let report = Report::new(&fixture::with_failures());
    let wide = plain(&report, Format::Terminal);
    let style = Style {
        width: 60,
        ..Style::default()
    };
    let narrow = text(&report, Format::Terminal, &style);
    let tables = |text: &str| {
        let end = text.find("Cells that were not measured").unwrap();
        text[..end].to_owned()
    };
    for line in tables(&narrow).lines().filter(|l| l.starts_with("  ")) {
        assert!(line.chars().count() <= 60, "{line}");
    }
    for word in [
        "GUEST FAULT",
        "TIMED OUT",
        "UNSUPPORTED",
        "NOT RUN",
        "WRONG RESULT",
    ] {
        let count = |text: &str| tables(text).matches(word).count();
        assert!(count(&wide) > 0 && count(&narrow) >= count(&wide), "{word}");
    }
}

#[test]
fn colour_adds_only_escape_sequences() {
    let report = Report::new(&fixture::with_failures());
    let style = Style {
        color: true,
        ..Style::default()
    };
    let colored = text(&report, Format::Terminal, &style);
    assert!(colored.contains("\x1b[1;31mGUEST FAULT\x1b[0m"));
    let mut stripped = colored;
    while let Some(start) = stripped.find('\x1b') {
        let end = start + stripped[start..].find('m').unwrap();
        stripped.replace_range(start..=end, "");
    }
    let trimmed = stripped.lines().map(|l| format!("{}\n", l.trim_end()));
    assert_eq!(
        trimmed.collect::<String>(),
        plain(&report, Format::Terminal)
    );
}

#[test]
fn every_format_names_the_lane() {
    let report = Report::new(&fixture::results());
    for format in texts() {
        let text = plain(&report, format);
        assert!(
            text.contains("exact lane: model device, instructions clock"),
            "{format:?}"
        );
    }
}

#[test]
fn a_replaced_kernel_and_failing_cells_are_loud_in_every_format() {
    let report = Report::new(&fixture::with_failures());
    for format in texts() {
        let text = plain(&report, format).to_lowercase();
        let replaced = match format {
            Format::Csv => "true,no,",
            Format::Json => "\"locked\": \"replaced\"",
            _ => "not the locked kernel",
        };
        assert!(text.contains(replaced), "{format:?}");
        for word in [
            "guest fault",
            "timed out",
            "unsupported",
            "wrong result",
            "harness failed",
            "not run",
        ] {
            // The chart has no bar for the baseline; its readers see what it was needed for.
            if !(format == Format::Svg && word == "wrong result") {
                assert!(text.contains(word), "{format:?}: {word}");
            }
        }
    }
}

#[test]
fn csv_has_one_row_per_cell_and_metric_whatever_happened() {
    for results in [fixture::results(), fixture::with_failures()] {
        let text = plain(&Report::new(&results), Format::Csv);
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let records: Result<Vec<_>, _> = reader.records().collect();
        assert_eq!(records.unwrap().len(), 40 * METRICS.len());
    }
}

#[test]
fn json_is_json_with_every_cell() {
    let text = plain(&Report::new(&fixture::with_failures()), Format::Json);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["version"], 1);
    assert_eq!(
        value["report"]["comparison"]["cells"]
            .as_array()
            .unwrap()
            .len(),
        40
    );
    assert_eq!(value["report"]["reproduction"]["is"], "undecided");
    assert_eq!(value["units"]["busy-per-io"], "ns/IO");
}

#[test]
fn a_figure_of_another_lane_is_never_shown_below_this_lanes_name() {
    let (a, mut b) = (fixture::results(), fixture::results());
    let wall = Lane {
        device: DeviceKind::Nvme,
        clock: Clock::Wall,
    };
    fixture::on_a_drive(&mut b.scenario);
    b.cells.iter_mut().for_each(|c| c.key.lane = wall);
    let report = Report::of_runs(&a, &[&b]);
    for table in tables::all(&report) {
        let relative = table.title.contains("relative");
        for row in table.groups.iter().flat_map(|g| &g.rows) {
            let of_b = row.label.starts_with("B:");
            if relative && of_b {
                assert!(row.entries.iter().all(|e| e.text == "INCOMPARABLE"));
            } else if !relative {
                assert_eq!(
                    of_b,
                    table.caption.contains("wall clock"),
                    "{}",
                    table.title
                );
            }
        }
    }
}

/// Pixels of a PNG: width, height, RGBA.
fn pixels(png: &[u8]) -> resvg::tiny_skia::Pixmap {
    resvg::tiny_skia::Pixmap::decode_png(png).unwrap()
}

#[test]
fn the_png_is_drawn_with_the_font_in_the_tree() {
    let report = Report::new(&fixture::results());
    let with_text = chart::render(&report);
    let drawn = pixels(&png::render(&with_text).unwrap());
    assert_eq!(drawn.width(), 1600);
    // Without its texts the same chart has fewer dark pixels: text was drawn, with no font
    // installed being asked (the fonts' database holds two faces and nothing else).
    let lines = with_text.lines().filter(|l| !l.starts_with("<text"));
    let bare: String = lines.map(|l| format!("{l}\n")).collect();
    let bare = pixels(&png::render(&bare).unwrap());
    let dark = |p: &resvg::tiny_skia::Pixmap| {
        let dark = p.pixels().iter().filter(|c| c.red() < 90 && c.blue() < 90);
        dark.count()
    };
    assert!(dark(&drawn) > dark(&bare) + 5000);
}

#[test]
fn equal_reports_give_equal_bytes() {
    let report = Report::new(&fixture::with_failures());
    for format in Format::ALL {
        let once = render(&report, format, &Style::default()).unwrap();
        let again = render(&report.clone(), format, &Style::default()).unwrap();
        assert!(once == again, "{format:?}");
    }
}

#[test]
fn names_with_markup_in_them_stay_text() {
    let mut results = fixture::results();
    results.scenario.title = "a <b> & \"c\" | d".into();
    let report = Report::new(&results);
    png::render(&plain(&report, Format::Svg)).unwrap();
    assert!(plain(&report, Format::Svg).contains("a &lt;b&gt; &amp; &quot;c&quot; | d"));
    assert!(plain(&report, Format::Markdown).starts_with("# a \\<b\\> & \"c\" \\| d"));
}

#[test]
fn a_run_without_a_measured_cell_still_renders_everywhere() {
    let mut results = fixture::results();
    for cell in &mut results.cells {
        cell.outcome = crate::record::Outcome::NotRun {
            why: "stopped by SIGINT".into(),
        };
    }
    results.scenario.expect.clear();
    let report = Report::new(&results);
    for format in Format::ALL {
        assert!(
            !render(&report, format, &Style::default())
                .unwrap()
                .is_empty()
        );
    }
    assert!(plain(&report, Format::Terminal).contains("40 of 40 cells WERE NOT MEASURED"));
}

#[test]
fn a_build_of_ones_own_is_called_so_in_every_format() {
    let mut results = fixture::results();
    results.scenario.kernels[0].source = crate::scenario::KernelSource::Local {
        path: "bzImage".into(),
        modules: None,
    };
    results.kernels[0].origin = "local build bzImage".into();
    // Records of earlier versions say `as_locked` of it.
    for as_locked in [true, false] {
        results.kernels[0].as_locked = as_locked;
        let report = Report::new(&results);
        assert!(report.alarms().is_empty(), "{:?}", report.alarms());
        for (format, word) in [
            (Format::Markdown, "| local build bzImage | local build |"),
            (Format::Org, ", local build"),
            (Format::Csv, ",false,local,"),
            (Format::Json, "\"locked\": \"local\""),
            (Format::Junit, "local build: local build bzImage"),
        ] {
            let text = plain(&report, format);
            assert!(text.contains(word), "{format:?}: {text}");
        }
    }
}

#[test]
fn claims_that_were_left_out_are_in_every_format_that_has_claims() {
    let mut results = fixture::results();
    results.scenario.rebase("6.1");
    let report = Report::new(&results);
    for format in [
        Format::Terminal,
        Format::Markdown,
        Format::Org,
        Format::Junit,
    ] {
        let text = plain(&report, format);
        assert!(
            text.contains("left out: the baseline is 6.1, not 7.2")
                || text.contains(": the baseline is 6.1, not 7.2") && text.contains("left out"),
            "{format:?}: {text}"
        );
    }
    let json = plain(&report, Format::Json);
    assert!(json.contains("\"left-out\""), "{json}");
}

#[test]
fn other_digits_under_equal_inputs_are_loud_in_every_format() {
    let (mut a, mut b) = (fixture::results(), fixture::results());
    let digest = crate::digest::Sha256::of(b"the same");
    (a.cells[0].inputs, b.cells[0].inputs) = (Some(digest), Some(digest));
    for cell in a.cells.iter_mut().chain(&mut b.cells).skip(1) {
        if cell.inputs != Some(digest) {
            cell.inputs = None;
        }
    }
    b.cells[0].outcome = crate::record::Outcome::WrongResult { why: "torn".into() };
    let report = Report::of_runs(&a, &[&b]);
    assert_eq!(report.comparison.alarms.len(), 1);
    for format in [
        Format::Terminal,
        Format::Markdown,
        Format::Org,
        Format::Json,
        Format::Junit,
    ] {
        let text = plain(&report, format);
        let found =
            text.contains("EQUAL INPUTS, DIFFERENT DIGITS") || text.contains("\"alarms\": [\n");
        assert!(found, "{format:?}: {text}");
    }
}

#[test]
fn a_session_shows_intervals_verdicts_with_what_explains_them_and_what_it_rests_on() {
    let report = Report::new(&fixture::session(8, 1.0));
    let text = text(&report, Format::Terminal, &Style::default());
    let from = text.find("IOPS relative to").unwrap();
    insta::assert_snapshot!(&text[from..], @"
    IOPS relative to 7.2 on the same file system
    metal lane: nvme device, wall clock
    kernel               read-4k                write-4k
    ext4
      6.12  0.994 [0.990, 0.997] ~  0.680 [0.678, 0.682]
      7.2                      1                       1
    [low, high]: 95% interval of the mean ratio over 8 blocks.
    ~ the same: the interval is within the minimum effect.

    TOTAL_IO relative to 7.2 on the same file system
    metal lane: nvme device, wall clock
    kernel               read-4k                write-4k
    ext4
      6.12  0.994 [0.990, 0.997] ~  0.680 [0.678, 0.682]
      7.2                      1                       1
    [low, high]: 95% interval of the mean ratio over 8 blocks.
    ~ the same: the interval is within the minimum effect.

    Verdicts on IOPS against 7.2
    metal lane: nvme device, wall clock
    kernel   read-4k                                            write-4k
    ext4
      6.12      same  regressed: context switches, queued work, CPU time
      7.2   baseline                                            baseline
    A verdict with a cost behind it is explained: that cost per I/O moved with it; one without is not.

    Session
      - 8 blocks of fresh boots, every kernel once and the baseline twice in each; 48 of 48 boots measured; their order is that of seed 7
      - A/A gate passed: the baseline does not differ from itself in any of 2 comparisons
      - 2 cells tested: 1 that the scenario's claims are about (Holm, 1%) and 1 other (Benjamini-Hochberg, 1%); a difference must be at least 2%, and at least the baseline's own spread

    Claims (metal lane: nvme device, wall clock)
      held: write-4k of 6.12 on every file system: IOPS relative to 7.2 between 0.6 and 0.85
    REPRODUCED
    ");
}

#[test]
fn an_invalid_session_and_an_emulators_figures_are_loud_in_every_format() {
    let mut results = fixture::session(8, 1.05);
    for cell in &mut results.cells {
        if let crate::record::Outcome::Measured(measured) = &mut cell.outcome {
            measured.host.accel = crate::vocabulary::Accel::Tcg;
        }
    }
    let report = Report::new(&results);
    insta::assert_snapshot!(report.alarms().join("\n"), @"
    THESE ARE NOT A DRIVE'S FIGURES: TCG, an emulator, executed the guests, so figures by the wall clock are the emulator's
    THE SESSION IS INVALID: the baseline differs from itself in ext4/read-4k, ext4/write-4k: something besides the kernel decides the figures
    ");
    for format in [Format::Terminal, Format::Markdown, Format::Org] {
        let text = plain(&report, format);
        for word in ["SESSION IS INVALID", "NOT A DRIVE'S FIGURES"] {
            assert!(text.contains(word), "{format:?}: {text}");
        }
    }
    let json = plain(&report, Format::Json);
    assert!(json.contains("\"is\": \"invalid\"") && json.contains("\"emulated\""));
}

#[test]
fn runs_of_both_lanes_are_put_side_by_side_in_every_text() {
    let (exact, metal) = (fixture::results(), fixture::session(8, 1.0));
    let report = Report::of_runs(&exact, &[&metal]);
    let text = text(&report, Format::Terminal, &Style::default());
    // Each lane's tables say how many repetitions that lane has.
    let medians = text.lines().filter(|line| line.starts_with("median of"));
    let counts = medians.filter_map(|line| line.split(' ').nth(2));
    assert_eq!(counts.collect::<Vec<_>>(), ["5", "5", "16", "16"]);
    let from = text.find("read-4k in both lanes").unwrap();
    insta::assert_snapshot!(&text[from..], @"
    read-4k in both lanes, relative to 7.2
    A: exact lane: model device, instructions clock; B: metal lane: nvme device, wall clock
    kernel  path length says  the drive says  together  ctx sw, exact  ctx sw, drive
    ext4
      6.12    0.987 improved      0.994 same     agree           0.00           0.00

    write-4k in both lanes, relative to 7.2
    A: exact lane: model device, instructions clock; B: metal lane: nvme device, wall clock
    kernel  path length says   the drive says  together  ctx sw, exact  ctx sw, drive
    ext4
      6.12   1.539 regressed  0.680 regressed     agree           2.00           2.00
    path length: instructions per I/O in the exact lane, more is worse; the drive: IOPS in the metal lane, more is better.
    of 2 cells in both lanes 2 have a verdict in each: 2 agree in direction, 0 contradict, 0 differ in path length and not on the drive, 0 on the drive and not in path length.

    Notes
      - A and B are from different lanes (exact lane: model device, instructions clock and metal lane: nvme device, wall clock): ratios between them are meaningless
      - A: file systems are formatted with the features that 5.10 knows
    ");
    for format in [Format::Markdown, Format::Org, Format::Json] {
        let text = plain(&report, format);
        assert!(
            text.contains("in both lanes") || text.contains("both_lanes"),
            "{format:?}"
        );
    }
    assert!(report.comparison.answers());
}
