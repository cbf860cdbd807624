//! The commands, one file each.

mod adopt;
mod adopt_lfs;
mod cat;
mod context;
mod diff;
mod doctor;
mod download;
mod fsck;
mod hook;
mod init;
mod install;
mod leave;
mod lfs_agent;
mod ls;
mod promote;
mod pull;
mod push;
mod show;
mod stats;
mod trust;
mod upload;

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
    Push(push::PushArgs),
    Pull(pull::PullArgs),
    Show(show::ShowArgs),
    Ls(ls::LsArgs),
    Cat(cat::CatArgs),
    Diff(diff::DiffArgs),
    Upload(upload::UploadArgs),
    Download(download::DownloadArgs),
    Adopt(adopt::AdoptArgs),
    Stats(stats::StatsArgs),
    Fsck(fsck::FsckArgs),
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
            Command::Push(args) => push::run(args, context),
            Command::Pull(args) => pull::run(args, context),
            Command::Show(args) => show::run(args, context).map(done),
            Command::Ls(args) => ls::run(args, context).map(done),
            Command::Cat(args) => cat::run(args, context).map(done),
            Command::Diff(args) => diff::run(args, context),
            Command::Upload(args) => upload::run(args, context).map(done),
            Command::Download(args) => download::run(args, context).map(done),
            Command::Adopt(args) => adopt::run(args, context),
            Command::Stats(args) => stats::run(args, context).map(done),
            Command::Fsck(args) => fsck::run(args, context),
            Command::LfsAgent => lfs_agent::run(context),
            Command::Hook(args) => hook::run(args, context),
        }
    }
}
