//! The guest's fio on this side: what it says of a job file, before anything boots.

use super::{FIO, Provision};
use crate::{
    error::{Error, Result},
    image::fio,
    store::{hermetic::Hermetic, tree_key},
};
use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio};

/// fio with its loader, its libraries and their stand-ins, as guests have it.
pub struct HostFio {
    program: Hermetic,
}

impl Provision<'_> {
    /// The locked fio, ready to run here.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn fio_here(&self) -> Result<HostFio> {
        let (tree, provided) = self.tool_set(FIO)?;
        let key = tree_key(&provided.entry.files);
        let stand_ins = self.project.declarations.stand_ins(FIO);
        let dir = self.store.derive("fio", &key, |out| {
            for (name, mode, bytes) in fio::collect(&tree, stand_ins)? {
                let name = Path::new(&name).file_name().unwrap_or_default();
                let path = out.join(name);
                fs::write(&path, bytes).map_err(|e| Error::io("writing", &path, e))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                    .map_err(|e| Error::io("making executable", &path, e))?;
            }
            Ok(())
        })?;
        let program = Hermetic {
            tree: dir.clone(),
            loader: Some(dir.join("ld.so")),
            library_path: vec![dir.clone()],
            executable: dir.join("fio"),
            firmware: Vec::new(),
            modules: None,
        };
        Ok(HostFio { program })
    }
}

impl HostFio {
    /// What fio says of a job file that it refuses. It only parses: nothing is opened or started.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn refuses(&self, jobs: &str) -> Result<Option<String>> {
        let failed = |e| Error::host("asking fio about a job file").because(e);
        let mut child = self
            .program
            .command()
            .env_clear()
            .args(["--parse-only", "-"])
            .current_dir(&self.program.tree)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ended already says why.
            let _ = stdin.write_all(jobs.as_bytes());
        }
        let output = child.wait_with_output().map_err(failed)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((!output.status.success()).then(|| text(&output.stderr) + &text(&output.stdout)))
    }
}
