//! A directory tree through xet's own local client: what a program over its crates costs, whole.
//!
//! ```text
//! xet-tree ingest STORE MANIFEST DIR     upload all files of DIR, write their names and hashes to MANIFEST
//! xet-tree restore STORE MANIFEST OUT    write the files of MANIFEST below OUT
//! ```
//!
//! Settings are xet's defaults (`HF_XET_*` changes them), SHA-256 is computed as its uploads to a hub do. Nothing is synced;
//! whoever measures syncs after it. The local client is xet's stand-in for its server and works in this process, so its share
//! of the cost is counted too.

use std::env;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;
use xet_data::processing::configurations::TranslatorConfig;
use xet_data::processing::{FileDownloadSession, FileUploadSession, Sha256Policy, XetFileInfo};
use xet_runtime::core::XetContext;

/// A file of the tree.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// Below the top of the tree.
    path: PathBuf,
    info: XetFileInfo,
}

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [verb, store, manifest, tree] = arguments.as_slice() else {
        bail!("xet-tree ingest STORE MANIFEST DIR | xet-tree restore STORE MANIFEST OUT");
    };
    fs::create_dir_all(store).with_context(|| format!("make the store {}", store.display()))?;
    let context = XetContext::default()?;
    let config = Arc::new(TranslatorConfig::local_config(&context, fs::canonicalize(store)?)?);
    let (verb, manifest, tree) = (verb.clone(), manifest.clone(), tree.clone());
    context.runtime.bridge_sync(async move {
        match verb.to_str() {
            Some("ingest") => ingest(config, &manifest, &tree).await,
            Some("restore") => restore(config, &manifest, &tree).await,
            _ => bail!("{} is neither ingest nor restore", verb.display()),
        }
    })?
}

async fn ingest(config: Arc<TranslatorConfig>, manifest: &Path, tree: &Path) -> Result<()> {
    let mut paths = Vec::new();
    for found in WalkDir::new(tree).sort_by_file_name() {
        let found = found?;
        if found.file_type().is_file() {
            paths.push(found.into_path());
        }
    }
    let session = FileUploadSession::new(config).await?;
    let infos = session.upload_files(paths.iter().map(|path| (path, Sha256Policy::Compute))).await?;
    session.finalize().await?;
    let mut out = BufWriter::new(File::create(manifest)?);
    for (path, info) in paths.iter().zip(infos) {
        serde_json::to_writer(&mut out, &Entry { path: path.strip_prefix(tree)?.to_owned(), info })?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

async fn restore(config: Arc<TranslatorConfig>, manifest: &Path, tree: &Path) -> Result<()> {
    let session = FileDownloadSession::new(config, None).await?;
    let mut pending = Vec::new();
    for entry in serde_json::Deserializer::from_reader(BufReader::new(File::open(manifest)?)).into_iter() {
        let Entry { path, info } = entry?;
        let path = tree.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if info.file_size() == Some(0) {
            File::create(path)?;
        } else {
            pending.push(session.download_file_background(info, path).await?.1);
        }
    }
    for download in pending {
        download.await??;
    }
    Ok(session.finalize().await?)
}
