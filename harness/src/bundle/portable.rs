//! A run's record without this host: what an image holds of it (pure).

use crate::{
    record::{Outcome, Results},
    scenario::KernelSource,
};
use std::path::{Path, PathBuf};

/// The record with nothing of the host's file system in it: where a kernel of one's own was built, and
/// which places notes speak of. No digest covers any of it.
#[must_use]
pub fn portable(mut results: Results) -> Results {
    for kernel in &mut results.scenario.kernels {
        if let KernelSource::Local { path, modules } = &mut kernel.source {
            *path = last(path);
            *modules = modules.as_deref().map(last);
        }
    }
    for change in (results.scenario.variants.iter_mut()).flat_map(|v| &mut v.overrides) {
        // A job file's; its text is among the workloads.
        if change.key.ends_with(".fio") {
            change.value = without_places(&change.value);
        }
    }
    for kernel in &mut results.kernels {
        kernel.origin = without_places(&kernel.origin);
    }
    for note in &mut results.notes {
        *note = without_places(note);
    }
    for cell in &mut results.cells {
        if let Outcome::HarnessFailed { why, .. } = &mut cell.outcome {
            *why = without_places(why);
        }
    }
    // Whoever has the image has a better one.
    results.replay = None;
    results
}

fn last(path: &Path) -> PathBuf {
    path.file_name().map_or_else(PathBuf::new, PathBuf::from)
}

/// Every absolute path shortened to its last component, but for those of the kernel's own.
fn without_places(text: &str) -> String {
    let words: Vec<String> = text.split(' ').map(word).collect();
    words.join(" ")
}

fn word(word: &str) -> String {
    let Some(at) = word.find('/') else {
        return word.to_owned();
    };
    let (before, path) = word.split_at(at);
    // `a/b`, and `KERNEL/FILESYSTEM/WORKLOAD`, are no places.
    let absolute = before.chars().all(|c| !c.is_alphanumeric()) || before.ends_with(['=', ':']);
    let public = ["/dev/", "/proc/", "/sys/"];
    if !absolute || public.iter().any(|root| path.starts_with(root)) {
        return word.to_owned();
    }
    let name = path.rsplit('/').find(|part| !part.is_empty());
    format!("{before}{}", name.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::fixture,
        scenario::{Override, Parts, Variant},
    };

    #[test]
    fn no_place_of_this_host_is_left() {
        let mut results = fixture::results();
        results.scenario.kernels[0].source = KernelSource::Local {
            path: "/home/u/linux/vmlinux".into(),
            modules: Some("/home/u/m/lib/modules".into()),
        };
        results.kernels[0].origin = "local build /home/u/linux/vmlinux".into();
        results.notes = vec![
            "/x/home/latest is not the link, (/home/x), --a=/home/b; 6.12/ext4/read-4k and /dev/kvm"
                .into(),
        ];
        let change = |key: &str, value: &str| Override {
            key: key.into(),
            value: value.into(),
        };
        results.scenario.variants = vec![Variant {
            name: "v".into(),
            overrides: vec![
                change("workloads.w.fio", "/home/u/w.fio"),
                change("guest.cmdline", "init=/bin/sh"),
            ],
            parts: Parts::default(),
        }];
        results.replay = Some("cargo xtask repro --kernel a=/home/u/linux/vmlinux".into());
        let portable = portable(results);
        let text = serde_json::to_string(&portable).unwrap();
        assert!(!text.contains("home"), "{text}");
        assert_eq!(portable.kernels[0].origin, "local build vmlinux");
        let changes = &portable.scenario.variants[0].overrides;
        assert_eq!(changes[0].value, "w.fio");
        assert_eq!(changes[1].value, "init=/bin/sh");
        assert!(
            portable.notes[0].ends_with("6.12/ext4/read-4k and /dev/kvm"),
            "{:?}",
            portable.notes
        );
    }
}
