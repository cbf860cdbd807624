//! What a push brings: the refs that git names to the pre-push hook, and the pointers the remote does not have yet.

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice};

use crate::git::objects::{Objects, ObjectsError};
use crate::git::tree::TreePointer;

/// A line on the stdin of a pre-push hook that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line:?} is no line of a pre-push hook (local ref, id, remote ref, id)")]
pub struct BadPush {
    line: BString,
}

/// One ref that is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedRef {
    /// What is pushed; `(delete)` for nothing.
    pub local_ref: BString,
    /// The object it stands for; `None` deletes the remote ref.
    pub local: Option<ObjectId>,
    /// The ref that is to point there.
    pub remote_ref: BString,
    /// Where it points now; `None` if it is new.
    pub remote: Option<ObjectId>,
}

impl PushedRef {
    /// The refs on the stdin of a pre-push hook: `<local ref> <local id> <remote ref> <remote id>` on each line.
    pub fn parse_all(stdin: &[u8]) -> Result<Vec<PushedRef>, BadPush> {
        stdin.lines().filter(|line| !line.is_empty()).map(PushedRef::parse).collect()
    }

    fn parse(line: &[u8]) -> Result<PushedRef, BadPush> {
        let bad = || BadPush { line: line[..line.len().min(200)].into() };
        // What is pushed may be an expression with spaces in it, such as `HEAD@{1 day ago}`: the other three are at the end.
        let mut words = line.rsplitn(4, |byte| *byte == b' ');
        let mut next = || words.next().filter(|word| !word.is_empty()).ok_or_else(bad);
        let (remote, remote_ref, local, local_ref) = (next()?, next()?, next()?, next()?);
        let id = |hex: &[u8]| {
            ObjectId::from_hex(hex).map_err(|_| bad()).map(|id| Some(id).filter(|id| !id.is_null()))
        };
        Ok(PushedRef {
            local_ref: local_ref.into(),
            local: id(local)?,
            remote_ref: remote_ref.into(),
            remote: id(remote)?,
        })
    }
}

impl Objects {
    /// The pointers that pushing these refs to `remote` brings: what git-lfs will ask its agent to upload.
    pub fn outgoing_of_push(
        &self,
        remote: &str,
        refs: &[PushedRef],
    ) -> Result<Vec<TreePointer>, ObjectsError> {
        let include: Vec<ObjectId> = refs.iter().filter_map(|pushed| pushed.local).collect();
        let mut exclude = self.remote_tips(remote)?;
        exclude.extend(refs.iter().filter_map(|pushed| pushed.remote));
        self.outgoing(&include, &exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::pointer::Pointer;
    use crate::git::scratch::Scratch;
    use crate::id::Oid;

    const ID: &str = "1234567890123456789012345678901234567890";
    const NULL: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn every_kind_of_line_is_understood_and_no_other() {
        let stdin = format!(
            "refs/heads/main {ID} refs/heads/main {NULL}\n(delete) {NULL} refs/heads/old {ID}\n\
             HEAD@{{1 day ago}} {ID} refs/heads/x {ID}\n"
        );
        let refs = PushedRef::parse_all(stdin.as_bytes()).unwrap();
        let id = ObjectId::from_hex(ID.as_bytes()).unwrap();
        assert_eq!(
            refs.iter().map(|r| (r.local, r.remote)).collect::<Vec<_>>(),
            [(Some(id), None), (None, Some(id)), (Some(id), Some(id))]
        );
        assert_eq!(refs[2].local_ref, "HEAD@{1 day ago}");
        assert_eq!(PushedRef::parse_all(b"").unwrap(), []);
        for bad in
            ["main", &format!("a {ID} b"), &format!("a {ID} b 12"), &format!("a {ID}  {ID}"), "a b c d"]
        {
            assert!(PushedRef::parse_all(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_push_brings_what_neither_tracking_refs_nor_the_remote_ref_has() {
        let scratch = Scratch::new();
        let pointer = |n: u8| Pointer { oid: Oid::from_bytes([n; 32]), size: 5 }.canonical();
        scratch.commit(&[("a", &pointer(1))]);
        scratch.git.run(["update-ref", "refs/remotes/origin/main", "HEAD"]).unwrap();
        let known = scratch.commit(&[("a", &pointer(2))]);
        let tip = scratch.commit(&[("a", &pointer(3))]);
        let objects = scratch.objects();
        let brought = |line: String| {
            let refs = PushedRef::parse_all(line.as_bytes()).unwrap();
            let found = objects.outgoing_of_push("origin", &refs).unwrap();
            found.iter().map(|found| found.pointer.oid.as_bytes()[0]).collect::<Vec<_>>()
        };
        assert_eq!(brought(format!("refs/heads/main {tip} refs/heads/new {NULL}")), [3, 2]);
        assert_eq!(brought(format!("refs/heads/main {tip} refs/heads/main {known}")), [3]);
        assert_eq!(brought(format!("refs/heads/main {tip} refs/heads/main {ID}")), [3, 2]);
        assert_eq!(brought(format!("(delete) {NULL} refs/heads/main {known}")), [] as [u8; 0]);
    }
}
