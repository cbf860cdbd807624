//! The commands, one file each.

mod adopt;
mod adopt_lfs;
mod bundle;
mod cache;
mod cat;
mod checkout;
mod clone;
mod commit;
mod context;
mod diff;
mod doctor;
mod download;
mod fsck;
mod gc;
mod hook;
mod init;
mod install;
mod label;
mod leave;
mod lfs_agent;
mod lineage;
mod log;
mod ls;
mod mirror;
mod notes;
mod promote;
mod prune;
mod pull;
mod push;
mod readlog;
mod redact;
mod repair;
mod repo;
mod selftest;
mod show;
mod squash;
mod stats;
mod status;
mod store;
mod thaw;
mod trust;
mod upload;
mod wal;

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::errors::CommandError;

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    Install(install::InstallArgs),
    Init(init::InitArgs),
    AdoptLfs(adopt_lfs::AdoptLfsArgs),
    Leave(leave::LeaveArgs),
    Trust(trust::TrustArgs),
    Doctor(doctor::DoctorArgs),
    Context(context::ContextArgs),
    Promote(promote::PromoteArgs),
    Clone(clone::CloneArgs),
    Commit(commit::CommitArgs),
    Checkout(checkout::CheckoutArgs),
    Push(push::PushArgs),
    Pull(pull::PullArgs),
    Status(status::StatusArgs),
    Bundle(bundle::BundleArgs),
    Show(show::ShowArgs),
    Log(log::LogArgs),
    Label(label::LabelArgs),
    Repo(repo::RepoArgs),
    Wal(wal::WalArgs),
    Lineage(lineage::LineageArgs),
    Notes(notes::NotesArgs),
    Ls(ls::LsArgs),
    Cat(cat::CatArgs),
    Diff(diff::DiffArgs),
    Upload(upload::UploadArgs),
    Download(download::DownloadArgs),
    Adopt(adopt::AdoptArgs),
    Stats(stats::StatsArgs),
    Cache(cache::CacheArgs),
    Fsck(fsck::FsckArgs),
    Repair(repair::RepairArgs),
    Mirror(mirror::MirrorArgs),
    Readlog(readlog::ReadlogArgs),
    Squash(squash::SquashArgs),
    Redact(redact::RedactArgs),
    Gc(gc::GcArgs),
    Prune(prune::PruneArgs),
    Thaw(thaw::ThawArgs),
    Store(store::StoreArgs),
    Selftest(selftest::SelftestArgs),
    /// The transfer agent that git-lfs starts; not for typing
    #[command(hide = true)]
    LfsAgent,
    #[command(hide = true)]
    Hook(hook::HookArgs),
}

impl Command {
    /// Does it.
    pub fn run(&self, context: &Context) -> Result<ExitCode, CommandError> {
        let done = |()| ExitCode::SUCCESS;
        match self {
            Command::Install(args) => install::run(args, context).map(done),
            Command::Init(args) => init::run(args, context).map(done),
            Command::AdoptLfs(args) => adopt_lfs::run(args, context).map(done),
            Command::Leave(args) => leave::run(args, context).map(done),
            Command::Trust(args) => trust::run(args, context).map(done),
            Command::Doctor(args) => doctor::run(args, context),
            Command::Context(args) => context::run(args, context).map(done),
            Command::Promote(args) => promote::run(args, context).map(done),
            Command::Clone(args) => clone::run(args, context),
            Command::Commit(args) => commit::run(args, context),
            Command::Checkout(args) => checkout::run(args, context),
            Command::Push(args) => push::run(args, context),
            Command::Pull(args) => pull::run(args, context),
            Command::Status(args) => status::run(args, context),
            Command::Bundle(args) => bundle::run(args, context).map(done),
            Command::Show(args) => show::run(args, context).map(done),
            Command::Log(args) => log::run(args, context).map(done),
            Command::Label(args) => label::run(args, context).map(done),
            Command::Repo(args) => repo::run(args, context).map(done),
            Command::Wal(args) => wal::run(args, context).map(done),
            Command::Lineage(args) => lineage::run(args, context).map(done),
            Command::Notes(args) => notes::run(args, context).map(done),
            Command::Ls(args) => ls::run(args, context).map(done),
            Command::Cat(args) => cat::run(args, context).map(done),
            Command::Diff(args) => diff::run(args, context),
            Command::Upload(args) => upload::run(args, context).map(done),
            Command::Download(args) => download::run(args, context).map(done),
            Command::Adopt(args) => adopt::run(args, context),
            Command::Stats(args) => stats::run(args, context).map(done),
            Command::Cache(args) => cache::run(args, context).map(done),
            Command::Fsck(args) => fsck::run(args, context),
            Command::Repair(args) => repair::run(args, context),
            Command::Readlog(args) => readlog::run(args, context).map(done),
            Command::Mirror(args) => mirror::run(args, context),
            Command::Squash(args) => squash::run(args, context).map(done),
            Command::Redact(args) => redact::run(args, context).map(done),
            Command::Gc(args) => gc::run(args, context).map(done),
            Command::Prune(args) => prune::run(args, context),
            Command::Thaw(args) => thaw::run(args, context),
            Command::Store(args) => store::run(args, context),
            Command::Selftest(args) => selftest::run(args, context),
            Command::LfsAgent => lfs_agent::run(context),
            Command::Hook(args) => hook::run(args, context),
        }
    }
}
