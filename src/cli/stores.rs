//! How commands find the store they work on.

use std::path::Path;

use crate::catalog::{Catalog, CatalogError};
use crate::cli::errors::{CommandError, Kind};
use crate::git::{Config, Git, Operation, Repo, RepoError, STORE_SCHEME, is_context_name};
use crate::ops::{open, trust};
use crate::store::{LOCAL, Place, Settings, Store, StoreError, StoreUrl};
use crate::transfer::{Others, Session};

/// What the user typed for a store (a directory, a URL, `local`, a context, any of them behind `datamon::`) as it is committed:
/// `local`, or a URL that does not depend on the current directory.
pub fn spelled(typed: &str, dir: &Path) -> Result<String, CommandError> {
    // As it stands in `lfs.url`.
    let typed = typed.strip_prefix(STORE_SCHEME).unwrap_or(typed);
    if typed == LOCAL || typed.contains("://") || typed.starts_with("memory:") {
        return Ok(StoreUrl::parse(typed)?.as_str().to_owned());
    }
    if is_context_name(typed)
        && let Some(context) = Config::read(&Git::at(dir))?.context(typed)
    {
        return Ok(context.url);
    }
    let path = dir.join(typed);
    // Its last part may not be there yet.
    let made = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    let path = path.canonicalize().ok().or_else(made).unwrap_or(path);
    Ok(StoreUrl::of_directory(&path)?.as_str().to_owned())
}

/// The mirrors of a store that are there.
pub fn mirrors(store: &StoreUrl, dir: &Path) -> Result<Vec<Store>, CommandError> {
    let settings = Config::read(&Git::at(dir))?.store_settings(store)?;
    Ok(settings.mirrors.iter().filter_map(|(url, settings)| Store::open_with(url, settings).ok()).collect())
}

/// Makes the store, or opens it where it is there already. Where the user's data went before, a new one is not made: what is not
/// there now may be a disk that is not mounted.
pub fn prepare(url: &str, dir: &Path) -> Result<Catalog, CommandError> {
    let url = StoreUrl::parse(url)?;
    let config = Config::read(&Git::at(dir))?;
    let settings = config.store_settings(&url)?;
    if let Some(before) = trust::stores_at(&config, &url).first()
        && let Err(CatalogError::Store(StoreError::Absent { .. }) | CatalogError::NotAStore { .. }) =
            open::open(&url, &settings)
    {
        let message =
            format!("there was a store at {url} ({before}), and it is not there now: no other was made");
        return Err(CommandError::new(Kind::NotFound, message)
            .hint("mount or restore it; to give it up and begin with a new one:")
            .hint(format!("git config --global --unset-all datamon.trust {before}")));
    }
    Ok(open::create(&url, &settings)?)
}

/// Opens the store itself, as the configuration of git in `dir` says: it may be written to.
pub fn find(url: &str, dir: &Path) -> Result<Catalog, CommandError> {
    let (url, settings) = place(url, dir)?;
    Ok(open::open(&url, &settings)?)
}

/// Where a store is, and what the configuration of git in `dir` says of the place.
pub fn place(url: &str, dir: &Path) -> Result<(StoreUrl, Settings), CommandError> {
    let url = StoreUrl::parse(url)?;
    let settings = match url.place() {
        Place::Bucket(_) | Place::Directory(_) => Config::read(&Git::at(dir))?.store_settings(&url)?,
        Place::Memory(_) => Settings::default(),
    };
    Ok((url, settings))
}

/// Opens the store; with `create` it is made where there is none. A name that was typed wrong makes nothing by itself.
pub fn made_if(create: bool, url: &str, dir: &Path) -> Result<Catalog, CommandError> {
    if create {
        return prepare(url, dir);
    }
    find(url, dir).map_err(|error| match error.kind {
        Kind::NotFound => error.hint("to make a store there: --create"),
        _ => error,
    })
}

/// A store as users read it: where it lies and which one it is.
pub fn shown(catalog: &Catalog) -> String {
    format!("{} ({})", catalog.store().url().canonical(), catalog.identity().store)
}

/// Opens the store that the user named, or else the one of the repository in `dir`.
pub fn chosen(store: Option<&str>, dir: &Path) -> Result<Catalog, CommandError> {
    let (url, settings) = place(&named(store, dir)?, dir)?;
    Ok(open::open_to_read(&url, &settings)?)
}

/// The same for who looks at the store itself: nothing is read from a mirror.
pub fn itself(store: Option<&str>, dir: &Path) -> Result<Catalog, CommandError> {
    let (url, settings) = place(&named(store, dir)?, dir)?;
    Ok(open::open(&url, &settings)?)
}

/// The URL of that store.
pub fn named(store: Option<&str>, dir: &Path) -> Result<String, CommandError> {
    if let Some(typed) = store {
        return spelled(typed, dir);
    }
    let repo = match Repo::discover(dir) {
        Ok(repo) => repo,
        // Outside of repositories there may be a store that is always meant.
        Err(error @ RepoError::NotFound { .. }) => {
            let config = Config::read(&Git::at(dir))?;
            let used = config.used_context().and_then(|name| config.context(&name));
            return Ok(used.ok_or(error)?.url);
        }
        Err(error) => return Err(error.into()),
    };
    let named = repo.store_url(&repo.push_remote(), Operation::Download)?;
    let named = named.ok_or_else(|| {
        CommandError::new(Kind::NotFound, "this repository names no datamon:: store")
            .hint("git datamon init --store <directory or URL>")
    })?;
    Ok(named.url)
}

/// The stores that reads ask after that one, in a repository.
pub fn others(dir: &Path) -> Others {
    Repo::discover(dir).map_or_else(|_| Others::default(), |repo| Others::of(&repo, &repo.push_remote()))
}

/// The same for a change. What only the repository names has to be trusted, and must not be a store that was left.
pub fn chosen_to_write(store: Option<&str>, dir: &Path) -> Result<Catalog, CommandError> {
    if store.is_none()
        && let Ok(repo) = Repo::discover(dir)
    {
        let remote = repo.push_remote();
        return Ok(Session::open(repo, &remote, Operation::Upload)?.catalog);
    }
    // The user names it, by the command or by the context in use.
    let (url, settings) = place(&named(store, dir)?, dir)?;
    let mut catalog = open::open_to_write(&url, &settings)?;
    catalog.set_contributor(Git::at(dir).author());
    Ok(catalog)
}
