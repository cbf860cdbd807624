//! A small LFS server: the batch API and the `basic` transfer, over HTTP on this machine, kept in memory.
//!
//! API: <https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>. It knows no users and no locks. What goes wrong on a
//! real server can be made to go wrong here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::http::{self, Reply, Request};

#[derive(Debug, Default)]
struct State {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Objects sent to clients, and taken from them.
    sent: AtomicU64,
    taken: AtomicU64,
    /// Every request is answered with an error.
    down: AtomicBool,
}

/// A server that runs until the test ends.
#[derive(Debug)]
pub struct LfsServer {
    state: Arc<State>,
    port: u16,
}

impl LfsServer {
    /// Starts an empty one.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start() -> LfsServer {
        let state: Arc<State> = Arc::default();
        let shared = state.clone();
        let port = http::serve(move |request, port| {
            let (status, kind, body) = answer(request, &shared, port);
            Some(Reply::new(status, body).with("Content-Type", kind))
        });
        LfsServer { state, port }
    }

    /// What stands in `lfs.url`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/lfs", self.port)
    }

    /// The oids it holds.
    pub fn oids(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    /// Loses an object and gives it back.
    pub fn lose(&self, oid: &str) -> Option<Vec<u8>> {
        self.objects().remove(oid)
    }

    /// Holds these bytes as the object, whatever their hash.
    pub fn put(&self, oid: &str, bytes: Vec<u8>) {
        self.objects().insert(oid.to_owned(), bytes);
    }

    /// Answers nothing but errors from now on, or works again.
    pub fn set_down(&self, down: bool) {
        self.state.down.store(down, Relaxed);
    }

    /// Objects it has sent, and taken.
    pub fn traffic(&self) -> (u64, u64) {
        (self.state.sent.load(Relaxed), self.state.taken.load(Relaxed))
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.state.objects.lock().expect("no holder of this lock panics")
    }
}

type Answer = (u16, &'static str, Vec<u8>);

fn answer(request: &Request, state: &State, port: u16) -> Answer {
    let json =
        |status, value: Value| (status, "application/vnd.git-lfs+json", value.to_string().into_bytes());
    if state.down.load(Relaxed) {
        return json(500, json!({"message": "down for maintenance"}));
    }
    let mut objects = state.objects.lock().expect("no holder of this lock panics");
    let oid = request.path.strip_prefix("/objects/").unwrap_or_default();
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/lfs/objects/batch") => json(200, batch(&request.body, &objects, port)),
        ("GET", _) if objects.contains_key(oid) => {
            state.sent.fetch_add(1, Relaxed);
            (200, "application/octet-stream", objects[oid].clone())
        }
        ("PUT", _) if !oid.is_empty() => {
            let got: String =
                Sha256::digest(&*request.body).iter().map(|byte| format!("{byte:02x}")).collect();
            if got != oid {
                return json(422, json!({"message": format!("{got} is not {oid}")}));
            }
            state.taken.fetch_add(1, Relaxed);
            objects.insert(oid.to_owned(), request.body.to_vec());
            json(200, json!({}))
        }
        ("POST", "/verify") => {
            let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let there = objects.get(asked["oid"].as_str().unwrap_or_default());
            let right = there.is_some_and(|bytes| asked["size"] == bytes.len());
            json(if right { 200 } else { 404 }, json!({"message": "not as promised"}))
        }
        _ => json(404, json!({"message": "not found"})),
    }
}

/// What a client is to do for each object.
fn batch(body: &[u8], objects: &BTreeMap<String, Vec<u8>>, port: u16) -> Value {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let at = |path: String| json!({"href": format!("http://127.0.0.1:{port}{path}")});
    let upload = asked["operation"] == "upload";
    let each = |object: &Value| {
        let oid = object["oid"].as_str().unwrap_or_default();
        let mut answer = json!({"oid": oid, "size": object["size"], "authenticated": true});
        match (upload, objects.contains_key(oid)) {
            (false, true) => answer["actions"] = json!({"download": at(format!("/objects/{oid}"))}),
            (false, false) => answer["error"] = json!({"code": 404, "message": "Object does not exist"}),
            (true, false) => {
                answer["actions"] =
                    json!({"upload": at(format!("/objects/{oid}")), "verify": at("/verify".into())});
            }
            // Nothing to do.
            (true, true) => {}
        }
        answer
    };
    let answers: Vec<Value> = asked["objects"].as_array().into_iter().flatten().map(each).collect();
    json!({"transfer": "basic", "objects": answers})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Hermetic;
    use crate::git_lfs::second_git_lfs;

    fn there_and_back(env: &Hermetic) {
        env.install_git_lfs();
        let (server, remote, repo) = (LfsServer::start(), env.init_bare("remote.git"), env.init("first"));
        repo.git(["config", "-f", ".lfsconfig", "lfs.url", &server.url()]);
        repo.track("*.bin");
        for n in 0..5 {
            repo.write(&format!("{n}.bin"), crate::bytes::seeded_bytes(n, 50_000));
        }
        repo.add(".");
        repo.commit("data");
        repo.add_remote("origin", remote.dir());
        repo.push("origin", "main");
        assert_eq!(server.oids(), repo.lfs_objects().into_iter().collect::<Vec<_>>());
        assert_eq!(server.traffic(), (0, 5));
        let clone = remote.clone_to("second");
        assert_eq!(clone.read("3.bin"), crate::bytes::seeded_bytes(3, 50_000));
        assert_eq!(server.traffic(), (5, 5));
        repo.push("origin", "main:again");
        assert_eq!(server.traffic(), (5, 5));

        let oid = server.oids()[0].clone();
        let bytes = server.lose(&oid).expect("it was there");
        std::fs::remove_dir_all(clone.dir().join(".git/lfs/objects")).expect("it was there");
        let said = clone.git_fails(["lfs", "fetch"]).stderr;
        assert!(said.contains("does not exist"), "{said}");
        server.put(&oid, vec![0; bytes.len()]);
        assert!(!clone.git_fails(["lfs", "fetch"]).stderr.is_empty());
        assert!(!clone.lfs_objects().contains(&oid), "git-lfs looks at what it gets");
        server.put(&oid, bytes);
        server.set_down(true);
        clone.git_fails(["lfs", "fetch"]);
        server.set_down(false);
        clone.git(["lfs", "fetch"]);
        assert_eq!(clone.lfs_objects(), repo.lfs_objects());
    }

    #[test]
    fn git_lfs_takes_it_for_a_server() {
        there_and_back(&Hermetic::new());
    }

    #[test]
    fn the_second_git_lfs_takes_it_for_a_server() {
        if let Some(second) = second_git_lfs() {
            there_and_back(&Hermetic::new().with_git_lfs(second));
        }
    }
}
