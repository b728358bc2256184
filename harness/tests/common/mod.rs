//! What tests with real guests share: the program as a user runs it, and a place for its results.
//!
//! `cargo xtask test` provides the agent and the downloads (DIORAMA_AGENT, DIORAMA_ROOT and the
//! user's cache). Without them such a test cannot run: it says so, and under CI it fails.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod cpu;
pub mod running;
pub mod terminal;

use diorama::{
    digest::Sha256,
    lock::LockedFile,
    provision::Project,
    store::{NoProgress, Sources, Store},
};
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Says that a test cannot run here, and why. Under CI, where everything is provided, it fails.
pub fn skip(test: &str, why: &str) {
    println!("SKIPPED {test}: {why}");
    assert!(
        env::var_os("CI").is_none(),
        "an unexpected skip under CI: {test}: {why}"
    );
}

/// A place for one test's results, and a CPU for its guests.
pub struct Lab {
    _cpu: cpu::Lease,
    results: tempfile::TempDir,
    agent: PathBuf,
    root: PathBuf,
}

impl Lab {
    /// A lab, or the reason why there is none, printed. An unexpected skip fails under CI.
    #[must_use]
    pub fn open(test: &str) -> Option<Lab> {
        let variable = |name: &str| env::var_os(name).map(PathBuf::from);
        let (Some(agent), Some(root)) = (variable("DIORAMA_AGENT"), variable("DIORAMA_ROOT"))
        else {
            skip(test, "real guests need the agent: run `cargo xtask test`");
            return None;
        };
        let cpu = cpu::Lease::take();
        let results = tempfile::tempdir().expect("a temporary directory");
        Some(Lab {
            _cpu: cpu,
            results,
            agent,
            root,
        })
    }

    /// The checkout.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The guest agent; the plugin lies beside it.
    #[must_use]
    pub fn agent(&self) -> &Path {
        &self.agent
    }

    /// Where this lab's runs are recorded.
    #[must_use]
    pub fn results(&self) -> &Path {
        self.results.path()
    }

    /// Writes a file beside this lab's results, a scenario for one; returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.results.path().join(name);
        std::fs::write(&path, text).expect("a file of the test's own, written");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// The text of one of the project's scenarios.
    #[must_use]
    pub fn scenario(&self, name: &str) -> String {
        let path = self.root.join("scenarios").join(format!("{name}.toml"));
        std::fs::read_to_string(path).expect("a scenario of the project's")
    }

    /// The program, with this lab's places and nothing of the caller's terminal.
    #[must_use]
    pub fn diorama(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
        command
            .env("DIORAMA_ROOT", &self.root)
            .env("DIORAMA_AGENT", &self.agent)
            .arg("--results")
            .arg(self.results.path())
            .stdin(std::process::Stdio::null());
        command
    }

    /// The unpacked packages of a kernel or a tool set, out of the cache alone.
    #[must_use]
    pub fn tree(&self, which: Tree<'_>) -> PathBuf {
        let nowhere = Sources::only(BTreeMap::new(), Vec::new());
        (store().tree(&self.locked(which), &nowhere, &NoProgress))
            .expect("what `diorama fetch smoke` unpacked")
    }

    /// Its packages in the cache.
    #[must_use]
    pub fn files(&self, which: Tree<'_>) -> Vec<PathBuf> {
        let files = store().root().join("files");
        let locked = self.locked(which);
        locked
            .iter()
            .map(|file| files.join(file.sha256.to_string()))
            .collect()
    }

    fn locked(&self, which: Tree<'_>) -> Vec<LockedFile> {
        let project = Project::open(&self.root).expect("the locks");
        let (lock, name) = match which {
            Tree::Kernel(name) => (&project.kernels, name),
            Tree::Tools(name) => (&project.images, name),
        };
        lock.entry(name).expect("the entry").files.clone()
    }

    /// Runs the program; its output is shown when the test fails.
    pub fn run(&self, words: &[&str]) -> Output {
        let output = self.diorama().args(words).output().expect("diorama starts");
        println!("$ diorama {}\n{}", words.join(" "), text(&output));
        output
    }

    /// `diorama run ... --json`: the results, which must be whole unless `exit` says otherwise.
    pub fn measure(&self, words: &[&str], exit: i32) -> serde_json::Value {
        let mut all = vec!["run"];
        all.extend(words);
        all.extend(["--json", "--plain"]);
        let output = self.diorama().args(&all).output().expect("diorama starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        println!("$ diorama {}\n{stderr}", all.join(" "));
        assert_eq!(
            output.status.code(),
            Some(exit),
            "diorama {}: {stderr}",
            all.join(" ")
        );
        serde_json::from_slice(&output.stdout).expect("results as JSON")
    }
}

/// An entry of one of the two locks.
#[derive(Clone, Copy, Debug)]
pub enum Tree<'a> {
    /// Of kernels/lock.toml
    Kernel(&'a str),
    /// Of images/lock.toml
    Tools(&'a str),
}

/// Both streams of an output.
#[must_use]
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Cell name -> everything the guest reported, and its memory's digests: all that must be equal
/// when inputs are equal.
#[must_use]
pub fn digits(results: &serde_json::Value) -> BTreeMap<String, serde_json::Value> {
    let cells = results["cells"].as_array().expect("cells");
    cells
        .iter()
        .map(|cell| {
            let key = &cell["key"];
            let part = |name: &str| key[name].as_str().unwrap_or("?").to_owned();
            let variant = key["variant"].as_str().map(|v| format!("+{v}"));
            let row = part("kernel") + &variant.unwrap_or_default();
            let name = [row, part("filesystem"), part("workload")].join("/");
            let outcome = &cell["outcome"];
            assert_eq!(outcome["is"], "measured", "{name}: {outcome}");
            let exact = serde_json::json!({
                "guest": outcome["guest"], "memory": outcome["memory"], "inputs": cell["inputs"],
            });
            (name, exact)
        })
        .collect()
}

/// The cache that the program uses in tests.
#[must_use]
pub fn store() -> Store {
    let root = Store::default_root(|name| env::var(name).ok()).expect("a cache directory");
    Store::open(root).expect("the cache")
}

/// Selects two cells of one kernel under a command line of this test's own, and makes sure that
/// they are not known.
#[must_use]
pub fn unknown_cells<'a>(lab: &Lab, word: &'a str) -> Vec<&'a str> {
    let select = vec!["smoke", "--only-kernel", "7.2", "--cmdline", word];
    let mut words = vec!["plan", "--json"];
    words.extend(&select);
    let output = lab.diorama().args(&words).output().expect("a plan");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the plan as JSON");
    let cells = plan.as_array().expect("cells");
    assert_eq!(cells.len(), 2, "{plan}");
    for cell in cells {
        let inputs: Sha256 = serde_json::from_value(cell["inputs"].clone()).expect("inputs");
        store().forget("cell", &inputs).expect("forgotten");
    }
    select
}

/// What each cell is, in plan order.
#[must_use]
pub fn outcomes(results: &serde_json::Value) -> Vec<String> {
    let cells = results["cells"].as_array().expect("cells");
    cells
        .iter()
        .map(|c| c["outcome"]["is"].as_str().expect("a word").to_owned())
        .collect()
}
