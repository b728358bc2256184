//! The C compiler for the C parts of crates in a program that is the same everywhere: Debian's, locked,
//! unpacked, and run with its own loader and libraries. No host's compiler has a say in its bytes.

use super::build::{cargo_home, registries, text};
use crate::{
    error::{Error, Result},
    store::hermetic::Hermetic,
    text::quoted,
};
use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// The compiler's driver in its tool set.
pub const DRIVER: &str = "usr/bin/x86_64-linux-gnu-gcc-14";
/// What makes static libraries there.
const AR: &str = "usr/bin/x86_64-linux-gnu-ar";
/// What its assembler's name begins with.
const BINUTILS: &str = "usr/bin/x86_64-linux-gnu-";

/// Writes two programs into a directory, `cc` and `ar`, which run those of the tree.
///
/// # Errors
/// When a path cannot be a compiler's argument, or a file cannot be written.
pub fn write(driver: &Hermetic, out: &Path) -> Result<()> {
    let tree = text(&driver.tree)?;
    if tree.contains(',') {
        return Err(Error::host(format!(
            "{tree}: gcc cannot handle a path that contains `,`"
        ))
        .hint("set DIORAMA_CACHE to a directory without one"));
    }
    let libraries: Vec<&str> = (driver.library_path.iter())
        .map(|dir| text(dir))
        .collect::<Result<_>>()?;
    let loader = driver.loader.as_deref().map(text).transpose()?;
    let loader: Vec<String> = match loader {
        None => Vec::new(),
        Some(loader) => [loader, "--inhibit-cache", "--library-path"]
            .map(str::to_owned)
            .into_iter()
            .chain([libraries.join(":")])
            .collect(),
    };
    let mut cc = loader.clone();
    cc.push(text(&driver.executable)?.to_owned());
    // The driver starts cc1 and the assembler in the same way.
    if !loader.is_empty() {
        cc.extend(["-wrapper".to_owned(), loader.join(",")]);
    }
    cc.extend([format!("-B{tree}/{BINUTILS}"), format!("--sysroot={tree}")]);
    let mut ar = loader;
    ar.push(format!("{tree}/{AR}"));
    for (name, words) in [("cc", cc), ("ar", ar)] {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let path = out.join(name);
        fs::write(&path, script(&words.join(" ")))
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o755)))
            .map_err(|e| Error::io("writing", &path, e))?;
    }
    Ok(())
}

fn script(command: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # What would add to the compiler's input or change its words (gcc(1), ENVIRONMENT).\n\
         unset CPATH C_INCLUDE_PATH COMPILER_PATH LIBRARY_PATH GCC_EXEC_PREFIX SOURCE_DATE_EPOCH\n\
         unset LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT\n\
         export LC_ALL=C\n\
         exec {command} \"$@\"\n"
    )
}

/// What the `cc` crate looks for: these two programs for the target, and no path of this host in what they
/// make.
///
/// # Errors
/// When a path is not UTF-8.
pub fn variables(programs: &Path) -> Result<Vec<(&'static str, OsString)>> {
    let mut maps = vec![format!("-ffile-prefix-map={}=/cargo", text(&cargo_home())?)];
    for registry in registries() {
        maps.push(format!("-ffile-prefix-map={}=/crates", text(&registry)?));
    }
    if maps.iter().any(|map| map.contains(char::is_whitespace)) {
        return Err(Error::host("cargo's directory has a space in its path")
            .hint("set CARGO_HOME to a directory without one"));
    }
    Ok(vec![
        ("CC_x86_64_unknown_linux_gnu", programs.join("cc").into()),
        ("AR_x86_64_unknown_linux_gnu", programs.join("ar").into()),
        ("CFLAGS_x86_64_unknown_linux_gnu", maps.join(" ").into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_compiler_is_run_with_its_own_libraries() {
        let out = tempfile::tempdir().unwrap();
        let driver = Hermetic {
            tree: "/a tree".into(),
            loader: Some("/a tree/usr/lib64/ld.so".into()),
            library_path: vec!["/a tree/usr/lib/x".into(), "/a tree/usr/lib".into()],
            executable: Path::new("/a tree").join(DRIVER),
            firmware: Vec::new(),
            modules: None,
        };
        write(&driver, out.path()).unwrap();
        let last = |name: &str| {
            let script = fs::read_to_string(out.path().join(name)).unwrap();
            script.lines().last().unwrap().to_owned()
        };
        insta::assert_snapshot!(format!("{}\n{}", last("cc"), last("ar")), @r#"
        exec '/a tree/usr/lib64/ld.so' --inhibit-cache --library-path '/a tree/usr/lib/x:/a tree/usr/lib' '/a tree/usr/bin/x86_64-linux-gnu-gcc-14' -wrapper '/a tree/usr/lib64/ld.so,--inhibit-cache,--library-path,/a tree/usr/lib/x:/a tree/usr/lib' '-B/a tree/usr/bin/x86_64-linux-gnu-' '--sysroot=/a tree' "$@"
        exec '/a tree/usr/lib64/ld.so' --inhibit-cache --library-path '/a tree/usr/lib/x:/a tree/usr/lib' '/a tree/usr/bin/x86_64-linux-gnu-ar' "$@"
        "#);
        let comma = Hermetic {
            tree: "/a,b".into(),
            ..driver
        };
        let error = write(&comma, out.path()).unwrap_err();
        assert!(
            error.render().contains("DIORAMA_CACHE"),
            "{}",
            error.render()
        );
    }
}
