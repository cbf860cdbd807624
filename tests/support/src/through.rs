//! A file system over FUSE that passes everything through to a directory, and folds names.
//!
//! Each object that the kernel knows is an open `O_PATH` descriptor, and is reached through `/proc/self/fd`, so that neither a
//! rename nor a second link loses it. The kernel keeps no name (every one is looked up anew) as it does not know which are one.
//! To it an object under another spelling than its own is another node, else it would take `mv a A` for nothing to do; `stat`
//! shows the inode of both. Names are folded as the most thorough of file systems do: case in full, letters decomposed, characters
//! that cannot be seen left out (HFS+, ext4). Those that are no UTF-8 are themselves only.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown, symlink,
};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, SessionACL, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use unicode_normalization::UnicodeNormalization;

/// How long the kernel may believe what it was told.
const NO_TIME: Duration = Duration::ZERO;
/// No number is used again while the kernel knows it.
const FIRST: Generation = Generation(0);

/// Serves the directory over itself, in threads of this process, until somebody unmounts it.
pub(crate) fn serve(dir: &Path, name: &str) -> io::Result<()> {
    let through = Through::default();
    through.nodes().insert(INodeNo::ROOT.0, Node { file: open_path(dir)?, lookups: 1 });
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName(name.to_owned()), MountOption::DefaultPermissions];
    if rustix::process::geteuid().is_root() {
        config.acl = SessionACL::All;
    }
    let session = fuser::spawn_mount(through, dir, &config)?;
    // It ends with the mount, which is not unmounted by it: that waits for nobody and is done by who asked for it.
    std::mem::forget(session);
    Ok(())
}

/// What all names have in common that are one.
fn fold(name: &OsStr) -> Option<String> {
    let seen = name.to_str()?.chars().filter(|char| !matches!(char, '\u{200b}'..='\u{200f}' | '\u{feff}'));
    let folded = seen.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    Some(folded.nfd().collect())
}

fn open_path(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

struct Node {
    file: File,
    lookups: u64,
}

type Listed = Vec<(u64, FileType, OsString)>;

#[derive(Default)]
struct Through {
    nodes: Mutex<HashMap<u64, Node>>,
    files: Mutex<HashMap<u64, File>>,
    lists: Mutex<HashMap<u64, Listed>>,
    handles: AtomicU64,
}

impl Through {
    fn nodes(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Node>> {
        self.nodes.lock().expect("no thread panicked")
    }

    fn files(&self) -> std::sync::MutexGuard<'_, HashMap<u64, File>> {
        self.files.lock().expect("no thread panicked")
    }

    fn handle(&self) -> u64 {
        self.handles.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the object of a node is reached, whatever its names are.
    fn path(&self, node: INodeNo) -> io::Result<PathBuf> {
        let nodes = self.nodes();
        let node = nodes.get(&node.0).ok_or(io::ErrorKind::NotFound)?;
        Ok(format!("/proc/self/fd/{}", node.file.as_raw_fd()).into())
    }

    fn looks(&self, node: INodeNo) -> io::Result<Metadata> {
        self.nodes().get(&node.0).ok_or(io::ErrorKind::NotFound)?.file.metadata()
    }

    /// How a name is written where it lies, if anything does.
    fn find(&self, parent: INodeNo, name: &OsStr) -> io::Result<Option<OsString>> {
        let dir = self.path(parent)?;
        if dir.join(name).symlink_metadata().is_ok() {
            return Ok(Some(name.to_owned()));
        }
        let Some(folded) = fold(name) else { return Ok(None) };
        for entry in fs::read_dir(dir)? {
            let there = entry?.file_name();
            if fold(&there).as_ref() == Some(&folded) {
                return Ok(Some(there));
            }
        }
        Ok(None)
    }

    /// The path of what lies at a name.
    fn there(&self, parent: INodeNo, name: &OsStr) -> io::Result<PathBuf> {
        let there = self.find(parent, name)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(self.path(parent)?.join(there))
    }

    /// The path of a name that nothing has.
    fn vacant(&self, parent: INodeNo, name: &OsStr) -> io::Result<PathBuf> {
        match self.find(parent, name)? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(self.path(parent)?.join(name)),
        }
    }

    /// A node of what lies at a name, which the kernel knows from now on.
    fn enter(&self, parent: INodeNo, name: &OsStr) -> io::Result<FileAttr> {
        let there = self.find(parent, name)?.ok_or(io::ErrorKind::NotFound)?;
        let file = open_path(&self.path(parent)?.join(&there))?;
        let looks = file.metadata()?;
        let mut node = looks.ino();
        if there != name {
            let mut hasher = DefaultHasher::new();
            (looks.ino(), name).hash(&mut hasher);
            node = hasher.finish() | 1 << 63;
        }
        self.nodes().entry(node).or_insert(Node { file, lookups: 0 }).lookups += 1;
        Ok(FileAttr { ino: INodeNo(node), ..attr(&looks) })
    }

    /// Something that was just made belongs to who asked for it.
    fn give(&self, request: &Request, path: &Path) -> io::Result<()> {
        let looks = path.symlink_metadata()?;
        if (looks.uid(), looks.gid()) == (request.uid(), request.gid()) {
            return Ok(());
        }
        lchown(path, Some(request.uid()), Some(request.gid()))
    }

    fn open_file(&self, node: INodeNo, flags: i32) -> io::Result<u64> {
        let flags = OFlags::from_bits_retain(flags.cast_unsigned());
        let way = flags & OFlags::RWMODE;
        let file = OpenOptions::new()
            .read(way != OFlags::WRONLY)
            .write(way != OFlags::RDONLY)
            .custom_flags((flags & OFlags::APPEND).bits().cast_signed())
            .open(self.path(node)?)?;
        let handle = self.handle();
        self.files().insert(handle, file);
        Ok(handle)
    }

    fn list(&self, node: INodeNo) -> io::Result<u64> {
        let mut listed = Listed::new();
        for name in [".", ".."] {
            listed.push((self.looks(node)?.ino(), FileType::Directory, name.into()));
        }
        for entry in fs::read_dir(self.path(node)?)? {
            let entry = entry?;
            listed.push((entry.ino(), kind(entry.file_type()?), entry.file_name()));
        }
        let handle = self.handle();
        self.lists.lock().expect("no thread panicked").insert(handle, listed);
        Ok(handle)
    }

    fn make_folder(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
    ) -> io::Result<FileAttr> {
        let path = self.vacant(parent, name)?;
        DirBuilder::new().mode(mode).create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        self.give(request, &path)?;
        self.enter(parent, name)
    }

    fn make_file(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        flags: i32,
    ) -> io::Result<(FileAttr, u64)> {
        let excluding = OFlags::from_bits_retain(flags.cast_unsigned()).contains(OFlags::EXCL);
        match self.vacant(parent, name) {
            Ok(path) => {
                let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
                file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
                self.give(request, &path)?;
            }
            Err(error) if excluding || error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
        }
        let attr = self.enter(parent, name)?;
        Ok((attr, self.open_file(attr.ino, flags)?))
    }

    fn make_link(&self, request: &Request, parent: INodeNo, name: &OsStr, to: &Path) -> io::Result<FileAttr> {
        let path = self.vacant(parent, name)?;
        symlink(to, &path)?;
        self.give(request, &path)?;
        self.enter(parent, name)
    }

    fn link_again(&self, node: INodeNo, parent: INodeNo, name: &OsStr) -> io::Result<FileAttr> {
        let path = self.vacant(parent, name)?;
        rustix::fs::linkat(CWD, self.path(node)?, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        self.enter(parent, name)
    }

    /// What had the new name under another spelling is replaced; the name is then as the newest wrote it. Meanwhile it is never
    /// gone.
    fn move_to(
        &self,
        (parent, name): (INodeNo, &OsStr),
        (into, new): (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> io::Result<()> {
        if !(flags & !RenameFlags::RENAME_NOREPLACE).is_empty() {
            return Err(io::Error::from_raw_os_error(Errno::EINVAL.code()));
        }
        let from = self.there(parent, name)?;
        let (folder, replaced) = (self.path(into)?, self.find(into, new)?);
        let respelled =
            self.looks(parent)?.ino() == self.looks(into)?.ino() && replaced.as_deref() == from.file_name();
        match replaced {
            Some(_) if respelled => fs::rename(from, folder.join(new)),
            Some(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            Some(old) => {
                fs::rename(from, folder.join(&old))?;
                fs::rename(folder.join(old), folder.join(new))
            }
            None => fs::rename(from, folder.join(new)),
        }
    }
}

fn kind(kind: fs::FileType) -> FileType {
    FileType::from_std(kind).unwrap_or(FileType::RegularFile)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn attr(looks: &Metadata) -> FileAttr {
    let time = |seconds: i64, nanos: i64| -> SystemTime {
        let nanos = Duration::from_nanos(nanos.unsigned_abs());
        match seconds {
            0.. => UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()) + nanos,
            _ => UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()) + nanos,
        }
    };
    FileAttr {
        ino: INodeNo(looks.ino()),
        size: looks.size(),
        blocks: looks.blocks(),
        atime: time(looks.atime(), looks.atime_nsec()),
        mtime: time(looks.mtime(), looks.mtime_nsec()),
        ctime: time(looks.ctime(), looks.ctime_nsec()),
        crtime: UNIX_EPOCH,
        kind: kind(looks.file_type()),
        perm: (looks.mode() & 0o7777) as u16,
        nlink: small(looks.nlink()),
        uid: looks.uid(),
        gid: looks.gid(),
        rdev: small(looks.rdev()),
        blksize: small(looks.blksize()),
        flags: 0,
    }
}

fn stamp(time: Option<TimeOrNow>) -> Timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, UTIME_OMIT),
        Some(TimeOrNow::Now) => (0, UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (since.as_secs().cast_signed(), since.subsec_nanos().into()),
            // In whole seconds.
            Err(before) => (-before.duration().as_secs().cast_signed(), 0),
        },
    };
    Timespec { tv_sec, tv_nsec }
}

fn errno(error: &io::Error) -> Errno {
    match error.kind() {
        _ if error.raw_os_error().is_some() => Errno::from_i32(error.raw_os_error().unwrap_or(0)),
        io::ErrorKind::NotFound => Errno::ENOENT,
        io::ErrorKind::AlreadyExists => Errno::EEXIST,
        _ => Errno::EIO,
    }
}

/// Answers with what came out, or with what went wrong.
macro_rules! answer {
    ($reply:ident, $outcome:expr, $out:pat => $done:expr) => {
        match $outcome {
            Ok($out) => $done,
            Err(error) => $reply.error(errno(&error)),
        }
    };
}

impl Filesystem for Through {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.enter(parent, name), it => reply.entry(&NO_TIME, &it, FIRST));
    }

    fn forget(&self, _: &Request, node: INodeNo, lookups: u64) {
        let mut nodes = self.nodes();
        let Some(known) = nodes.get_mut(&node.0) else { return };
        known.lookups = known.lookups.saturating_sub(lookups);
        if known.lookups == 0 {
            nodes.remove(&node.0);
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.looks(node), it => reply.attr(&NO_TIME, &attr(&it)));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        read: Option<TimeOrNow>,
        changed: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = || {
            let path = self.path(node)?;
            if uid.is_some() || gid.is_some() {
                chown(&path, uid, gid)?;
            }
            if let Some(mode) = mode {
                fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777))?;
            }
            if let Some(size) = size {
                OpenOptions::new().write(true).open(&path)?.set_len(size)?;
            }
            if read.is_some() || changed.is_some() {
                let times = Timestamps { last_access: stamp(read), last_modification: stamp(changed) };
                rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty())?;
            }
            self.looks(node)
        };
        answer!(reply, set(), it => reply.attr(&NO_TIME, &attr(&it)));
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        let read = || {
            let nodes = self.nodes();
            let link = &nodes.get(&node.0).ok_or(io::ErrorKind::NotFound)?.file;
            Ok(rustix::fs::readlinkat(link, "", Vec::new())?)
        };
        answer!(reply, read(), it => reply.data(it.as_bytes()));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let made = self.make_folder(request, parent, name, mode);
        answer!(reply, made, it => reply.entry(&NO_TIME, &it, FIRST));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.there(parent, name).and_then(fs::remove_file), () => reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.there(parent, name).and_then(fs::remove_dir), () => reply.ok());
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, to: &Path, reply: ReplyEntry) {
        let made = self.make_link(request, parent, name, to);
        answer!(reply, made, it => reply.entry(&NO_TIME, &it, FIRST));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        into: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer!(reply, self.move_to((parent, name), (into, new), flags), () => reply.ok());
    }

    fn link(&self, _: &Request, node: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.link_again(node, parent, name);
        answer!(reply, linked, it => reply.entry(&NO_TIME, &it, FIRST));
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let opened = self.open_file(node, flags.0);
        answer!(reply, opened, it => reply.opened(FileHandle(it), FopenFlags::empty()));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.make_file(request, parent, name, mode, flags);
        answer!(reply, made, (it, handle) => {
            reply.created(&NO_TIME, &it, FIRST, FileHandle(handle), FopenFlags::empty());
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = || {
            let files = self.files();
            let file = files.get(&handle.0).ok_or(io::ErrorKind::NotFound)?;
            let (mut bytes, mut got) = (vec![0; size as usize], 0);
            while got < bytes.len() {
                match file.read_at(&mut bytes[got..], offset + got as u64)? {
                    0 => break,
                    more => got += more,
                }
            }
            bytes.truncate(got);
            Ok(bytes)
        };
        answer!(reply, read(), it => reply.data(&it));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let files = self.files();
        let file = files.get(&handle.0).ok_or_else(|| io::ErrorKind::NotFound.into());
        answer!(reply, file.and_then(|file| file.write_all_at(data, offset)), () => {
            reply.written(data.len() as u32);
        });
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        let files = self.files();
        let file = files.get(&handle.0).ok_or_else(|| io::ErrorKind::NotFound.into());
        answer!(reply, file.and_then(File::sync_all), () => reply.ok());
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.files().remove(&handle.0);
        reply.ok();
    }

    fn opendir(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.list(node), it => reply.opened(FileHandle(it), FopenFlags::empty()));
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let lists = self.lists.lock().expect("no thread panicked");
        let listed = lists.get(&handle.0).map_or(&[][..], Vec::as_slice);
        for (at, (inode, kind, name)) in listed.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*inode), at as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.lists.lock().expect("no thread panicked").remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let looked = self.path(INodeNo::ROOT).and_then(|path| Ok(rustix::fs::statvfs(path)?));
        answer!(reply, looked, it => reply.statfs(
            it.f_blocks, it.f_bfree, it.f_bavail, it.f_files, it.f_ffree, small(it.f_bsize), 255, small(it.f_frsize),
        ));
    }
}
