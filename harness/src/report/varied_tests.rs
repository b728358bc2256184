//! Reports whose rows are variants of one kernel.

use super::*;
use crate::compare::fixture;

fn text(format: Format) -> String {
    let style = Style {
        chart: Some("chart.svg".into()),
        ..Style::default()
    };
    let report = Report::new(&fixture::varied());
    String::from_utf8(render(&report, format, &style).unwrap()).unwrap()
}

/// The paragraph that begins with these words.
fn part(text: &str, begin: &str) -> String {
    let from = text.find(begin).unwrap_or_else(|| panic!("{text}"));
    let rest = &text[from..];
    rest[..rest.find("\n\n").unwrap_or(rest.len())].to_owned()
}

#[test]
fn rows_are_named_by_kernel_and_variant_and_what_varies_is_said_first() {
    let terminal = text(Format::Terminal);
    let head: Vec<&str> = terminal.lines().take(3).collect();
    insta::assert_snapshot!(head.join("\n"), @"
    ext4 and XFS direct writes: deferred and inline completion
    exact lane: model device, instructions clock
    varies: model.scheduler, workloads.*.iodepth, guest.cmdline
    ");
    insta::assert_snapshot!(part(&terminal, "IOPS relative to"), @"
    IOPS relative to 6.12 on the same file system
    exact lane: model device, instructions clock
    kernel+variant      read-4k  write-4k
    ext4
      6.12                    1         1
      6.12+mq-deadline    1.109     1.118
      6.12+shallow        1.107     1.142
    ");
    insta::assert_snapshot!(part(&terminal, "Claims"), @"
    Claims (exact lane: model device, instructions clock)
      held: write-4k of 6.12 with mq-deadline on every file system: IOPS relative to 6.12 between 1 and 1.2
    REPRODUCED
    ");
}

#[test]
fn every_format_names_the_variants() {
    for format in Format::ALL {
        if format == Format::Png {
            continue;
        }
        let text = text(format);
        assert!(
            text.contains("6.12+mq-deadline") || format == Format::Csv,
            "{format:?}: {text}"
        );
        let says = !matches!(format, Format::Csv | Format::Svg | Format::Junit);
        assert!(
            !says || text.contains("model.scheduler"),
            "{format:?}: {text}"
        );
    }
    let markdown = text(Format::Markdown);
    assert!(
        markdown.contains("**varies: model.scheduler, workloads"),
        "{markdown}"
    );
    let setup: Vec<&str> = markdown
        .lines()
        .filter(|line| line.starts_with("| variant "))
        .collect();
    insta::assert_snapshot!(setup.join("\n"), @r"
    | variant mq-deadline | model.scheduler none -\> mq-deadline |
    | variant shallow | guest.cmdline none -\> nohz=off, workloads.read-4k.iodepth 64 -\> 1, workloads.write-4k.iodepth 64 -\> 1 |
    ");
    let csv = text(Format::Csv);
    let row = csv.lines().nth(25).unwrap();
    assert!(
        row.contains(",6.12,6.12+mq-deadline,") && row.ends_with(",mq-deadline"),
        "{row}"
    );
}

/// Charts are what mails show: a variant's bar has its own place in the legend.
#[test]
fn a_chart_has_every_row_in_its_legend() {
    let chart = text(Format::Svg);
    for label in ["6.12+mq-deadline", "6.12+shallow"] {
        assert!(chart.contains(label), "{chart}");
    }
}
