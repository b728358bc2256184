//! The gallery's scenarios, as they are.

use super::*;
use std::fs;

/// Every file of scenarios/gallery, by its name without the ending.
fn entries() -> Vec<(String, Scenario)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let entry = |name: String| {
        let path = locate(&name, &root).unwrap_or_else(|e| panic!("{}", e.render()));
        let found = load(&path, &known(), &Overrides::default());
        let scenario = found.unwrap_or_else(|e| panic!("{name}: {}", e.render()));
        (name, scenario)
    };
    gallery(&root).into_iter().map(entry).collect()
}

#[test]
fn every_entry_has_a_source_and_claims_and_the_name_of_its_file() {
    let entries = entries();
    assert!(entries.len() >= 5, "{}", entries.len());
    for (name, scenario) in &entries {
        assert_eq!(*name, format!("gallery/{}", scenario.name));
        let source = scenario.source.as_ref();
        let source = source.unwrap_or_else(|| panic!("{name} has no source"));
        for text in [
            &source.by,
            &source.date,
            &source.setup,
            &source.claim,
            &source.limits,
        ] {
            assert!(!text.is_empty(), "{name}: {source:?}");
        }
        assert!(!scenario.description.is_empty(), "{name}");
        assert!(scenario.expect.iter().any(|claim| claim.point), "{name}");
        assert!(
            scenario
                .expect
                .iter()
                .all(|claim| !claim.because.is_empty()),
            "{name}"
        );
        assert!(scenario.left_out.is_empty(), "{name}");
        assert!(scenario.lane().is_exact(), "{name}");
    }
    let known = |wanted| {
        let all = entries
            .iter()
            .filter_map(|(_, scenario)| scenario.source.as_ref());
        all.filter(|source| source.known == wanted).count()
    };
    assert!(known(Known::Reproduced) >= 4);
}

#[test]
fn every_claim_is_about_some_cell() {
    for (name, scenario) in entries() {
        for claim in &scenario.expect {
            let baseline = |s: &&SubjectKey| claim.is_to_baseline() && scenario.is_baseline(s);
            let subjects = scenario.subjects.iter().filter(|s| claim.names(s));
            assert!(
                subjects.filter(|s| !baseline(s)).count() > 0,
                "{name}: {claim:?}"
            );
        }
    }
}

#[test]
fn names_of_the_gallery_are_found_with_their_directory() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("scenarios/gallery");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(root.path().join("scenarios/smoke.toml"), SMOKE).expect("a file");
    fs::write(dir.join("one.toml"), SMOKE).expect("a file");
    assert_eq!(available(root.path()), ["smoke", "gallery/one"]);
    assert_eq!(gallery(root.path()), ["gallery/one"]);
    assert_eq!(
        locate("gallery/one", root.path()).expect("by name"),
        dir.join("one.toml")
    );
    assert!(is_listed("gallery/one", root.path()) && !is_listed("smoke", root.path()));
    let error = |name: &str| {
        let error = locate(name, root.path())
            .expect_err("no such file")
            .render();
        error.replace(&root.path().display().to_string(), "ROOT")
    };
    insta::assert_snapshot!(error("gallery/on"), @r#"
    error: there is no scenario `gallery/on`: gallery/on is not a file
      help: did you mean `gallery/one`? (known scenarios: smoke, gallery/one)
    "#);
    insta::assert_snapshot!(error("one"), @r#"
    error: there is no scenario `one`: ROOT/scenarios/one.toml is not a file
      help: known scenarios: smoke, gallery/one
    "#);
}

/// The small scenario with a source of these lines.
fn sourced(lines: &str) -> String {
    changed("[measure]", &format!("[source]\n{lines}\n[measure]"))
}

#[test]
fn a_source_is_read_with_its_defaults() {
    let least = good(&sourced(
        "url = \"https://a.b/c\"\nclaim = \"\"\"\n less\n\"\"\"",
    ));
    let source = least.source.expect("a source");
    assert_eq!(
        (source.url.as_str(), source.claim.as_str()),
        ("https://a.b/c", "less")
    );
    assert_eq!(
        (source.by, source.known),
        (String::new(), Known::Reproduced)
    );
    assert_eq!(good(SMOKE).source, None);
}

#[test]
fn a_source_says_where_it_is_what_it_claims_and_why_it_is_not_reproduced() {
    insta::assert_snapshot!(bad(&sourced("by = \"me\"")), @r#"
    error: the scenario s.toml has 2 problems:
      s.toml: source.url: is missing; add source.url = "https://..", where the report can be read
      s.toml: source.claim: is missing; add source.claim = "..", what the report says
      help: fix the above; scenarios/README.md describes every key
    "#);
    let lines = "url = \"a.b/c\"\nclaim = \"less\"\ndate = \"May 2021\"\nknown = \"undecided\"";
    insta::assert_snapshot!(bad(&sourced(lines)), @r#"
    error: the scenario s.toml has 3 problems:
      s.toml:13:7: source.url: `a.b/c` is not a URL; write it as https://..
      s.toml:15:8: source.date: `May 2021` is not a day; write it as 2023-06-21
      s.toml:16:9: source.known: needs a reason; add source.because = "..": why, and what that means
      help: fix the above; scenarios/README.md describes every key
    "#);
}

/// The small scenario with the drive itself beside its file systems, and a claim of these lines.
fn beside(lines: &str) -> String {
    format!(
        "{SMOKE}\n[filesystems.raw]\nkind = \"none\"\n[[expect]]\nmetric = \"iops\"\nbaseline_filesystem = {lines}\n"
    )
}

#[test]
fn a_claim_can_be_about_a_ratio_to_another_file_system() {
    let text = beside("\"raw\"\nratio_at_most = 0.9");
    let scenario = good(&text);
    let claim = scenario.expect.last().expect("a claim");
    assert_eq!(claim.baseline_filesystem.as_deref(), Some("raw"));
    assert!(claim.relative && !claim.is_to_baseline());
    insta::assert_snapshot!(bad(&beside("\"row\"\nratio_at_most = 0.9")), @r#"
    error: the scenario s.toml has 1 problem:
      s.toml:59:23: expect[5].baseline_filesystem: `row` is not one of the file systems; did you mean `raw`? (known file systems: ext4, raw)
      help: fix the above; scenarios/README.md describes every key
    "#);
    insta::assert_snapshot!(bad(&beside("\"raw\"\nvalue_at_most = 9")), @r#"
    error: the scenario s.toml has 1 problem:
      s.toml:59:23: expect[5].baseline_filesystem: is what a ratio is to, and a value is bounded; bound a ratio: ratio_at_least, ratio_at_most
      help: fix the above; scenarios/README.md describes every key
    "#);
    insta::assert_snapshot!(bad(&beside("\"raw\"\nratio_at_most = 0.9\nfilesystems = [\"raw\"]")), @r#"
    error: the scenario s.toml has 1 problem:
      s.toml:61:16: expect[5].filesystems[1]: bounds the ratio of `raw` to itself; name other file systems
      help: fix the above; scenarios/README.md describes every key
    "#);
}

#[test]
fn without_that_file_system_the_claim_is_left_out() {
    let text = beside("\"raw\"\nratio_at_most = 0.9");
    let overrides = Overrides {
        only_filesystems: strings(&["ext4"]),
        ..Overrides::default()
    };
    let scenario = read(&text, &overrides).unwrap_or_else(|e| panic!("{}", e.render()));
    assert!(
        scenario
            .expect
            .iter()
            .all(|claim| claim.baseline_filesystem.is_none())
    );
    let left = scenario.left_out.last().expect("the claim");
    assert_eq!(left.why, "the command line left out raw");
    // It is no claim about the baseline, and stays with another one.
    let rebased = Overrides {
        baseline: Some("6.12".into()),
        ..Overrides::default()
    };
    let scenario = read(&text, &rebased).unwrap_or_else(|e| panic!("{}", e.render()));
    assert!(
        scenario
            .expect
            .iter()
            .any(|claim| claim.baseline_filesystem.is_some())
    );
}
