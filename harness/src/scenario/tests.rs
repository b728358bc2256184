//! Scenarios as people write them, right and wrong.

use super::*;
use crate::error::Exit;
use diorama_wire::{Bound, Rw};
use std::path::Path;

mod gallery;
mod metal;
mod refusals;
mod selection;
mod variants;

/// A small scenario of the tests' own, so that tuning the real one moves no line number here.
const SMOKE: &str = include_str!("tests_base.toml");
const IOMAP_DIO: &str = include_str!("../../../scenarios/iomap-dio.toml");

fn known() -> Vec<String> {
    ["5.10", "6.1", "6.12", "6.18", "7.2"]
        .map(String::from)
        .to_vec()
}

fn read(text: &str, overrides: &Overrides) -> crate::error::Result<Scenario> {
    resolve(text, "s.toml", Path::new("/base"), &known(), overrides)
}

fn good(text: &str) -> Scenario {
    read(text, &Overrides::default()).unwrap_or_else(|e| panic!("{}", e.render()))
}

fn refusal(text: &str, overrides: &Overrides) -> String {
    let error = read(text, overrides).expect_err("must be refused");
    assert_eq!(error.exit(), Exit::Input);
    error.render()
}

fn bad(text: &str) -> String {
    refusal(text, &Overrides::default())
}

/// That scenario with one piece of its text replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SMOKE.contains(from), "{from}");
    SMOKE.replace(from, to)
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

#[test]
fn a_volatile_write_cache_is_read_with_its_defaults() {
    use diorama_wire::WriteCache;
    let cache = |lines: &str| {
        let text = changed("[measure]", &format!("[model]\n{lines}\n[measure]"));
        let model = good(&text).device.model().unwrap().clone();
        (model.write_cache, model.is_stacked())
    };
    let with = |fua, flush_latency_ns| {
        Some(WriteCache {
            fua,
            flush_latency_ns,
        })
    };
    assert_eq!(cache("write_cache = \"none\""), (None, false));
    let volatile = "write_cache = \"volatile\"";
    assert_eq!(cache(volatile), (with(false, 10_000), false));
    let flush = format!("{volatile}\nflush_latency = \"1ms\"");
    assert_eq!(cache(&flush), (with(false, 1_000_000), true));
    let fua = format!("{volatile}\nfua = true\nflush_latency = \"5us\"");
    assert_eq!(cache(&fua), (with(true, 5_000), true));
}

#[test]
fn the_reports_scenario_is_the_reports_matrix() {
    let s = good(IOMAP_DIO);
    let names: Vec<_> = s.kernels.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(names, ["5.10", "6.1", "6.12", "6.18", "7.2"]);
    let names: Vec<_> = s.workloads.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(
        names,
        ["read-4k", "read-16k", "write-4k", "write-16k"],
        "the file's order"
    );
    assert_eq!(s.filesystems.len(), 2);
    assert!(s.lane().is_exact());
    assert_eq!(s.expect.len(), 7);
    let write = &s.workloads[3].job;
    assert_eq!((write.rw, write.block_size), (Rw::Write, 16 << 10));
    assert_eq!(write.bound, Bound::Runtime(40_000_000));
    assert_eq!(write.file_size, 32 << 20);
    good(include_str!("../../../scenarios/smoke.toml"));
}

#[test]
fn what_is_not_written_has_its_default() {
    let s = good(SMOKE);
    assert_eq!(s.measure.repetitions, 3);
    assert_eq!(
        (s.measure.warmup_ios, s.measure.phase_step_ns),
        (0, 731_000)
    );
    assert_eq!(
        (s.memory_mib, s.device.model().unwrap().size_mib),
        (1024, 512)
    );
    assert_eq!(s.workloads[0].job.iodepth, 64);
    assert!(s.cmdline.is_empty() && s.filesystems[0].mkfs.is_empty());
}

#[test]
fn the_readmes_example_is_a_scenario() {
    let readme = include_str!("../../../scenarios/README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let s = good(example);
    assert_eq!(
        s.kernels[2].source,
        KernelSource::Local {
            path: "/base/bzImage".into(),
            modules: Some("/base/modules".into())
        }
    );
}

#[test]
fn a_window_need_not_be_whole_bandwidth_periods() {
    let s = good(&changed("\"100ms\"", "\"5ms\""));
    assert!(s.device.model().unwrap().bandwidth_mib_s.is_some());
    assert_eq!(s.workloads[0].job.bound, Bound::Runtime(5_000_000));
}

#[test]
fn without_a_lock_every_kernel_is_unknown() {
    let error = resolve(SMOKE, "s.toml", Path::new(""), &[], &Overrides::default());
    insta::assert_snapshot!(error.expect_err("no kernel is known").render(), @r"
    error: the scenario s.toml has 2 problems:
      s.toml:10:12: kernels[1]: kernel `6.12` is not in the lock; declare it in kernels/ and run `diorama lock`
      s.toml:10:20: kernels[2]: kernel `7.2` is not in the lock; declare it in kernels/ and run `diorama lock`
      help: fix the above; scenarios/README.md describes every key
    ");
}

#[test]
fn files_are_found_by_path_and_by_name() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("scenarios");
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join("smoke.toml"), SMOKE).expect("a file");
    assert_eq!(
        locate("smoke", root.path()).expect("by name"),
        dir.join("smoke.toml")
    );
    let path = dir.join("smoke.toml");
    assert_eq!(
        locate(path.to_str().expect("text"), Path::new("/")).expect("by path"),
        path
    );
    assert_eq!(available(root.path()), ["smoke"]);
    let error = locate("smok", root.path())
        .expect_err("no such file")
        .render();
    insta::assert_snapshot!(error.replace(&root.path().display().to_string(), "ROOT"), @r"
    error: there is no scenario `smok`: ROOT/scenarios/smok.toml is not a file
      help: did you mean `smoke`? (known scenarios: smoke)
    ");
}

#[test]
fn a_local_kernel_that_is_not_there_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    let refused = || {
        let (image, modules) = (root.path().join("bzImage"), root.path().join("m"));
        let error = look_for("mine", &image, Some(&modules)).expect_err("must be refused");
        error
            .render()
            .replace(&root.path().display().to_string(), "ROOT")
    };
    insta::assert_snapshot!(refused(), @r"
    error: kernel `mine` has no image at ROOT/bzImage
      help: give the path of a bzImage or vmlinux
    ");
    std::fs::write(root.path().join("bzImage"), "").expect("a file");
    insta::assert_snapshot!(refused(), @r"
    error: kernel `mine` has no modules at ROOT/m
      help: give the path of a directory of its *.ko files
    ");
    std::fs::create_dir(root.path().join("m")).expect("a directory");
    let (image, modules) = (root.path().join("bzImage"), root.path().join("m"));
    assert!(look_for("mine", &image, Some(&modules)).is_ok());
    let error = load(
        &root.path().join("none.toml"),
        &known(),
        &Overrides::default(),
    );
    insta::assert_snapshot!(error.expect_err("no such file").render().replace(&root.path().display().to_string(), "ROOT"), @r"
    error: reading the scenario ROOT/none.toml
      caused by: No such file or directory (os error 2)
      help: give a scenario file, or the name of one in scenarios/
    ");
}
